import type { Dispatcher } from 'undici';
import type { Clock } from '../clock.ts';
import { AnswerEvents, type Usage } from './events.ts';

/**
 * One request of a replay, from the moment it is handed to the HTTP client to its outcome. Main
 * thread. It reports exactly one outcome, whatever the connection does afterwards.
 */

/**
 * `completed`: a 2xx answer whose stream had a choice and its end; `error`: an answer that is not
 * 2xx; `lost`: no complete answer; `abandoned`: cut off by the one who stopped the run.
 */
export type OutcomeKind = 'completed' | 'error' | 'lost' | 'abandoned';

/** Times are as measured, not scaled back by the speed. */
export interface Outcome {
  readonly kind: OutcomeKind;
  /** HTTP status of an error, what happened to a lost one; empty for the others. */
  readonly reason: string;
  /** From the moment the request was due to the first event with a choice; `null`: none came. */
  readonly ttftMs: number | null;
  /** From due to handed to the HTTP client. */
  readonly sendLateMs: number;
  readonly usage: Usage | null;
  /** The instance that answered, as the router names it; `null`: it does not. */
  readonly instance: string | null;
  /** That it waited in the router, as that tells with `--explain on`; `null`: it does not. */
  readonly queueMs: number | null;
}

export interface CallOptions {
  readonly clock: Clock;
  readonly dueMs: number;
  readonly timeoutMs: number;
  readonly onSettled: (call: Call, outcome: Outcome) => void;
}

export class Call implements Dispatcher.DispatchHandler {
  readonly #options: CallOptions;
  readonly #sendLateMs: number;
  readonly #timer: NodeJS.Timeout;
  readonly #events = new AnswerEvents();
  #controller: Dispatcher.DispatchController | null = null;
  #status = 0;
  #instance: string | null = null;
  #queueMs: number | null = null;
  #ttftMs: number | null = null;
  #settled = false;

  constructor(options: CallOptions) {
    this.#options = options;
    this.#sendLateMs = options.clock.nowMs() - options.dueMs;
    this.#timer = setTimeout(() => this.#cut('lost', 'timeout'), options.timeoutMs);
  }

  /** Closes the connection; the outcome is `abandoned`. */
  abandon(): void {
    this.#cut('abandoned', '');
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // Cut while the connection was still being opened.
    if (this.#settled) controller.abort(new Error('cut before it was sent'));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    this.#status = status;
    const instance = headers['x-dualmap-instance'];
    if (typeof instance === 'string') this.#instance = instance;
    const queueMs = headers['x-dualmap-queue-ms'];
    if (typeof queueMs === 'string') this.#queueMs = Number(queueMs);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#settled || !this.#succeeded) return;
    this.#events.push(chunk);
    if (this.#ttftMs === null && this.#events.sawChoice) {
      this.#ttftMs = this.#options.clock.nowMs() - this.#options.dueMs;
    }
  }

  onResponseEnd(): void {
    const { done, sawChoice, fault } = this.#events;
    if (!this.#succeeded) this.#settle('error', `status ${this.#status}`);
    else if (fault !== null) this.#settle('lost', fault);
    else if (!done) this.#settle('lost', 'cut');
    else if (!sawChoice) this.#settle('lost', 'no_choice');
    else this.#settle('completed', '');
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    // A status that says no is an error even if the rest of its answer never came.
    if (this.#status !== 0 && !this.#succeeded) this.#settle('error', `status ${this.#status}`);
    else this.#settle('lost', 'code' in error ? String(error.code) : error.name);
  }

  get #succeeded(): boolean {
    return this.#status >= 200 && this.#status < 300;
  }

  #cut(kind: OutcomeKind, reason: string): void {
    this.#settle(kind, reason);
    this.#controller?.abort(new Error('cut by the load generator'));
  }

  #settle(kind: OutcomeKind, reason: string): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#options.onSettled(this, {
      kind,
      reason,
      ttftMs: this.#ttftMs,
      sendLateMs: this.#sendLateMs,
      usage: this.#events.usage,
      instance: this.#instance,
      queueMs: this.#queueMs,
    });
  }
}
