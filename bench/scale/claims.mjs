/**
 * What a claim costs while 10,000 requests wait: for one instance after the other the first token
 * of its present request is told to the core, and the claims that this brings about are read. Both
 * together are timed, from JavaScript, as the router calls them. Run after the build:
 *
 *   node bench/scale/claims.mjs [--waiting 10000] [--seconds 4] [--rounds 3] [--json OUT]
 *
 * A claimed request is put back by a new one of the same kind, so that as many wait all the time.
 * Cells: 64 and 4,000 instances; the orders of the two modes; bound late by any instance, late by
 * the pair, early. Prompts of conversations, a third of them warm somewhere, so that instances
 * leave requests to warmer ones. A first token makes room for several short prompts: a claim takes
 * its share of the step; `stepP99Us` is of whole steps.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { build } from 'hdr-histogram-js';
import { formatFacts, runFacts } from '../../dist/bench/environment.js';
import { medianOf } from '../../dist/bench/statistics.js';
import { FleetState } from '../../dist/core/fleet-state.js';
import { Core, createStateMemory } from '../../dist/core/native.js';
import { coreOptions } from '../micro/fleet.mjs';

const { values } = parseArgs({
  options: {
    waiting: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
});
const waitingCount = Number(values.waiting);
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
const budgetUs = 20;
const blocksMax = 64;
const conversations = 4_096;

/** The same in every run. */
let seed = 1;
function below(limit) {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((seed / 2 ** 32) * limit);
}

function createFleet(instances, options) {
  const memory = createStateMemory({
    instancesMax: instances,
    threadsMax: 1,
    ringPointsMax: instances * 320,
    indexBlocks: 1 << 20,
    hotnessRequestsMax: instances * 32,
    waitingMax: waitingCount + 1,
  });
  const state = new FleetState(memory, instances);
  const core = new Core(memory, 0, { ...coreOptions, ...options });
  const members = Array.from({ length: instances }, (_, index) => {
    const url = `http://10.0.${index >> 8}.${index & 255}:8000`;
    const slot = state.takeSlot(url);
    state.setSpeed(slot, 0, 0.16);
    state.setCapacityBlocks(slot, 1 << 14);
    state.setState(slot, 'serving');
    return { slot, url, weight: 1, models: [] };
  });
  if (core.buildRings(members, 1n) !== 'built') throw new Error('the rings are not built');
  return core;
}

const openHistogram = () =>
  build({ highestTrackableValue: 1e10, numberOfSignificantValueDigits: 3 });

class Load {
  histogram = openHistogram();
  steps = openHistogram();
  claims = 0;
  coldClaims = 0;
  /** Tickets that prefill, in the order in which their first token comes. */
  #prefilling = [];
  #chain = new BigUint64Array(blocksMax);
  #nowMs = 1;
  #waiting = 0;

  constructor(core) {
    this.core = core;
    // Every instance is busy, and so many wait.
    while (this.#waiting < waitingCount) this.#place();
  }

  #place() {
    const name = BigInt(below(conversations));
    const blocks = 1 + below(blocksMax);
    // Two thirds are asked for the first time: their blocks are known nowhere.
    const from = below(3) === 0 ? 0 : 1 + below(2 ** 31);
    for (let block = 0; block < blocks; block += 1) {
      const word = (name << 40n) + (BigInt(from) << 8n) + BigInt(block + 1);
      this.#chain[block] = BigInt.asUintN(64, word * 0x9e3779b97f4a7c15n);
    }
    this.#nowMs += 0.01;
    const fault = this.core.placeChain(this.#chain, blocks, blocks * 128, this.#nowMs);
    if (fault !== null) throw new Error(fault);
    if (this.core.placement.isWaiting) this.#waiting += 1;
    else this.#prefilling.push(this.core.placement.ticket);
    this.#read();
  }

  #read() {
    let count = 0;
    while (this.core.nextClaim() !== null) {
      this.#prefilling.push(this.core.placement.ticket);
      if (this.core.placement.reason === 'cold_claim') this.coldClaims += 1;
      this.#waiting -= 1;
      count += 1;
    }
    return count;
  }

