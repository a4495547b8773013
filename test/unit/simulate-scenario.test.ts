import { expect, test } from 'vitest';
import { CoreRouter } from '../../src/simulate/placer.ts';
import { presets } from '../../src/simulate/presets.ts';
import { Run, runScenario, type Scenario } from '../../src/simulate/scenario.ts';
import { Random } from '../support/random.ts';
import { poisson, rowOf, workloadOf } from '../support/simulate.ts';

/** Conversations of a few turns each that all begin with the same block. */
function conversations(count: number, seed: number) {
  const random = new Random(seed);
  const rows = Array.from({ length: count }, (_, at) => {
    const user = random.below(40);
    const turn = 1 + random.below(6);
    const ids = Array.from({ length: 2 * turn + 1 }, (_, block) => {
      return block === 0 ? 0 : 100 * (user + 1) + block;
    });
    return rowOf(at - (at % 5), 1024 * turn + 100, 1 + random.below(200), ids);
  });
  return workloadOf(rows);
}

const scenario: Scenario = {
  preset: 'paper-7b',
  instances: 4,
  join: null,
  routers: 1,
  config: { policy: 'dualmap-paper' },
  rate: { load: 0.8 },
  seed: 1,
  arrivals: 'spread',
  viewDelayMs: 0,
  warmup: 0,
};

test('the same seed gives the same bytes, another one does not', () => {
  const workload = conversations(600, 3);
  const cell = (seed: number) => JSON.stringify(runScenario(workload, { ...scenario, seed }));
  expect(cell(1)).toBe(cell(1));
  expect(cell(2)).not.toBe(cell(1));
});

test('rates are shares of warm saturation, or requests a second', () => {
  const workload = conversations(300, 4);
  const { qps, load } = runScenario(workload, scenario);
  expect(load).toBeCloseTo(0.8, 9);
  const same = runScenario(workload, { ...scenario, rate: { qps } });
  expect(same).toEqual({ ...runScenario(workload, scenario), load: same.load });
  // At saturation an infinite cache leaves just the work that the instances can do.
  const tokens = workload.inputTokens.reduce((sum, count) => sum + count, 0);
  const cached = workload.limitHitTokens.reduce((sum, count) => sum + count, 0);
  expect(qps / load).toBeCloseTo((4 * 300 * 1000) / ((tokens - cached) * 0.16), 6);
});

const fleets = [
  { preset: 'paper-7b', config: { policy: 'least_tokens' } },
  { preset: 'paper-14b', config: { policy: 'dualmap' } },
  { preset: 'a100-7b', config: { policy: 'dualmap-paper' } },
  { preset: 'h100-14b', config: { policy: 'dualmap' } },
  { preset: 'a100-7b', config: { policy: 'round_robin', queueMode: 'router' } },
  { preset: 'paper-7b', config: { policy: 'dualmap', latePolicy: 'shed' } },
] as const;

test.each(fleets)('$preset, $config: each request ends once, all is given back', (fleet) => {
  const { preset, config } = fleet;
  const workload = conversations(500, 5);
  const { cacheTokens } = presets[preset];
  const fleet3 = { instances: 3, instancesMax: 3 };
  const setting = { ...fleet3, config, ringSeed: 1, perTokenMs: 0.16, cacheTokens };
  const random = new Random(9);
  const arrivals = poisson(workload.count, 30, () => random.below(2 ** 30) / 2 ** 30);
  const routers: CoreRouter[] = [];
  const run = new Run(workload, arrivals, presets[preset], 3, (outlet) => {
    for (let at = 0; at < 2; at++) routers.push(new CoreRouter(workload, setting, outlet));
    return routers;
  });
  run.deal(1);
  run.toTheEnd();
  expect(routers.map((router) => router.ticketsInUse)).toEqual([0, 0]);
  const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);
  const hits = sum(run.engines.map((engine) => engine.hitTokens));
  const computed = sum(run.engines.map((engine) => engine.computedTokens));
  const served = (request: number) => Number.isFinite(run.ledger.ttftMs[request]!);
  expect(hits + computed).toBe(sum(workload.inputTokens.filter((_, request) => served(request))));
  expect(sum(run.ledger.cachedTokens)).toBe(hits);
  expect(run.ledger.ttftMs.filter((ms) => !Number.isFinite(ms)).length).toBe(run.lost);
  expect(run.lost > 0).toBe('latePolicy' in config);
});

