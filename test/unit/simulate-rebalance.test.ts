import { expect, test } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { configOf } from '../../src/simulate/placer.ts';
import { runScenario } from '../../src/simulate/scenario.ts';
import { rebalances } from '../../src/threads.ts';
import { Random } from '../support/random.ts';
import { rowOf, workloadOf } from '../support/simulate.ts';

/** Rebalancing in the simulator: the planner of the live router, at once. */

/** Conversations that grow long: their instances keep them for the sake of what is cached. */
function conversations(count: number) {
  const random = new Random(2);
  const turns = new Map<number, number>();
  const rows = Array.from({ length: count }, (_, at) => {
    const name = random.below(60);
    const turn = ((turns.get(name) ?? 0) % 8) + 1;
    turns.set(name, turn);
    const ids = Array.from({ length: 4 * turn }, (_, block) => 100 * name + block);
    return rowOf(at / 10, 512 * ids.length, 1, ids);
  });
  return workloadOf(rows);
}

function cellOf(config: Partial<Config>, load: number) {
  return runScenario(conversations(600), {
    preset: 'paper-7b',
    instances: 4,
    join: null,
    routers: 1,
    config,
    rate: { load },
    seed: 1,
    arrivals: 'spread',
    viewDelayMs: 0,
    warmup: 0,
  });
}

test('the published mode moves what would be late, unless it is switched off', () => {
  const config = { policy: 'dualmap-paper', sloTtftMs: 5_000 } as const;
  const on = cellOf(config, 0.7);
  expect(on.migrations).toBeGreaterThan(10);
  expect(cellOf({ ...config, rebalance: 'on' }, 0.7)).toEqual(on);
  expect(cellOf({ ...config, rebalance: 'off' }, 0.7).migrations).toBe(0);
});

test('an old wait alone is enough: no pair here is overloaded as a whole', () => {
  // Whatever is estimated on arrival is within this; what waits for 3 s may still be late.
  const config = { policy: 'dualmap-paper', sloTtftMs: 5_000, sloFraction: 1 } as const;
  expect(cellOf(config, 0.9).migrations).toBeGreaterThan(0);
});

test.each([
  [{ policy: 'dualmap-paper' }, true],
  [{ policy: 'dualmap-paper', rebalance: 'off' }, false],
  [{ policy: 'dualmap-paper', binding: 'late' }, false],
  [{ policy: 'dualmap-paper', queueMode: 'direct' }, false],
  [{ policy: 'dualmap' }, false],
  [{ policy: 'dualmap', binding: 'early' }, false],
  [{ policy: 'dualmap', binding: 'early', rebalance: 'on' }, true],
  [{ policy: 'dualmap', rebalance: 'on' }, false],
  [{ policy: 'least_tokens', queueMode: 'router' }, false],
] as const)('%j rebalances: %s', (config, isOn) => {
  expect(rebalances(configOf(config))).toBe(isOn);
});
