/**
 * The deciding thread of `churn.mjs`: one decision after the other for as long as it is told, each
 * timed. Of those above half a millisecond it tells when they were, and for how long the kernel's
 * account of this thread has it waiting for a processor meanwhile.
 */
import { openSync, readlinkSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { build } from 'hdr-histogram-js';
import { Core } from '../../dist/core/native.js';
import { coreOptions, makeChains, placeAndEnd, place as placeChain } from '../micro/fleet.mjs';

const slowMs = 0.5;
/** The account is read this often, since reading it costs more than a decision: so much of what is
 * taken for waiting may lie before one. */
const accountEveryMs = 0.1;

const core = new Core(workerData.memory, 1, coreOptions);
const chains = makeChains();
const account = openSync('/proc/thread-self/schedstat', 'r');
const text = Buffer.alloc(96);

/** Milliseconds that this thread has been ready to run without a processor. */
function waitedMs() {
  const length = readSync(account, text, 0, text.length, 0);
  return Number(text.toString('latin1', 0, length).split(' ')[1]) / 1e6;
}

let asked = 0;
function nextChain() {
  asked = (asked + 1) % chains.length;
  return chains[asked];
}

function decide(seconds) {
  const histogram = build({ highestTrackableValue: 1e10, numberOfSignificantValueDigits: 3 });
  const slow = [];
  let waitedBeforeMs = waitedMs();
  let startMs = performance.now();
  let accountMs = startMs;
  const endMs = startMs + seconds * 1000;
  let decisions = 0;
  while (startMs < endMs) {
    startMs = performance.now();
    if (startMs - accountMs >= accountEveryMs) {
      waitedBeforeMs = waitedMs();
      startMs = performance.now();
      accountMs = startMs;
    }
    placeChain(core, nextChain());
    const tookMs = performance.now() - startMs;
    core.end(core.placement.ticket, 0);
    decisions += 1;
    histogram.recordValue(Math.round(tookMs * 1e6));
    if (tookMs < slowMs) continue;
    const fromMs = Number(process.hrtime.bigint()) / 1e6 - (performance.now() - startMs);
    slow.push({ fromMs, tookMs, waitedMs: waitedMs() - waitedBeforeMs });
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
