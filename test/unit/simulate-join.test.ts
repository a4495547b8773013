import { describe, expect, test } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { warmUpSteps } from '../../src/fleet/instance.ts';
import { parseSimulateOptions, SimulateFault } from '../../src/simulate/options.ts';
import { CoreRouter, configOf } from '../../src/simulate/placer.ts';
import { type PresetName, presets } from '../../src/simulate/presets.ts';
import { RouterFleet } from '../../src/simulate/router-fleet.ts';
import { Run, runScenario } from '../../src/simulate/scenario.ts';
import { runTasks, tasksOf } from '../../src/simulate/sweep.ts';
import type { Workload } from '../../src/simulate/workload.ts';
import { Random } from '../support/random.ts';
import { poisson, rowOf, strangers, workloadOf } from '../support/simulate.ts';

interface Fleet {
  readonly preset: PresetName;
  readonly instances: number;
  readonly joining: number;
  readonly afterRequests: number;
  readonly config: Partial<Config>;
  readonly routers?: number;
  readonly metricsEveryMs?: number;
}

/** Runs it, and notes where each request is sent. */
function watch(workload: Workload, arrivalsMs: Float64Array, fleet: Fleet) {
  const { instances, joining, config, routers = 1, metricsEveryMs } = fleet;
  const model = presets[fleet.preset];
  const { cacheTokens } = model;
  const instancesMax = instances + joining;
  const setting = { instances, instancesMax, config, ringSeed: 1, perTokenMs: 1, cacheTokens };
  const sentTo = new Array<number>(workload.count).fill(-1);
  const opened: CoreRouter[] = [];
  const usesJoined = new Array<boolean>(routers).fill(false);
  const run = new Run(workload, arrivalsMs, model, instances, (outlet) => {
    const watchedBy = (router: number) => ({
      dispatch(request: number, instance: number, nowMs: number) {
        // Nobody is sent to what is not there.
        if (nowMs < (run.joined?.atMs ?? Infinity)) expect(instance).toBeLessThan(instances);
        sentTo[request] = instance;
        if (instance >= instances) usesJoined[router] = true;
        outlet.dispatch(request, instance, nowMs);
      },
      turnAway: (request: number) => outlet.turnAway(request),
    });
    for (let at = 0; at < routers; at++) {
      opened.push(new CoreRouter(workload, setting, watchedBy(at)));
    }
    return opened;
  });
  run.deal(1);
  run.joinAfter(fleet.afterRequests, joining);
  if (metricsEveryMs !== undefined) run.scrapeEvery(metricsEveryMs, 50, 1);
  run.toTheEnd();
  return { run, sentTo, usesJoined, routers: opened };
}

const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);

test('who takes turns has the new engines in the round from the next request on', () => {
  const workload = strangers(new Int32Array(12).fill(10));
  const arrivalsMs = Float64Array.from({ length: 12 }, (_, at) => 1000 * at);
  const fleet = { preset: 'serial', instances: 2, joining: 2, afterRequests: 4 } as const;
  const config = { policy: 'round_robin', queueMode: 'direct' } as const;
  const { run, sentTo } = watch(workload, arrivalsMs, { ...fleet, config });
  expect(run.joined).toEqual({ instances: 2, atMs: 3000 });
  expect(sentTo.slice(0, 4).toSorted()).toEqual([0, 0, 1, 1]);
  expect(sentTo.slice(4).toSorted()).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
});

test('who looks at the load alone sees an empty engine at once, though it warms up', () => {
  const workload = strangers(new Int32Array(6).fill(1000));
  const fleet = { preset: 'serial', instances: 1, joining: 1, afterRequests: 3 } as const;
  const config = { policy: 'least_tokens', queueMode: 'direct', warmUpMs: 3_600_000 } as const;
  const { run, sentTo } = watch(workload, new Float64Array(6), { ...fleet, config });
  expect(sentTo).toEqual([0, 0, 0, 1, 1, 1]);
  expect([...run.ledger.ttftMs]).toEqual([1000, 2000, 3000, 1000, 2000, 3000]);
});

test('what waits in the router when an engine joins keeps its place', () => {
  const workload = strangers(new Int32Array(5).fill(1000));
  const fleet = { preset: 'serial', instances: 1, joining: 3, afterRequests: 4 } as const;
  const config = { policy: 'least_tokens', queueMode: 'router', warmUpMs: 0 } as const;
  const { run } = watch(workload, new Float64Array(5), { ...fleet, config });
  expect([...run.ledger.ttftMs]).toEqual([1000, 2000, 3000, 4000, 1000]);
});

