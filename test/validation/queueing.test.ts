import { expect, test } from 'vitest';
import { createRandom } from '../../src/replay/random.ts';
import { presets } from '../../src/simulate/presets.ts';
import { Run } from '../../src/simulate/scenario.ts';
import { placeBy, poisson, strangers } from '../support/simulate.ts';

/** Rung 2 of the validation ladder: queues whose behaviour is known in closed form. */

const seeds = [1, 2, 3, 4];
const count = 1_000_000;
/** The preset `serial` takes 1 ms a token. */
const serviceMs = 1000;

/** Mean wait of one server before its service begins. */
function meanWaitMs(rho: number, sizesMs: readonly number[]): number {
  let sum = 0;
  for (const seed of seeds) {
    const random = createRandom(seed);
    const tokens = Int32Array.from(
      { length: count },
      () => sizesMs[Math.floor(random() * sizesMs.length)]!,
    );
    const meanMs = sizesMs.reduce((total, ms) => total + ms, 0) / sizesMs.length;
    const arrivals = poisson(count, (1000 * rho) / meanMs, random);
    const run = new Run(
      strangers(tokens),
      arrivals,
      presets.serial,
      1,
      placeBy(() => 0),
    );
    run.toTheEnd();
    for (let row = 0; row < count; row++) sum += run.ledger.ttftMs[row]! - tokens[row]!;
  }
  return sum / (seeds.length * count);
}

test.each([0.5, 0.8, 0.9])('M/D/1 at load %f waits as it must', (rho) => {
  const expected = (rho * serviceMs) / (2 * (1 - rho));
  expect(Math.abs(meanWaitMs(rho, [serviceMs]) / expected - 1)).toBeLessThan(0.02);
});

test.each([0.5, 0.8])('two sizes at load %f wait as Pollaczek and Khinchine say', (rho) => {
  const sizesMs = [200, 1800];
  const meanMs = (sizesMs[0]! + sizesMs[1]!) / 2;
  const squares = (sizesMs[0]! ** 2 + sizesMs[1]! ** 2) / 2;
  const expected = (rho * squares) / meanMs / (2 * (1 - rho));
  expect(Math.abs(meanWaitMs(rho, sizesMs) / expected - 1)).toBeLessThan(0.02);
});

test('the shorter of two queues: their tail falls doubly exponentially', () => {
  const instances = 100;
  const rho = 0.9;
  const random = createRandom(7);
  const tokens = Int32Array.from({ length: count }, () =>
    Math.max(1, Math.round(-serviceMs * Math.log(1 - random()))),
  );
  const arrivals = poisson(count, (instances * rho * 1000) / serviceMs, random);
  const queued = new Int32Array(instances);
  const instanceOf = new Int32Array(count);
  const atLeast = new Float64Array(12);
  const choose = (request: number) => {
    // What an arrival sees is what holds over time; the first half is warm-up.
    if (request > count / 2) {
      for (const length of queued) for (let i = 0; i <= length && i < 12; i++) atLeast[i]!++;
    }
    const one = Math.floor(random() * instances);
    const two = (one + 1 + Math.floor(random() * (instances - 1))) % instances;
    const chosen = queued[one]! <= queued[two]! ? one : two;
    queued[chosen]!++;
    instanceOf[request] = chosen;
    return chosen;
  };
  const ended = (request: number) => {
    queued[instanceOf[request]!]!--;
  };
  new Run(
    strangers(tokens),
    arrivals,
    presets.serial,
    instances,
    placeBy(choose, ended),
  ).toTheEnd();
  for (const i of [1, 2, 3, 4]) {
    const share = atLeast[i]! / atLeast[0]!;
    // The law is that of infinitely many servers.
    const ratio = share / rho ** (2 ** i - 1);
    expect(Math.abs(ratio - 1)).toBeLessThan(i < 4 ? 0.025 : 0.1);
  }
  expect(atLeast[7]! / atLeast[0]!).toBeLessThan(0.001);
});
