/**
 * Two threads that decide at once on one fleet state: what each loses against being alone. Two
 * threads on a state of their own each are the control: what they lose is the machine's, not ours.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { medianOf } from '../../dist/bench/statistics.js';
import { Core } from '../../dist/core/native.js';
import { coreOptions, createFleet, indexChains, makeChains, placeAndEnd } from './fleet.mjs';

const fileUrl = new URL(import.meta.url);
const checkEvery = 1024;

/** In a thread: decides for as long as it is told on the state it is told; answers with its rate. */
function serve() {
  const { memories, thread, seconds } = workerData;
  const cores = memories.map((memory) => new Core(memory, thread, coreOptions));
  const chains = makeChains();
  parentPort.on('message', (state) => {
    let count = 0;
    // Not in step with the other thread.
    let asked = thread * 1000;
    const start = performance.now();
    let now = start;
    while (now - start < seconds * 1000) {
      for (let index = 0; index < checkEvery; index += 1) {
        asked = (asked + 1) % chains.length;
        placeAndEnd(cores[state], chains[asked]);
      }
      count += checkEvery;
      now = performance.now();
    }
    parentPort.postMessage(count / ((now - start) / 1000));
  });
}

async function main() {
  const { options, report } = await import('./stage.mjs');
  const fleets = [createFleet(options.instances, 3), createFleet(options.instances, 3)];
  for (const { core } of fleets) indexChains(core);
  const memories = fleets.map(({ memory }) => memory);
  const { seconds } = options;
  const workers = [1, 2].map(
    (thread) => new Worker(fileUrl, { workerData: { memories, thread, seconds } }),
  );
  const run = (worker, state) =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve).once('error', reject);
      worker.postMessage(state);
    });
  const [one, two] = workers;
  // The first run compiles the code.
  await Promise.all([run(one, 0), run(two, 1)]);
  const rounds = [];
  for (let round = 0; round < options.rounds; round += 1) {
    const alone = await run(one, 0);
    const shared = await Promise.all([run(one, 0), run(two, 0)]);
    const apart = await Promise.all([run(one, 0), run(two, 1)]);
    rounds.push({ alone, shared: mean(shared), apart: mean(apart) });
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
  report(rows(rounds));
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function rows(rounds) {
  const median = (read) => medianOf(rounds.map(read));
  const loss = (kind) => median((round) => 1 - round[kind] / round.alone);
  const row = (name, kind, budgets = []) => ({
    name,
    perSecond: median((round) => round[kind]),
    share: 1 - loss(kind),
    budgets,
  });
  const lost = { what: 'loss of each of two threads', atMost: 0.1, measured: loss('shared') };
  return [
    { name: 'decisions in one thread', perSecond: median((round) => round.alone), budgets: [] },
    row('each of two threads, one fleet state', 'shared', [lost]),
    row('each of two threads, a state each (control)', 'apart'),
  ];
}

if (isMainThread) await main();
else serve();