describe('a warm-up of nine seconds', () => {
  const keys = 400;
  const rounds = 20;
  const rows = Array.from({ length: keys * rounds }, (_, at) => {
    const key = at % keys;
    return rowOf(at / keys, 1024, 1, [2 * key, 2 * key + 1]);
  });
  const workload = workloadOf(rows);
  // A round a second: all of its requests come in the middle of it.
  const arrivalsMs = Float64Array.from(rows, (_, at) => 1000 * Math.floor(at / keys) + 500);
  const roundsOf = (warmUpMs: number) => {
    const fleet = { preset: 'serial', instances: 3, joining: 1, afterRequests: 3 * keys } as const;
    const config = { policy: 'consistent_hash', queueMode: 'direct', warmUpMs } as const;
    const { sentTo } = watch(workload, arrivalsMs, { ...fleet, config });
    return Array.from({ length: rounds }, (_, at) => sentTo.slice(at * keys, (at + 1) * keys));
  };
  const taken = (round: readonly number[]) => round.filter((instance) => instance === 3).length;

  test('brings keys to the engine that joins, step by step, and moves no other', () => {
    const sent = roundsOf(9_000);
    for (const [at, round] of sent.entries()) {
      const before = sent[Math.max(0, at - 1)]!;
      const moved = round.filter((instance, key) => instance !== before[key]);
      expect(moved.every((instance) => instance === 3)).toBe(true);
    }
    const counts = sent.map(taken);
    expect(counts.slice(0, 3)).toEqual([0, 0, 0]);
    // At once a tenth of its weight, after nine seconds all of it.
    expect(counts[3]).toBeGreaterThan(0);
    expect(counts[3]).toBeLessThan(keys / 10);
    expect(new Set(counts.slice(3, 13)).size).toBeGreaterThan(7);
    expect(counts[12]).toBeGreaterThan(keys / 8);
    expect(new Set(counts.slice(12)).size).toBe(1);
  });

  test('ends where one of no length begins', () => {
    const [slow, fast] = [roundsOf(9_000), roundsOf(0)];
    expect(fast[2]).toEqual(slow[2]);
    expect(fast[3]).toEqual(slow[12]);
  });
});

test.each([1, 2, 3])('keys keep a candidate at every step, ring seed %i', (ringSeed) => {
  const random = new Random(ringSeed);
  const word = () => BigInt(random.below(2 ** 32));
  const keys = Array.from({ length: 5_000 }, () => (word() << 32n) | word());
  const config = configOf({ warmUpMs: 9_000 });
  const setting = { instances: 4, instancesMax: 5, ringSeed, perTokenMs: 1, cacheTokens: 0 };
  const fleet = new RouterFleet(strangers(new Int32Array(1)), { ...setting, config });
  const pairs = () =>
    keys.map((key) => {
      const { first, second } = fleet.core.pairOf(key);
      return [first, second];
    });
  const withIt = () => pairs().filter((pair) => pair.includes(4)).length / keys.length;
  let before = pairs();
  expect(fleet.nextStepMs).toBe(Number.POSITIVE_INFINITY);
  fleet.join(1, 500);
  const shares: number[] = [];
  for (let step = 1; step <= warmUpSteps; step++) {
    fleet.takeSteps(500 + 1000 * (step - 1));
    const now = pairs();
    expect(now.every((pair, at) => pair.some((slot) => before[at]!.includes(slot)))).toBe(true);
    const isLast = step === warmUpSteps;
    expect(fleet.nextStepMs).toBe(isLast ? Number.POSITIVE_INFINITY : 500 + 1000 * step);
    before = now;
    shares.push(withIt());
  }
  expect(shares).toEqual(shares.toSorted((a, b) => a - b));
  expect(shares[0]).toBeLessThan(0.1);
  expect(shares.at(-1)).toBeGreaterThan(0.3);
});

/** Conversations of a few turns each. */
function conversations(count: number, seed: number) {
  const random = new Random(seed);
  const rows = Array.from({ length: count }, (_, at) => {
    const user = random.below(60);
    const turn = 1 + random.below(6);
    const ids = Array.from({ length: 2 * turn + 1 }, (_, block) => 100 * user + block);
    return rowOf(at - (at % 5), 1024 * turn + 100, 1 + random.below(200), ids);
  });
  return workloadOf(rows);
}

const fleets = [
  { preset: 'paper-7b', config: { policy: 'dualmap' } },
  { preset: 'paper-7b', config: { policy: 'dualmap-paper' } },
  { preset: 'a100-7b', config: { policy: 'dualmap' } },
  { preset: 'a100-7b', config: { policy: 'least_tokens', queueMode: 'router' } },
  { preset: 'h100-14b', config: { policy: 'preble' } },
  { preset: 'paper-7b', config: { policy: 'llmd_default' } },
] as const;

