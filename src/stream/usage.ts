/**
 * Reads what an answer says of its tokens, `usage`, from its last bytes. Costs one small copy per
 * chunk and is parsed once at the end; whatever cannot be read is `null` and never fails a request.
 * One reader per answer, on the thread that relays it.
 */
export interface Usage {
  readonly promptTokens: number;
  /** 0 for embeddings, which have none. */
  readonly completionTokens: number;
  /** `null` if the instance does not report it (an option of vLLM and SGLang, off by default). */
  readonly cachedTokens: number | null;
}

/**
 * Behind `usage` come a few short fields and `[DONE]`. The usage object itself is 100 to 500 bytes
 * with all details; both ends fit with room, and 8,000 streams hold 32 MB.
 */
const tailBytesMax = 4_096;

/** Rings of ended answers, for the next ones: one allocated per answer would keep the collector busy. */
const spareRings: Buffer[] = [];
const spareRingsMax = 256;

export class UsageTail {
  /** Ring of the last bytes; taken with the first chunk. */
  #ring: Buffer | null = null;
  #next = 0;
  #wrapped = false;

  push(chunk: Uint8Array): void {
    this.#ring ??= spareRings.pop() ?? Buffer.allocUnsafeSlow(tailBytesMax);
    const { byteLength } = chunk;
    if (byteLength >= tailBytesMax) {
      this.#ring.set(chunk.subarray(byteLength - tailBytesMax));
      this.#next = 0;
      this.#wrapped = true;
      return;
    }
    const room = tailBytesMax - this.#next;
    if (byteLength < room) {
      this.#ring.set(chunk, this.#next);
      this.#next += byteLength;
      return;
    }
    this.#ring.set(chunk.subarray(0, room), this.#next);
    this.#ring.set(chunk.subarray(room));
    this.#next = byteLength - room;
    this.#wrapped = true;
  }

  /** The last usage object within the last bytes, or `null`. */
  read(): Usage | null {
    if (this.#ring === null) return null;
    const newest = this.#ring.toString('latin1', 0, this.#next);
    return readUsage(this.#wrapped ? this.#ring.toString('latin1', this.#next) + newest : newest);
  }

  /** Forgets everything; its memory goes to the next answer. */
  clear(): void {
    if (this.#ring !== null && spareRings.length < spareRingsMax) spareRings.push(this.#ring);
    this.#ring = null;
    this.#next = 0;
    this.#wrapped = false;
  }
}

/** The last usage object of an answer that is there as a whole, or `null`. */
export function usageOf(answer: Uint8Array): Usage | null {
  const from = Math.max(0, answer.byteLength - tailBytesMax);
  const tail = Buffer.from(answer.buffer, answer.byteOffset + from, answer.byteLength - from);
  return readUsage(tail.toString('latin1'));
}

/**
 * `"usage"` with bare quotes is never inside a JSON string, where they are escaped, so what a model
 * wrote cannot be taken for it. The last one followed by an object wins (others are `null`).
 */
function readUsage(text: string): Usage | null {
  let from = text.length;
  while (from >= 0) {
    const at = text.lastIndexOf('"usage"', from);
    if (at < 0) return null;
    const start = /^"usage"\s{0,64}:\s{0,64}\{/.exec(text.slice(at, at + 160));
    if (start !== null) return toUsage(cutObject(text, at + start[0].length - 1));
    from = at - 1;
  }
  return null;
}

/** The text of the object that begins at `start`; empty if it does not end. */
function cutObject(text: string, start: number): string {
  let depth = 0;
  let inString = false;
  for (let index = start; index < text.length; index += 1) {
    const char = text[index];
    if (inString) {
      if (char === '\\') index += 1;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{') depth += 1;
    else if (char === '}') depth -= 1;
    if (depth === 0) return text.slice(start, index + 1);
  }
  return '';
}

interface UsageJson {
  prompt_tokens?: unknown;
  completion_tokens?: unknown;
  prompt_tokens_details?: { cached_tokens?: unknown } | null;
}

function toUsage(text: string): Usage | null {
  let usage: UsageJson;
  try {
    usage = JSON.parse(text) as UsageJson;
  } catch {
    // Cut off or no JSON: the answer is the engine's, what it says of itself is only observed.
    return null;
  }
  const promptTokens = toCount(usage.prompt_tokens);
  if (promptTokens === null) return null;
  return {
    promptTokens,
    completionTokens: toCount(usage.completion_tokens) ?? 0,
    cachedTokens: toCount(usage.prompt_tokens_details?.cached_tokens),
  };
}

function toCount(value: unknown): number | null {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null;
}
