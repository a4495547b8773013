/**
 * Time as a value. Everything that waits or measures takes a `Clock`, so that tests crank it by
 * hand.
 */
export interface Clock {
  /** Milliseconds since an arbitrary origin, monotonic, fractional. */
  nowMs(): number;
}

/** The process-wide monotonic clock. The same origin in every thread of the process. */
export const systemClock: Clock = {
  nowMs: () => Number(process.hrtime.bigint()) / 1e6,
};
