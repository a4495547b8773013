import { describe, expect, test } from 'vitest';
import { stepConstants } from '../../src/simulate/engine-constants.ts';
import { type EngineModel, presets, stepModel } from '../../src/simulate/presets.ts';
import { Run } from '../../src/simulate/scenario.ts';
import { StepEngine } from '../../src/simulate/step-engine.ts';
import type { Workload } from '../../src/simulate/workload.ts';
import { Random } from '../support/random.ts';
import { placeBy, rowOf, workloadOf } from '../support/simulate.ts';

const ids = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index);

function runOn(workload: Workload, model: EngineModel, arrivalsMs: readonly number[]) {
  const ended: number[] = [];
  const placers = placeBy(
    () => 0,
    (request) => ended.push(request),
  );
  const run = new Run(workload, Float64Array.from(arrivalsMs), model, 1, placers);
  run.toTheEnd();
  return { run, ended, engine: run.engines[0]! };
}

describe('the paper engine', () => {
  const model = presets['paper-7b'];

  test('one request takes a time for each token, a repeated one for what is not cached', () => {
    const rows = [rowOf(0, 1100, 3, ids(3)), rowOf(1, 1100, 1, ids(3)), rowOf(2, 1024, 1, ids(2))];
    const { run, engine, ended } = runOn(workloadOf(rows), model, [0, 10_000, 20_000]);
    expect(run.ledger.ttftMs[0]).toBeCloseTo(1100 * 0.16, 9);
    expect(run.ledger.ttftMs[1]).toBeCloseTo((1100 - 1024) * 0.16, 9);
    // Of a prompt that is cached as a whole the last block is computed anew.
    expect(run.ledger.ttftMs[2]).toBeCloseTo(512 * 0.16, 9);
    expect([engine.hitTokens, engine.computedTokens]).toEqual([1536, 1100 + 76 + 512]);
    expect(ended).toEqual([0, 1, 2]);
  });

  test('prompts wait for each other, decoding holds up nobody', () => {
    const rows = [rowOf(0, 1000, 50, [1, 2]), rowOf(1, 500, 1, [3])];
    const { run, ended } = runOn(workloadOf(rows), model, [0, 10]);
    expect(run.ledger.ttftMs[1]).toBeCloseTo(1500 * 0.16 - 10, 9);
    expect(ended).toEqual([1, 0]);
  });
});

