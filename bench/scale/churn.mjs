/**
 * What a decision feels while a large fleet comes and goes: one thread decides without a pause and
 * times every decision, while the main thread lets instances leave and join through the registry,
 * as the router does, and so builds rings as fast as it can. Run after the build:
 *
 *   node bench/scale/churn.mjs [--instances 1000] [--seconds 5] [--rounds 3] [--json OUT]
 *
 * Three cells in turn. `still`: main sleeps. `elsewhere`: main does the same to another fleet, so
 * that it costs the machine as much and the deciding thread nothing: what is slow there is the
 * machine. `churn`: it does it to the fleet that is decided on. A decision's own time is at most
 * what it took less what the processor was away, what passed since the account was read less what
 * the thread waited, and what the thread ran: the least of these, as the first two may be the same
 * time.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { formatFacts, runFacts } from '../../dist/bench/environment.js';
import { medianOf } from '../../dist/bench/statistics.js';
import { systemClock } from '../../dist/clock.js';
import { FleetState } from '../../dist/core/fleet-state.js';
import { Core, createStateMemory } from '../../dist/core/native.js';
import { Registry } from '../../dist/fleet/registry.js';
import { coreOptions, indexedBlocks } from '../micro/fleet.mjs';
import { Witness } from './witness.mjs';

const { values } = parseArgs({
  options: {
    instances: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
});
const instances = Number(values.instances);
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
/** Slots for those that have left and are not gone yet. */
const spare = 96;
/** So many leave, and as many join, in one turn of the event loop. */
const movedPerTurn = 8;

/** A fleet that serves, and what moves it. */
class Fleet {
  builds = 0;
  joined = 0;
  gone = 0;
  #next = 0;

  constructor() {
    const instancesMax = instances + spare;
    this.memory = createStateMemory({
      instancesMax,
      threadsMax: 2,
      ringPointsMax: instancesMax * 320,
      indexBlocks: indexedBlocks,
      hotnessRequestsMax: instancesMax * 32,
      waitingMax: 0,
    });
    this.core = new Core(this.memory, 0, coreOptions);
    const options = {
      ringSeed: 0,
      prefillMsPerToken: 0.16,
      capacityBlocks: indexedBlocks,
      warmUpMs: 0,
      drainTimeoutMs: 60_000,
    };
    this.registry = new Registry(this.core, new FleetState(this.memory, instancesMax), options, {
      clock: systemClock,
      schedule: setImmediate,
      onSnapshot: ({ version }) => this.registry.seen(version),
      onState: () => undefined,
      onDrainTimeout: () => undefined,
      onGone: () => {
        this.gone += 1;
      },
      onRingsTooLarge: () => {
        throw new Error('the rings do not fit');
      },
    });
    for (let index = 0; index < instances; index += 1) this.#join();
    this.registry.flush();
  }

  #join() {
    const bytes = [this.#next >> 16, this.#next >> 8, this.#next].map((word) => word & 255);
    const url = `http://10.${bytes.join('.')}:8000`;
    this.#next += 1;
    this.joined += 1;
    this.registry.markServing(this.registry.add(url, 1, null), [], false);
  }

  /** One turn: some leave, as many join as have gone, everything that is due is done. */
  turn() {
    const staying = this.registry.instances.filter(({ leaving }) => leaving === null);
    for (const instance of staying.slice(0, movedPerTurn)) this.registry.drain(instance);
    const missing = instances - (staying.length - movedPerTurn);
    const room = instances + spare - this.registry.instances.length;
    for (let count = 0; count < Math.min(missing, room); count += 1) this.#join();
    this.registry.sweep();
  }

  /** Turn after turn until `isOver`. */
  async churn(isOver) {
    const before = this.core.ringsVersion;
    const goneBefore = this.gone;
    while (!isOver()) {
      this.turn();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return { builds: this.core.ringsVersion - before, left: this.gone - goneBefore };
  }
}

const decided = new Fleet();
const other = new Fleet();
const decider = new Worker(new URL('decider.mjs', import.meta.url), {
  workerData: { memory: decided.memory },
});
const [deciderId] = await once(decider, 'message');
const witness = await Witness.of(deciderId);
if (!witness.isTrusted)
  console.error('no witness: a decision is blamed for what the machine takes');

const moved = { still: null, elsewhere: other, churn: decided };

const rounded = (ms) => Math.round(ms * 1000) / 1000;

async function measure(cell, forSeconds) {
  let isOver = false;
  const work = moved[cell]?.churn(() => isOver);
  decider.postMessage(forSeconds);
  const [result] = await once(decider, 'message');
  isOver = true;
  const slow = result.slow.map(({ fromMs, tookMs, sinceMs, waitedMs, ranMs }) => {
    const awayMs = witness.awayMs(fromMs, fromMs + tookMs);
    const ownMs = Math.min(tookMs - awayMs, sinceMs - waitedMs, ranMs);
    const parts = { tookMs, sinceMs, waitedMs, ranMs, awayMs, ownMs };
    return Object.fromEntries(Object.entries(parts).map(([key, ms]) => [key, rounded(ms)]));
  });
  return { ...result, slow, ...((await work) ?? { builds: 0, left: 0 }) };
}

await measure('churn', 1);
const results = { still: [], elsewhere: [], churn: [] };
for (let round = 0; round < rounds; round += 1) {
  for (const cell of Object.keys(results)) results[cell].push(await measure(cell, seconds));
}
await witness.stop();
await decider.terminate();

const sum = (list, key) => list.reduce((total, one) => total + one[key], 0);
const cells = Object.entries(results).map(([cell, list]) => {
  const slow = list.flatMap(({ slow }) => slow);
  return {
    cell,
    decisions: sum(list, 'decisions'),
    builds: sum(list, 'builds'),
    left: sum(list, 'left'),
    p50Us: medianOf(list.map(({ p50Us }) => p50Us)),
    maxUs: Math.max(...list.map(({ maxUs }) => maxUs)),
    aboveOneMs: slow.filter(({ tookMs }) => tookMs >= 1).length,
    ownMaxUs: Math.round(Math.max(0, ...slow.map(({ ownMs }) => ownMs)) * 1000),
    ownAboveOneMs: slow.filter(({ ownMs }) => ownMs >= 1).length,
  };
});
const { ownAboveOneMs } = cells.find(({ cell }) => cell === 'churn');
const budgets = [
  {
    what: 'decisions that took more than 1 ms of their own while instances leave and join',
    atMost: 0,
    measured: ownAboveOneMs,
  },
];
const facts = {
  ...runFacts([], {}),
  command: ['node bench/scale/churn.mjs', ...process.argv.slice(2)].join(' '),
};
console.log(`${formatFacts(facts)}\n`);
console.table(cells);
for (const { what, atMost, measured } of budgets) {
  console.log(`${measured <= atMost ? 'met' : 'missed'}: ${what}: ${measured}, at most ${atMost}`);
}
if (values.json !== undefined) {
  const { isTrusted } = witness;
  for (const run of Object.values(results).flat()) {
    run.slow = run.slow.filter(({ tookMs }) => tookMs >= 1);
  }
  const report = { facts, instances, seconds, rounds, isTrusted, cells, budgets, results };
  writeFileSync(values.json, `${JSON.stringify(report, null, 1)}\n`);
}
