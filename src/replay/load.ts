import { Agent } from 'undici';
import type { Clock } from '../clock.ts';
import { Call, type Outcome } from './call.ts';

/**
 * The open loop: sends each request when it is due, whether or not earlier ones were answered.
 * Main thread. It must never wait for an answer to send the next request, except at
 * `connectionsMax`, where the waiting shows as lateness.
 */

/** Where a request goes. */
export interface Target {
  /** `http://127.0.0.1:8080` */
  readonly origin: string;
  readonly path: string;
}

export interface PlannedRequest {
  /** Milliseconds after the start of the run, in real time. Plans ascend. */
  readonly dueMs: number;
  readonly target: Target;
  /** Makes the body; called once, ahead of the due moment where there is time. */
  readonly body: () => Buffer;
}

export interface LoadOptions {
  readonly connectionsMax: number;
  /** From a request sent to its last byte. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** `place`: of the request in the plan. */
  readonly onOutcome: (outcome: Outcome, place: number) => void;
}

/** The longest wait that Node's timers take. */
const timerMsMax = 2 ** 31 - 1;

const headers = { 'content-type': 'application/json', accept: 'text/event-stream' };

/** One run of a plan. `run` may be called once. */
export class Load {
  readonly #plan: readonly PlannedRequest[];
  readonly #options: LoadOptions;
  readonly #agent: Agent;
  readonly #inFlight = new Set<Call>();
  #next = 0;
  #nextBody: Buffer | null = null;
  #startMs = 0;
  #settledCount = 0;
  #stopped = false;
  #connectionsMaxReached = false;
  #timer: NodeJS.Timeout | null = null;
  #resolve: () => void = () => undefined;

  constructor(plan: readonly PlannedRequest[], options: LoadOptions) {
    this.#plan = plan;
    this.#options = options;
    // The time limit of a request is our own: the client's would end long waits for a first token.
    this.#agent = new Agent({
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: options.timeoutMs },
    });
  }

  get settledCount(): number {
    return this.#settledCount;
  }

  get inFlightCount(): number {
    return this.#inFlight.size;
  }

  /** True once `stop` was called. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** True once a due request had to wait because `connectionsMax` requests were in flight. */
  get connectionsMaxReached(): boolean {
    return this.#connectionsMaxReached;
  }

  /** Milliseconds until the last request is due; 0 once it has been. */
  get sendLeftMs(): number {
    const lastDueMs = this.#plan.at(-1)?.dueMs ?? 0;
    return Math.max(0, this.#startMs + lastDueMs - this.#options.clock.nowMs());
  }

  /** Resolves when every request has its outcome, or after `stop`. */
  async run(): Promise<void> {
    const settled = new Promise<void>((resolve) => {
      this.#resolve = resolve;
    });
    this.#prepare();
    this.#startMs = this.#options.clock.nowMs();
    this.#pump();
    await settled;
    await this.#agent.destroy();
  }

  /** Sends nothing more and abandons what is in flight. */
  stop(): void {
    this.#stopped = true;
    for (const call of this.#inFlight) call.abandon();
    this.#pump();
  }

  /** Sends what is due, then sleeps until the next request is. */
  #pump(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    while (!this.#stopped && this.#next < this.#plan.length) {
      const dueMs = this.#startMs + this.#plan[this.#next]!.dueMs;
      const waitMs = dueMs - this.#options.clock.nowMs();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.min(Math.ceil(waitMs), timerMsMax));
        return;
      }
      if (this.#inFlight.size >= this.#options.connectionsMax) {
        this.#connectionsMaxReached = true;
        return;
      }
      this.#send(dueMs);
    }
    if (this.#inFlight.size === 0) this.#resolve();
  }

  #send(dueMs: number): void {
    const place = this.#next++;
    const { target, body: makeBody } = this.#plan[place]!;
    const body = this.#nextBody ?? makeBody();
    this.#nextBody = null;
    const { clock, timeoutMs } = this.#options;
    const onSettled = (settled: Call, outcome: Outcome) => this.#settle(settled, outcome, place);
    const call = new Call({ clock, dueMs, timeoutMs, onSettled });
    this.#inFlight.add(call);
    this.#agent.dispatch({ ...target, method: 'POST', headers, body }, call);
    this.#prepare();
  }

  #settle(call: Call, outcome: Outcome, place: number): void {
    this.#inFlight.delete(call);
    this.#settledCount++;
    this.#options.onOutcome(outcome, place);
    this.#pump();
  }

  /** Makes the next body while there is time, so that a long prompt is not late for its length. */
  #prepare(): void {
    this.#nextBody = this.#plan[this.#next]?.body() ?? null;
  }
}
