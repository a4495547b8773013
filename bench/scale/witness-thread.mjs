/**
 * The thread of `witness.mjs`: sleeps a quarter of a millisecond at a time, and writes down from
 * when to when it was not woken.
 */
import { readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

const sleepMs = 0.25;
/** A timer is never quite on time. */
const slackMs = 0.05;

const { control, missed } = workerData;
const nowMs = () => Number(process.hrtime.bigint()) / 1e6;

parentPort.postMessage(readlinkSync('/proc/thread-self').split('/').at(-1));
let words = 0;
let lastMs = nowMs();
while (Atomics.load(control, 0) === 0) {
  Atomics.wait(control, 0, 0, sleepMs);
  const wokenMs = nowMs();
  if (wokenMs - lastMs > sleepMs + slackMs && words + 2 <= missed.length) {
    missed[words] = lastMs + sleepMs;
    missed[words + 1] = wokenMs;
    words += 2;
    Atomics.store(control, 1, words);
  }
  lastMs = wokenMs;
}
