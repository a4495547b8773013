import { expect, test } from 'vitest';
import { BlockPool } from '../../src/simulate/block-pool.ts';
import { Fifo } from '../../src/simulate/engine.ts';
import { EventHeap } from '../../src/simulate/event-heap.ts';
import { arrivalsAt, makeWorkload } from '../../src/simulate/workload.ts';
import { Random } from '../support/random.ts';
import { rowOf, workloadOf } from '../support/simulate.ts';

test.each([1, 2, 3])('what was used last stays in the pool, heads longest (seed %i)', (seed) => {
  const random = new Random(seed);
  const capacity = 6;
  const pool = new BlockPool(capacity, 40);
  let model: number[] = [];
  for (let turn = 0; turn < 500; turn++) {
    const blocks = Int32Array.from({ length: 1 + random.below(4) }, (_, at) => {
      return at * 10 + random.below(at === 0 ? 3 : 10);
    });
    const held = blocks.findIndex((block) => !model.includes(block));
    expect(pool.hits(blocks, 0, blocks.length)).toBe(held < 0 ? blocks.length : held);
    pool.use(blocks, 0, blocks.length);
    model = [...blocks, ...model.filter((block) => !blocks.includes(block))].slice(0, capacity);
    expect(pool.freeCount).toBe(capacity);
  }
});

test('a block that is held is not given away, and can be hit', () => {
  const pool = new BlockPool(2, 9);
  const place = pool.take();
  pool.name(place, 7);
  pool.take();
  expect(pool.freeCount).toBe(0);
  expect(pool.hold(7)).toBe(place);
  pool.release(place);
  expect(pool.freeCount).toBe(0);
  pool.release(place);
  expect([pool.freeCount, pool.isFree(7)]).toEqual([1, true]);
  expect(pool.take()).toBe(place);
  expect(pool.hits(Int32Array.of(7), 0, 1)).toBe(0);
});

test('events come in order of time, those of one moment in the order they went in', () => {
  const random = new Random(5);
  const heap = new EventHeap();
  const left: { dueMs: number; value: number }[] = [];
  for (let value = 0; value < 2000; value++) {
    const dueMs = random.below(50);
    heap.push(dueMs, value);
    left.push({ dueMs, value });
    if (random.chance(40)) {
      left.sort((a, b) => a.dueMs - b.dueMs || a.value - b.value);
      const first = left.shift()!;
      expect([heap.nextMs, heap.pop()]).toEqual([first.dueMs, first.value]);
    }
  }
  expect(new EventHeap().nextMs).toBe(Number.POSITIVE_INFINITY);
});

test('a list of numbers keeps their order while it grows', () => {
  const fifo = new Fifo();
  let out = 0;
  for (let value = 0; value < 1000; value++) {
    fifo.push(value);
    if (value % 3 === 0) expect(fifo.shift()).toBe(out++);
  }
  while (fifo.length > 0) expect(fifo.shift()).toBe(out++);
  expect(out).toBe(1000);
});

test('core blocks agree exactly as far as the blocks of the trace', () => {
  const rows = [
    rowOf(0, 1300, 1, [1, 2, 3]),
    rowOf(1, 1300, 1, [1, 2, 3]),
    rowOf(2, 1300, 1, [1, 2, 4]),
    rowOf(3, 400, 1, [9]),
    rowOf(4, 100, 0, [8]),
  ];
  const workload = workloadOf(rows);
  const chain = (at: number) => [
    ...workload.chain.subarray(workload.chainStart[at], workload.chainStart[at + 1]),
  ];
  expect(rows.map((_, at) => chain(at).length)).toEqual([10, 10, 10, 3, 0]);
  expect(chain(1)).toEqual(chain(0));
  expect(chain(2).slice(0, 8)).toEqual(chain(0).slice(0, 8));
  expect(new Set([...chain(0), ...chain(2).slice(8), ...chain(3)]).size).toBe(15);
  // Only full blocks can be hit; the last token is always computed.
  expect([...workload.limitHitTokens]).toEqual([0, 1024, 1024, 0, 0]);
  expect(workload.outputTokens[4]).toBe(1);
  expect(workload.distinctBlocks).toBe(2);
});

test("smaller blocks than the core's name the same prefixes", () => {
  const rows = [
    rowOf(0, 300, 1, [1, 2, 3, 4, 5]),
    rowOf(1, 300, 1, [1, 2, 3, 9, 10]),
    rowOf(2, 200, 1, [1, 2, 3, 4]),
  ];
  const selection = { trace: 'made', blockTokens: 64, limit: null, maxInputTokens: null };
  const { chain, chainStart, limitHitTokens } = makeWorkload(rows, selection);
  const [a, b, c] = [0, 1, 2].map((at) => [...chain.subarray(chainStart[at], chainStart[at + 1])]);
  expect([a!.length, b!.length, c!.length]).toEqual([2, 2, 1]);
  expect(b![0]).toBe(a![0]);
  expect(b![1]).not.toBe(a![1]);
  expect(c![0]).toBe(a![0]);
  expect([...limitHitTokens]).toEqual([0, 192, 192]);
});

test('texts and large numbers are ids too', () => {
  const workload = workloadOf([
    { timestampMs: 0, inputTokens: 512, outputTokens: 1, blockIds: ['18446744073709551615'] },
    { timestampMs: 1, inputTokens: 512, outputTokens: 1, blockIds: ['18446744073709551614'] },
    { timestampMs: 2, inputTokens: 512, outputTokens: 1, blockIds: [2 ** 40] },
    { timestampMs: 3, inputTokens: 512, outputTokens: 1, blockIds: [0] },
  ]);
  expect(new Set(workload.chain).size).toBe(16);
});

test('rows are left out by length, then counted; arrivals are stretched to the rate', () => {
  const rows = [0, 1, 2, 3, 4].map((at) => rowOf(at, at === 1 ? 2000 : 500, 1, [at, 5, 6, 7]));
  const trimmed = rows.map((row) => ({
    ...row,
    blockIds: row.blockIds.slice(0, Math.ceil(row.inputTokens / 512)),
  }));
  const selection = { trace: 'made', blockTokens: 512, limit: 3, maxInputTokens: 1000 };
  const workload = makeWorkload(trimmed, selection);
  expect([...workload.selected]).toEqual([0, 2, 3]);
  expect([...arrivalsAt(workload, 'raw', 1, 4)]).toEqual([0, 1000 / 3, 500]);
  expect(() => makeWorkload(trimmed, { ...selection, maxInputTokens: 10 })).toThrow(RangeError);
});
