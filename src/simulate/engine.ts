/**
 * What a simulated engine is to a scenario. Pure; time comes in and goes out as milliseconds.
 */

/** Told by an engine what became of a request, at the simulated moment it happened. */
export interface EngineListener {
  /** `cachedTokens`: prompt tokens that the engine's prefix cache gave. */
  firstToken(request: number, cachedTokens: number, nowMs: number): void;
  /** After `firstToken`, for the last token; also at once after it. */
  finished(request: number, nowMs: number): void;
  /** The engine can never hold so long a request: there will be no first token. */
  refused(request: number, nowMs: number): void;
}

/** One inference server. Requests are named by their row in the workload. */
export interface Engine {
  /** When the engine will next do something; infinity while it is idle. */
  readonly nextMs: number;
  /** Requests as its metrics tell them: without and with a place in its batch. */
  readonly waiting: number;
  readonly running: number;
  /** Share of its KV memory that requests hold, 0..1; `null`: it does not tell. */
  readonly kvUse: number | null;
  /** Milliseconds of prefill and decode steps so far. */
  readonly busyMs: number;
  /** Prompt tokens found in the cache, and computed (each counted once), so far. */
  readonly hitTokens: number;
  readonly computedTokens: number;
  /** Puts a request at the end of the waiting list. */
  submit(request: number, nowMs: number): void;
  /** Does what is due at `nextMs`. */
  advance(): void;
  /** Prompt tokens that the prefix cache would give just now. The engine's own secret. */
  residentTokens(request: number): number;
}

/** Numbers in order of arrival, without an object for each. */
export class Fifo {
  #values = new Int32Array(64);
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** There must be one. */
  get first(): number {
    return this.#values[this.#head]!;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) this.#grow();
    this.#values[(this.#head + this.#length++) & (this.#values.length - 1)] = value;
  }

  /** There must be one. */
  shift(): number {
    const value = this.#values[this.#head]!;
    this.#head = (this.#head + 1) & (this.#values.length - 1);
    this.#length--;
    return value;
  }

  #grow(): void {
    const grown = new Int32Array(2 * this.#values.length);
    for (let index = 0; index < this.#length; index++) {
      grown[index] = this.#values[(this.#head + index) & (this.#values.length - 1)]!;
    }
    this.#values = grown;
    this.#head = 0;
  }
}
