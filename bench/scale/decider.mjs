/**
 * The deciding thread of `churn.mjs`: one decision after the other for as long as it is told, each
 * timed. Of those above half a millisecond it tells when they were, and for how long the kernel's
 * account of this thread has it running and waiting for a processor since it was last read.
 */
import { openSync, readlinkSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { build } from 'hdr-histogram-js';
import { Core } from '../../dist/core/native.js';
import { coreOptions, makeChains, placeAndEnd, place as placeChain } from '../micro/fleet.mjs';

const slowMs = 0.5;
/** The account is read this often, since reading it costs more than a decision. */
const accountEveryMs = 0.1;

const core = new Core(workerData.memory, 1, coreOptions);
const chains = makeChains();
const account = openSync('/proc/thread-self/schedstat', 'r');
const text = Buffer.alloc(96);

/** Milliseconds that this thread has run, has been ready to run without a processor, and now. */
function read() {
  // Brings what the kernel has of this thread up to date; the file alone is as old as a tick.
  process.cpuUsage();
  const length = readSync(account, text, 0, text.length, 0);
  const [ran, waited] = text.toString('latin1', 0, length).split(' ');
  return { ranMs: Number(ran) / 1e6, waitedMs: Number(waited) / 1e6, atMs: performance.now() };
}

let asked = 0;
function nextChain() {
  asked = (asked + 1) % chains.length;
  return chains[asked];
}

function decide(seconds) {
  const histogram = build({ highestTrackableValue: 1e10, numberOfSignificantValueDigits: 3 });
  const slow = [];
  let before = read();
  let startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  let decisions = 0;
  while (startMs < endMs) {
    startMs = performance.now();
    if (startMs - before.atMs >= accountEveryMs) {
      before = read();
      startMs = performance.now();
    }
    placeChain(core, nextChain());
    const tookMs = performance.now() - startMs;
    core.end(core.placement.ticket, 0);
    decisions += 1;
    histogram.recordValue(Math.round(tookMs * 1e6));
    if (tookMs < slowMs) continue;
    const fromMs = Number(process.hrtime.bigint()) / 1e6 - (performance.now() - startMs);
    const after = read();
    const sinceMs = after.atMs - before.atMs;
    const waitedMs = after.waitedMs - before.waitedMs;
    slow.push({ fromMs, tookMs, sinceMs, waitedMs, ranMs: after.ranMs - before.ranMs });
  }
  return {
    decisions,
    p50Us: histogram.getValueAtPercentile(50) / 1000,
    maxUs: histogram.maxValue / 1000,
    slow,
  };
}

for (let index = 0; index < 20_000; index += 1) placeAndEnd(core, nextChain());
parentPort.postMessage(readlinkSync('/proc/thread-self').split('/').at(-1));
parentPort.on('message', (seconds) => parentPort.postMessage(decide(seconds)));
