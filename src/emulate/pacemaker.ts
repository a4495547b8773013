import type { Clock } from '../clock.ts';
import type { Job, JobListener, SimulatedEngine, Work } from './engine.ts';

/**
 * Owns the one timer of an emulated engine and drives the engine by it, in the thread of the event
 * loop. All work of an engine goes through here, so that the timer always stands at the next due
 * moment. Never a timer per request: thousands of tokens a second share one tick.
 */
export class Pacemaker {
  readonly #engine: SimulatedEngine;
  readonly #clock: Clock;
  #timer: NodeJS.Timeout | null = null;
  #timerDueMs = Number.POSITIVE_INFINITY;

  constructor(engine: SimulatedEngine, clock: Clock) {
    this.#engine = engine;
    this.#clock = clock;
  }

  submit(work: Work, listener: JobListener): Job {
    const job = this.#engine.submit(this.#clock.nowMs(), work, listener);
    this.#arm();
    return job;
  }

  cancel(job: Job): void {
    this.#engine.cancel(this.#clock.nowMs(), job);
    this.#arm();
  }

  /** Stops for good; jobs in flight get no more tokens. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    // Nothing is due before this, so nothing arms the timer again.
    this.#timerDueMs = Number.NEGATIVE_INFINITY;
  }

  #arm(): void {
    const dueMs = this.#engine.nextDueMs;
    // A timer that stands earlier only wakes for nothing; that is cheaper than moving it each time.
    if (dueMs >= this.#timerDueMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerDueMs = dueMs;
    // Node cuts fractions off: rounded down, the tick would come too early and be repeated.
    const delayMs = Math.ceil(dueMs - this.#clock.nowMs());
    this.#timer = setTimeout(this.#tick, Math.min(delayMs, delayMaxMs));
  }

  readonly #tick = (): void => {
    this.#timer = null;
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    this.#engine.advance(this.#clock.nowMs());
    this.#arm();
  };
}

/** Node turns longer delays into 1 ms. A tick that comes early does nothing and arms the next. */
const delayMaxMs = 2_147_483_647;