  /** One first token, the claims that it brings about, and others in their place. */
  step(isTimed) {
    const ticket = this.#prefilling.shift();
    this.#nowMs += 0.1;
    const startMs = performance.now();
    this.core.firstToken(ticket, this.#nowMs, 0);
    const count = this.#read();
    const tookMs = performance.now() - startMs;
    if (isTimed && count > 0) {
      this.histogram.recordValueWithCount(Math.round((tookMs * 1e6) / count), count);
      this.steps.recordValue(Math.round(tookMs * 1e6));
      this.claims += count;
    }
    this.core.end(ticket, this.#nowMs, 0);
    if (this.core.nextLookMs <= this.#nowMs) {
      this.core.look(this.#nowMs);
      this.#read();
    }
    while (this.#waiting < waitingCount) this.#place();
  }
}

const cells = [];
for (const instances of [64, 4_000]) {
  for (const queueOrder of ['deadline', 'hit']) {
    for (const binding of ['fleet', 'pair', 'early'])
      cells.push({ instances, queueOrder, binding });
  }
}

function measure({ instances, queueOrder, binding }) {
  seed = 1;
  const bindsLate = binding !== 'early';
  const fleetWide = binding === 'fleet';
  const options = { queues: true, queueOrder, bindsLate, fleetWide, prefillWindowTokens: 4096 };
  const policy = bindsLate ? 'dualmap' : 'dualmap-paper';
  const load = new Load(createFleet(instances, { ...options, policy }));
  for (let count = 0; count < 20_000; count += 1) load.step(false);
  const endMs = performance.now() + seconds * 1000;
  while (performance.now() < endMs) load.step(true);
  const at = (percent) => load.histogram.getValueAtPercentile(percent) / 1000;
  const maxUs = load.histogram.maxValue / 1000;
  const { claims, coldClaims } = load;
  const stepP99Us = load.steps.getValueAtPercentile(99) / 1000;
  return { claims, coldClaims, p50Us: at(50), p99Us: at(99), p999Us: at(99.9), maxUs, stepP99Us };
}

const results = cells.map(() => []);
for (let round = 0; round < rounds; round += 1) {
  for (const [index, cell] of cells.entries()) results[index].push(measure(cell));
}

const rows = cells.map((cell, index) => {
  const median = (key) => medianOf(results[index].map((one) => one[key]));
  const claims = results[index].reduce((sum, one) => sum + one.claims, 0);
  const maxUs = Math.max(...results[index].map((one) => one.maxUs));
  const percentiles = { p50Us: median('p50Us'), p99Us: median('p99Us'), p999Us: median('p999Us') };
  const rest = { maxUs, stepP99Us: median('stepP99Us') };
  return { ...cell, claims, coldClaims: median('coldClaims'), ...percentiles, ...rest };
});
const budgets = rows.map(({ instances, queueOrder, binding, p99Us }) => {
  const what = `claim p99 in us, ${instances} instances, order ${queueOrder}, binding ${binding}`;
  return { what, atMost: budgetUs, measured: p99Us };
});
const facts = {
  ...runFacts([], {}),
  command: ['node bench/scale/claims.mjs', ...process.argv.slice(2)].join(' '),
};
console.log(`${formatFacts(facts)}\n`);
console.table(rows);
for (const { what, atMost, measured } of budgets) {
  console.log(`${measured <= atMost ? 'met' : 'missed'}: ${what}: ${measured}, at most ${atMost}`);
}
if (values.json !== undefined) {
  const report = { facts, waiting: waitingCount, seconds, rounds, rows, budgets };
  writeFileSync(values.json, `${JSON.stringify(report, null, 1)}\n`);
}
