/**
 * The deciding thread of `churn.mjs`: one decision after the other for as long as it is told, each
 * timed. A decision above 1 ms is held against us only if the kernel's account of this thread does
 * not show that it waited for a processor meanwhile.
 */
import { openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { build } from 'hdr-histogram-js';
import { Core } from '../../dist/core/native.js';
import { coreOptions, makeChains, placeAndEnd, place as placeChain } from '../micro/fleet.mjs';

const slowMs = 1;
/** The account is read this often, since reading it costs more than a decision. */
const accountEveryMs = 0.5;

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
  let aboveOneMs = 0;
  let aboveOneMsOnProcessor = 0;
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
    aboveOneMs += 1;
    if (tookMs - (waitedMs() - waitedBeforeMs) >= slowMs) aboveOneMsOnProcessor += 1;
  }
  const at = (percent) => histogram.getValueAtPercentile(percent) / 1000;
  return {
    decisions,
    p50Us: at(50),
    p99Us: at(99),
    p999Us: at(99.9),
    maxUs: histogram.maxValue / 1000,
    aboveOneMs,
    aboveOneMsOnProcessor,
  };
}

for (let index = 0; index < 20_000; index += 1) placeAndEnd(core, nextChain());
parentPort.on('message', (seconds) => parentPort.postMessage(decide(seconds)));
