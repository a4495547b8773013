import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readTrace, type TraceRow } from '../../src/replay/trace.ts';
import { presets } from '../../src/simulate/presets.ts';
import { Run, runScenario } from '../../src/simulate/scenario.ts';
import { makeWorkload } from '../../src/simulate/workload.ts';
import { blockTokens, placeBy, tracesFolder, workloadOf } from '../support/simulate.ts';

/**
 * Rung 1 of the validation ladder: what caches give on the real traces when nobody looks at load.
 */

const folder = tracesFolder();
const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);
const rowsOf = (name: string) => readTrace(join(folder!, `${name}.jsonl.gz`));

describe.skipIf(folder === null)('the real traces', () => {
  test.each([
    ['conversation_trace', 37.4],
    ['synthetic_trace', 65.1],
  ])('%s: an infinite cache gives %f percent of the tokens', async (name, percent) => {
    const workload = workloadOf(await rowsOf(name));
    const prompt = sum(workload.inputTokens);
    expect(Math.abs((100 * sum(workload.limitHitTokens)) / prompt - percent)).toBeLessThan(0.1);
    // The engine's own account of it: one instance that never evicts.
    const model = { ...presets['paper-7b'], cacheTokens: Number.POSITIVE_INFINITY };
    const arrivals = Float64Array.from({ length: workload.count }, (_, row) => row * 1e6);
    const run = new Run(
      workload,
      arrivals,
      model,
      1,
      placeBy(() => 0),
    );
    run.toTheEnd();
    expect(run.engines[0]!.hitTokens).toBe(sum(workload.limitHitTokens));
    expect(run.engines[0]!.computedTokens + run.engines[0]!.hitTokens).toBe(prompt);
  });

  describe('the first 4,000 conversation rows under 20,480 tokens, paper-7b, 8 instances', () => {
    const seeds = [1, 2, 3, 4, 5];
    const select = (rows: readonly TraceRow[]) =>
      makeWorkload(rows.slice(0, 4000), {
        trace: 'conversation',
        blockTokens,
        limit: null,
        maxInputTokens: 20_479,
      });

    test.each([
      ['round_robin', 11.3],
      ['consistent_hash', 31.6],
    ] as const)('%s: %f percent of the tokens', async (policy, percent) => {
      const workload = select(await rowsOf('conversation_trace'));
      expect(workload.count).toBe(3245);
      expect((100 * sum(workload.limitHitTokens)) / sum(workload.inputTokens)).toBeCloseTo(32.3, 1);
      const ratios = seeds.map((seed) => {
        const fleet = { preset: 'paper-7b', instances: 8, join: null, routers: 1 } as const;
        const rest = { config: { policy }, seed, arrivals: 'spread', viewDelayMs: 0 } as const;
        return runScenario(workload, { ...fleet, ...rest, rate: { load: 0.2 }, warmup: 0 })
          .hitRatio;
      });
      expect(Math.abs((100 * sum(ratios)) / seeds.length - percent)).toBeLessThan(0.5);
    });

    // The reference gives 27.0 for "best hit". We measure 31.4 for it with this engine and with a
    // plain LRU of ids alike, whatever the tie-break; only a pair that mixes in load comes down to
    // 27. So what is held here is our figure, and that it lies between the other two.
    test.each([
      ['least work', 22.3],
      ['best hit', 31.4],
    ] as const)('two hashes by %s: %f percent of the tokens', async (rule, percent) => {
      const workload = select(await rowsOf('conversation_trace'));
      const ratios = seeds.map((seed) => twoHashes(workload, rule, seed));
      expect(Math.abs((100 * sum(ratios)) / seeds.length - percent)).toBeLessThan(0.5);
    });
  });
});

type Rule = 'least work' | 'best hit';

/** Two hashes of the first two blocks; requests come one by one, so nobody waits. */
function twoHashes(workload: ReturnType<typeof workloadOf>, rule: Rule, seed: number): number {
  const instances = 8;
  const { blockStart, blocks, inputTokens, count } = workload;
  const work = new Float64Array(instances);
  const choose = (request: number): number => {
    const start = blockStart[request]!;
    const depth = Math.min(2, blockStart[request + 1]! - start);
    const key = depth === 0 ? -1 - request : blocks[start + depth - 1]!;
    const one = hashOf(key, seed) % instances;
    const drawn = hashOf(key, seed + 100) % instances;
    const two = drawn === one ? (one + 1) % instances : drawn;
    const hits = [one, two].map((at) => run.engines[at]!.residentTokens(request));
    const isLess = work[one]! <= work[two]!;
    const takesOne = rule === 'best hit' && hits[0] !== hits[1] ? hits[0]! > hits[1]! : isLess;
    const chosen = takesOne ? one : two;
    work[chosen]! += inputTokens[request]! - hits[takesOne ? 0 : 1]!;
    return chosen;
  };
  const arrivals = Float64Array.from({ length: count }, (_, row) => row * 1e6);
  const run: Run = new Run(workload, arrivals, presets['paper-7b'], instances, placeBy(choose));
  run.toTheEnd();
  return sum(run.engines.map((engine) => engine.hitTokens)) / sum(inputTokens);
}

function hashOf(key: number, seed: number): number {
  let mixed = (key + Math.imul(seed, 0x9e3779b9)) >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