describe('the step engine', () => {
  const constants = stepConstants['a100-7b'];
  const model = stepModel(constants);

  const gemm = (tokens: number) => {
    const from = constants.gemmMs.findLast(([at]) => at <= tokens)!;
    const to = constants.gemmMs.find(([at]) => at >= tokens)!;
    const share = to[0] === from[0] ? 0 : (tokens - from[0]) / (to[0] - from[0]);
    return from[1] + share * (to[1] - from[1]);
  };
  const attention = (x: number, p: number) =>
    0.1696 + 0.001076 * x + 2.1385e-6 * (x * p + (x * x) / 2);
  const reading = (context: number) => 0.6241 + (57_344 * context) / 1.542e9;
  const prefill = (x: number, p: number) => 1 + gemm(x) + 0.772 + attention(x, p);
  const decode = (context: number) => 1 + gemm(1) + 0.772 + reading(context);

  test('one request takes the steps of the closed form', () => {
    const { run, engine, ended } = runOn(workloadOf([rowOf(0, 5000, 300, ids(10))]), model, [100]);
    const ttftMs = 15 + prefill(2048, 0) + prefill(2048, 2048) + prefill(904, 4096);
    expect(run.ledger.ttftMs[0]).toBeCloseTo(ttftMs, 6);
    const decodes = ids(299, 5001).reduce((sum, context) => sum + decode(context), 0);
    expect(engine.busyMs).toBeCloseTo(ttftMs - 15 + decodes, 6);
    expect((engine as StepEngine).steps).toBe(3 + 299);
    expect(ended).toEqual([0]);
  });

  test.each([100, 437.5, 500, 511, 900])(
    'what arrives at %f ms joins at the first end of a step after its 15 ms',
    (arrivalMs) => {
      const rows = [rowOf(0, 600, 200, [0, 1]), rowOf(1, 512, 1, [7])];
      const { run, engine } = runOn(workloadOf(rows), model, [0, arrivalMs]);
      let nowMs = 15 + prefill(600, 0);
      let context = 601;
      while (nowMs < arrivalMs + 15) nowMs += decode(context++);
      nowMs += 1 + gemm(513) + 0.772 + attention(512, 0) + reading(context);
      expect(arrivalMs + run.ledger.ttftMs[1]!).toBeCloseTo(nowMs, 6);
      expect((engine as StepEngine).steps).toBe(200);
    },
  );

  test('a prefill and running decodes share the steps', () => {
    // The second arrives while the first decodes: its prefill leaves a token a step to the other.
    const rows = [rowOf(0, 600, 200, [0, 1]), rowOf(1, 2048, 2, ids(4, 10))];
    const { run, engine } = runOn(workloadOf(rows), model, [0, 500]);
    const steps = (engine as StepEngine).steps;
    // 1 + 199 of the first; 2,048 tokens do not fit beside a decode, so two prefill steps, one
    // more decode; all of the second's within those of the first.
    expect(steps).toBe(200);
    expect(run.ledger.ttftMs[1]).toBeGreaterThan(2048 * 0.05);
  });

  test('blocks can be hit at the end of the step that fills them, and while they are held', () => {
    const rows = [rowOf(0, 4096, 100, ids(8)), rowOf(1, 4096, 1, ids(8))];
    const { run } = runOn(workloadOf(rows), model, [0, 300]);
    expect([...run.ledger.cachedTokens]).toEqual([0, 4096 - 512]);
  });

  test('what is evicted first is the tail of what was used longest ago', () => {
    const rows = [
      rowOf(0, 4096, 1, ids(8)),
      rowOf(1, 2048, 1, ids(4, 50)),
      rowOf(2, 4096, 1, ids(8)),
    ];
    // Ten blocks, eight of them the first one's: the second takes the other two and its last two.
    const small = { ...model, cacheTokens: 10 * 512 };
    const { run } = runOn(workloadOf(rows), small, [0, 5000, 10_000]);
    expect([...run.ledger.cachedTokens]).toEqual([0, 0, 6 * 512]);
  });

  test('a request takes a block whenever its output has filled one', () => {
    const none = {
      firstToken: () => undefined,
      finished: () => undefined,
      refused: () => undefined,
    };
    const engine = new StepEngine(workloadOf([rowOf(0, 600, 2000, [0, 1])]), model, none);
    engine.submit(0, 0);
    const held: number[] = [];
    while (engine.nextMs < Number.POSITIVE_INFINITY) {
      engine.advance();
      if (engine.heldBlocks !== held.at(-1)) held.push(engine.heldBlocks);
    }
    expect(held).toEqual([2, 3, 4, 5, 6, 0]);
  });

  test('a request that can never fit is refused', () => {
    const small = { ...model, cacheTokens: 4 * 512 };
    const rows = [rowOf(0, 2048, 1, ids(4)), rowOf(1, 2047, 1, ids(4))];
    const { run, ended } = runOn(workloadOf(rows), small, [0, 1]);
    expect(run.lost).toBe(1);
    expect(run.ledger.ttftMs[0]).toBe(Number.POSITIVE_INFINITY);
    expect(ended).toEqual([0, 1]);
  });

  test.each([1, 2, 3, 4, 5])(
    'conserves tokens and blocks when memory is short (seed %i)',
    (seed) => {
      const random = new Random(seed);
      const rows = Array.from({ length: 60 }, (_, at) => {
        const length = 1 + random.below(3000);
        const family = random.below(4);
        const blocks = Math.ceil(length / 512);
        // Prefixes of a few families; the last block is one's own.
        const own = ids(blocks, 100 * family).with(-1, 1000 + at);
        return rowOf(at, length, 1 + random.below(900), own);
      });
      const workload = workloadOf(rows);
      const arrivals = rows.map((_, at) => at * (1 + random.below(5)) * 10).sort((a, b) => a - b);
      const { run, ended } = runOn(workload, { ...model, cacheTokens: 12 * 512 }, arrivals);
      const engine = run.engines[0] as StepEngine;
      const prompt = rows.reduce((sum, { inputTokens }) => sum + inputTokens, 0);
      expect(engine.preemptions).toBeGreaterThan(0);
      expect(engine.hitTokens + engine.computedTokens).toBe(prompt);
      expect(engine.recomputedTokens).toBeGreaterThan(0);
      expect(engine.heldBlocks).toBe(0);
      expect(engine.nextMs).toBe(Number.POSITIVE_INFINITY);
      expect(ended.toSorted((a, b) => a - b)).toEqual(ids(60));
      expect(run.ledger.ttftMs.every((ms) => ms > 15 && Number.isFinite(ms))).toBe(true);
    },
  );
});
