/**
 * What a streamed answer in OpenAI's shape tells a load generator: the first event that carries a
 * choice, the usage, the end, an error told in the stream. One per answer; main thread. It shares
 * two cores with what it measures, so after the first choice only events that can matter are
 * parsed. Every engine writes an event as one `data:` line, and so does this reader take it.
 */

/** A longer line is no event of ours; without a bound a broken server would fill the memory. */
const lineCharsMax = 4 * 1024 * 1024;

/**
 * An event that can matter after the first choice. vLLM writes `"usage":null` into every event, so
 * the name alone says nothing; in a text the quotes would be escaped.
 */
const tells = /"error"\s*:|"usage"\s*:\s*\{/;

export interface Usage {
  readonly promptTokens: number;
  /** `null`: the answer does not say (engines tell it only when switched on, some never for 0). */
  readonly cachedTokens: number | null;
}

export class AnswerEvents {
  /** An event with a choice has been read. */
  sawChoice = false;
  /** `data: [DONE]` has been read. */
  done = false;
  usage: Usage | null = null;
  /** Why the stream cannot count as an answer; the first such reason. */
  fault: 'error_event' | 'garbage' | null = null;
  #rest = '';

  /** Takes the next bytes of the body; they may be cut anywhere. */
  push(chunk: Buffer): void {
    if (this.fault === 'garbage') return;
    // Latin-1: cheap, and a character cut in two does no harm, since the text is never looked at
    // and no byte of a multi-byte character looks like JSON or a line end.
    const lines = (this.#rest + chunk.toString('latin1')).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('data:')) this.#take(line.slice(5).trim());
    if (this.#rest.length > lineCharsMax) this.#fail('garbage');
  }

  #take(data: string): void {
    if (data === '[DONE]') {
      this.done = true;
      return;
    }
    if (this.sawChoice && !tells.test(data)) return;
    const event = parseObject(data);
    if (event === null) {
      this.#fail('garbage');
      return;
    }
    if (event.error !== undefined && event.error !== null) this.#fail('error_event');
    if (Array.isArray(event.choices) && event.choices.length > 0) this.sawChoice = true;
    this.usage = readUsage(event.usage) ?? this.usage;
  }

  #fail(fault: 'error_event' | 'garbage'): void {
    this.fault ??= fault;
    if (fault === 'garbage') this.#rest = '';
  }
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function readUsage(usage: unknown): Usage | null {
  if (!isObject(usage) || typeof usage.prompt_tokens !== 'number') return null;
  const details = usage.prompt_tokens_details;
  const cached = isObject(details) ? details.cached_tokens : undefined;
  return {
    promptTokens: usage.prompt_tokens,
    cachedTokens: typeof cached === 'number' ? cached : null,
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