test('a core that forgets a waiting request is found out', () => {
  const workload = conversations(5, 1);
  const forgetful = () => [
    {
      nextLookMs: Number.POSITIVE_INFINITY,
      look: () => undefined,
      arrive: () => undefined,
      firstToken: () => undefined,
      end: () => undefined,
    },
  ];
  const run = new Run(workload, new Float64Array(5), presets['paper-7b'], 1, forgetful);
  expect(() => run.toTheEnd()).toThrow('stands still with 5 requests');
});

test('what waits in the router goes in its order, and is late for it less often', () => {
  const workload = conversations(600, 8);
  const at = (queueMode: 'direct' | 'router') => {
    const config = { policy: 'least_tokens', queueMode, sloTtftMs: 1000 } as const;
    return runScenario(workload, { ...scenario, config, rate: { load: 1.3 } });
  };
  expect([at('direct').queue, at('router').queue]).toEqual(['direct', 'router']);
  expect(at('router').attainment).toBeGreaterThan(at('direct').attainment);
  expect(JSON.stringify(at('router'))).toBe(JSON.stringify(at('router')));
});

test('figures leave out the warm-up; shares and percentiles are those of the rest', () => {
  const workload = conversations(200, 6);
  const all = runScenario(workload, { ...scenario, config: { sloTtftMs: 400 } });
  const rest = runScenario(workload, { ...scenario, config: { sloTtftMs: 400 }, warmup: 150 });
  expect([all.requests, rest.requests]).toEqual([200, 50]);
  expect(all.attainment).toBeGreaterThan(0);
  expect(all.attainment).toBeLessThan(1);
  expect(rest.hitRatio).toBeGreaterThan(all.hitRatio);
  expect(all.ttftMs.p50!).toBeLessThanOrEqual(all.ttftMs.p90!);
  expect(all.hitShareOfLimit!).toBeLessThanOrEqual(1);
  expect(all.workMaxOverMean).toBeGreaterThanOrEqual(1);
});

test('attainment is the share within the objective, percentiles are of the nearest rank', () => {
  const workload = conversations(200, 6);
  const at = (sloTtftMs: number) =>
    runScenario(workload, { ...scenario, config: { policy: 'round_robin', sloTtftMs } });
  const { p50, p90 } = at(1).ttftMs;
  expect(at(1).attainment).toBe(0);
  expect([at(p50!).attainment, at(p90!).attainment]).toEqual([0.5, 0.9]);
  expect(at(p90! - 1e-6).attainment).toBe(0.895);
});

test.each(['paper-7b', 'h100-7b'] as const)(
  '%s: what is out of reach is late at any rate',
  (preset) => {
    const workload = conversations(300, 6);
    // One engine that never has to wait nor to evict is as good as it gets.
    const idle = { ...scenario, preset, instances: 1, rate: { load: 1e-6 } };
    const at = (sloTtftMs: number) => runScenario(workload, { ...idle, config: { sloTtftMs } });
    expect(at(60_000).outOfReach).toBe(0);
    const tight = at(at(60_000).ttftMs.p50! + 0.001);
    expect(tight.outOfReach).toBeGreaterThan(0.1);
    expect(tight.attainment).toBeCloseTo(1 - tight.outOfReach, 9);
  },
);

test('routers that share nothing find less in the caches', () => {
  const workload = conversations(800, 7);
  const ratio = (routers: number) =>
    runScenario(workload, { ...scenario, routers, config: { policy: 'least_tokens' } }).hitRatio;
  expect(ratio(8)).toBeLessThan(ratio(1));
});
