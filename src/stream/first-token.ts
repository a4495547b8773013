/**
 * Finds the first token of a streamed answer: the first server-sent event that carries a choice.
 * The bytes up to it are held, unchanged and in order, so that until then the request can still go
 * to another instance. One detector per answer, on the thread that relays it; it never throws,
 * whatever the instance sends.
 */

/**
 * `waiting`: nothing that decides yet. `token`: the bytes so far hold the first token. `final`: no
 * token, but the instance's last word (an error event, `[DONE]`): the answer is definitive and is
 * relayed, not retried.
 */
export type FirstTokenVerdict = 'waiting' | 'token' | 'final';

/**
 * What comes before a first choice is small: comments that keep the connection alive (15 bytes
 * every few seconds) and events without choices. Only an event that repeats a long prompt (`echo`,
 * prompt token ids or logprobs) exceeds this, and the instance sends such a one when the prefill is
 * done: so beyond this limit the token counts as seen, and memory per waiting answer stays bounded.
 */
export const heldBytesMax = 65_536;

const lf = 10;
const cr = 13;
const colon = 58;
const space = 32;

export class FirstToken {
  #held = Buffer.allocUnsafe(1_024);
  #heldBytes = 0;
  /** Start of the line being read, and how far the search for its end has come. */
  #lineStart = 0;
  #scanned = 0;
  /** The last line ended with CR: an LF that follows belongs to it. */
  #afterCr = false;
  #isFirstLine = true;
  /** Of the event being read. */
  #eventType = '';
  #data: string[] = [];
  #verdict: FirstTokenVerdict = 'waiting';

  /** The bytes pushed so far. A view of the detector's own buffer. */
  get held(): Uint8Array {
    return this.#held.subarray(0, this.#heldBytes);
  }

  /** Takes the next bytes of the answer. After a verdict other than `waiting`, push no more. */
  push(chunk: Uint8Array): FirstTokenVerdict {
    this.#hold(chunk);
    while (this.#verdict === 'waiting' && this.#scanned < this.#heldBytes) {
      const byte = this.#held[this.#scanned]!;
      this.#scanned += 1;
      if (byte === lf && this.#afterCr) {
        this.#afterCr = false;
        this.#lineStart = this.#scanned;
      } else {
        this.#afterCr = byte === cr;
        if (byte === lf || byte === cr) this.#endLine(this.#scanned - 1);
      }
    }
    if (this.#verdict === 'waiting' && this.#heldBytes > heldBytesMax) this.#verdict = 'token';
    return this.#verdict;
  }

  #hold(chunk: Uint8Array): void {
    const needed = this.#heldBytes + chunk.byteLength;
    if (needed > this.#held.byteLength) {
      const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#held.byteLength));
      grown.set(this.held);
      this.#held = grown;
    }
    this.#held.set(chunk, this.#heldBytes);
    this.#heldBytes = needed;
  }

  #endLine(end: number): void {
    let start = this.#lineStart;
    this.#lineStart = this.#scanned;
    if (this.#isFirstLine) {
      this.#isFirstLine = false;
      if (this.#held.toString('latin1', start, start + 3) === '\xef\xbb\xbf') start += 3;
    }
    if (start === end) this.#endEvent();
    else this.#readField(start, end);
  }

  /** A line that begins with a colon is a comment: a field without name, of no meaning. */
  #readField(start: number, end: number): void {
    const at = this.#held.subarray(start, end).indexOf(colon);
    const nameEnd = at < 0 ? end : start + at;
    let valueStart = at < 0 ? end : nameEnd + 1;
    if (valueStart < end && this.#held[valueStart] === space) valueStart += 1;
    const name = this.#held.toString('latin1', start, nameEnd);
    if (name === 'data') this.#data.push(this.#held.toString('utf8', valueStart, end));
    else if (name === 'event') this.#eventType = this.#held.toString('utf8', valueStart, end);
  }

  #endEvent(): void {
    if (this.#data.length > 0) this.#verdict = judge(this.#eventType, this.#data.join('\n'));
    this.#eventType = '';
    this.#data = [];
  }
}

function judge(eventType: string, data: string): FirstTokenVerdict {
  if (data.trim() === '[DONE]' || eventType === 'error') return 'final';
  const event = parseObject(data);
  if (Array.isArray(event?.choices) && event.choices.length > 0) return 'token';
  return (event?.error ?? null) === null ? 'waiting' : 'final';
}

function parseObject(text: string): { choices?: unknown; error?: unknown } | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' ? value : null;
  } catch {
    // Not JSON, so not an event of this API: passed on unread like every other.
    return null;
  }
}
