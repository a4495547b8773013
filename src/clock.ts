import { performance } from 'node:perf_hooks';

/**
 * Time as a value. Everything that waits or measures takes a `Clock`, so that tests crank it by
 * hand.
 */
export interface Clock {
  /** Milliseconds since an arbitrary origin, monotonic, fractional. */
  nowMs(): number;
}

/**
 * `performance.now()` is much the cheapest clock, but each thread has an origin of its own: this is
 * how far it lies behind that of `process.hrtime`, which the threads of a process share.
 */
const originMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** The process-wide monotonic clock. The same origin in every thread, to a few microseconds. */
export const systemClock: Clock = {
  nowMs: () => originMs + performance.now(),
};
