/**
 * A thread that wakes the load generator at the due moments of a constant rate. Timers of an event
 * loop are whole milliseconds; this one sleeps in the kernel, to some tens of microseconds, without
 * burning the processor that the instances need.
 */
import { parentPort, workerData } from 'node:worker_threads';

export interface TickerData {
  /** `process.hrtime`, in nanoseconds, of the first tick. */
  readonly startNs: number;
  readonly intervalNs: number;
  readonly count: number;
}

const { startNs, intervalNs, count } = workerData as TickerData;
const never = new Int32Array(new SharedArrayBuffer(4));

for (let tick = 0; tick < count; tick += 1) {
  const waitMs = (startNs + tick * intervalNs - Number(process.hrtime.bigint())) / 1e6;
  // A tick that is over already was seen to by the one before.
  if (waitMs > 0) {
    Atomics.wait(never, 0, 0, waitMs);
    parentPort!.postMessage(tick);
  }
}
parentPort!.postMessage(count);