test.each(fleets)('$preset, $config: a join loses no request, and each ends once', (fleet) => {
  const workload = conversations(600, 5);
  const random = new Random(9);
  const arrivals = poisson(workload.count, 20, () => random.below(2 ** 30) / 2 ** 30);
  const more = { instances: 2, joining: 2, afterRequests: 300, routers: 2, metricsEveryMs: 200 };
  const { run, sentTo, usesJoined, routers } = watch(workload, arrivals, { ...fleet, ...more });
  expect(run.lost).toBe(0);
  expect(routers.map((router) => router.ticketsInUse)).toEqual([0, 0]);
  expect(run.engines.map((_, engine) => sentTo.includes(engine))).toEqual([true, true, true, true]);
  expect(usesJoined).toEqual([true, true]);
  const counts = run.engines.map((engine) => engine.hitTokens + engine.computedTokens);
  expect(sum(counts)).toBe(sum(workload.inputTokens));
  expect(run.ledger.ttftMs.every((ms) => Number.isFinite(ms))).toBe(true);
});

test('an overloaded fleet is back in time with the first part after its join', () => {
  // A request of one second every half a second, in time if it waits for no more than one.
  const rows = Array.from({ length: 200 }, (_, at) => rowOf(at, 1000, 1, [2 * at, 2 * at + 1]));
  const cell = runScenario(workloadOf(rows), {
    ...{ preset: 'serial', instances: 1, join: { instances: 3, share: 0.5 }, routers: 1 },
    config: { policy: 'least_tokens', queueMode: 'direct', sloTtftMs: 2_000 },
    ...{ rate: { load: 2 }, seed: 1, arrivals: 'raw', viewDelayMs: 0, warmup: 0 },
  });
  expect(cell.load).toBeCloseTo(2, 9);
  expect(cell.qps).toBeCloseTo(2, 9);
  const { joined, lost, attainment, backInMs, timeline } = cell;
  expect([joined!.instances, lost]).toEqual([3, 0]);
  // The hundredth request has arrived. A part lasts 995 ms; the next one begins at 49,750.
  expect(joined!.atMs).toBeCloseTo(49_500, 6);
  expect(backInMs).toBeCloseTo(250, 6);
  expect(attainment).toBe((3 + 100) / 200);
  const late = new Array<number>(48).fill(0);
  expect(timeline.attainment).toEqual([1, 0.5, ...late, ...new Array<number>(50).fill(1)]);
  // An engine that is not there yet is no idle one.
  expect(timeline.imbalanceCv[49]).toBe(0);
  expect(timeline.imbalanceCv[51]).toBeGreaterThan(1);
});

test('the same seed gives the same bytes, on one thread and on two', async () => {
  const options = parseSimulateOptions({
    ...{ trace: 'made.jsonl', policy: 'dualmap,dualmap-paper,least_tokens', routers: '1,2' },
    ...{ instances: '3', join: '2@0.4', load: '1.2', report: 'out.html', set: 'warm-up-secs=5' },
  });
  const tasks = tasksOf([conversations(500, 2)], options);
  const cells = async (threads: number) =>
    JSON.stringify(await runTasks(tasks, threads, () => undefined));
  const one = await cells(1);
  expect(one).toContain('"joined":{"instances":2,');
  expect(await cells(2)).toBe(one);
});

test.each([
  ['4@0.5', { instances: 4, share: 0.5 }],
  ['1@0.001', { instances: 1, share: 0.001 }],
])('--join %s is read', (join, expected) => {
  expect(parseSimulateOptions({ trace: 't.jsonl', join }).join).toEqual(expected);
});

test.each(['4', '@', '0@0.5', '1.5@0.5', '4@', '4@0', '4@1', '4@0.5@0.7', 'x@0.5'])(
  '--join %s is a fault',
  (join) => {
    expect(() => parseSimulateOptions({ trace: 't.jsonl', join })).toThrow('--join: must be');
  },
);

test('a fleet that joins counts into the limit of the fleet', () => {
  const given = (join: string) => () =>
    parseSimulateOptions({ trace: 't.jsonl', instances: '8,4000', join });
  expect(given('96@0.5')).not.toThrow();
  expect(given('97@0.5')).toThrow(SimulateFault);
  expect(given('97@0.5')).toThrow('at most 4096 engines');
  expect(parseSimulateOptions({ trace: 't.jsonl' }).join).toBeNull();
});
