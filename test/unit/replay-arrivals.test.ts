import fc from 'fast-check';
import { expect, test } from 'vitest';
import { spreadArrivals } from '../../src/replay/arrivals.ts';
import { selectRows } from '../../src/replay/command.ts';
import { parseReplayOptions, ReplayFault } from '../../src/replay/options.ts';
import type { TraceRow } from '../../src/replay/trace.ts';

const batches = fc
  .array(
    fc.record({ step: fc.integer({ min: 1, max: 9_000 }), count: fc.integer({ min: 1, max: 9 }) }),
  )
  .map((list) => {
    let timestampMs = 0;
    return list.flatMap(({ step, count }) => {
      timestampMs += step;
      return Array<number>(count).fill(timestampMs);
    });
  });

test('stays in its window, in order, and is the same for the same seed', () => {
  fc.assert(
    fc.property(batches, fc.integer({ min: 0, max: 2 ** 32 - 1 }), (timestampsMs, seed) => {
      const spread = spreadArrivals(timestampsMs, seed);
      expect(spread).toEqual(spreadArrivals(timestampsMs, seed));
      expect(spread).toHaveLength(timestampsMs.length);
      expect(spread).toEqual(spread.toSorted((a, b) => a - b));
      const distinct = [...new Set(timestampsMs)];
      for (const [index, dueMs] of spread.entries()) {
        const startMs = timestampsMs[index]!;
        const endMs = distinct[distinct.indexOf(startMs) + 1] ?? Number.POSITIVE_INFINITY;
        expect(dueMs).toBeGreaterThanOrEqual(startMs);
        expect(dueMs).toBeLessThanOrEqual(endMs);
      }
    }),
  );
});

test('fills the window, the last one too, and no pause', () => {
  const timestampsMs = [0, 3000, 6000, 60_000].flatMap((t) => Array<number>(500).fill(t));
  const spread = spreadArrivals(timestampsMs, 1);
  for (const [index, startMs] of [0, 3000, 6000, 60_000].entries()) {
    const batch = spread.slice(index * 500, index * 500 + 500);
    expect(batch[0]! - startMs).toBeLessThan(100);
    expect(batch[250]! - startMs).toBeGreaterThan(1200);
    expect(batch[250]! - startMs).toBeLessThan(1800);
    expect(batch[499]! - startMs).toBeGreaterThan(2900);
    expect(batch[499]! - startMs).toBeLessThan(3000);
  }
});

test('another seed gives other moments; a lone request keeps its own', () => {
  const timestampsMs = [0, 0, 0, 1000, 2000, 2000];
  expect(spreadArrivals(timestampsMs, 1)).not.toEqual(spreadArrivals(timestampsMs, 2));
  expect(spreadArrivals(timestampsMs, 1)[3]).toBe(1000);
  expect(spreadArrivals([5, 5], 1)).toEqual([5, 5]);
});

const rows: TraceRow[] = [0, 0, 0, 3000, 3000, 6000].map((timestampMs, index) => ({
  timestampMs,
  inputTokens: 100 * (index + 1),
  outputTokens: 1,
  blockIds: [index],
}));

function dues(given: object): number[] {
  return selectRows(rows, parseReplayOptions({ trace: 't', ...given })).map((due) => due.dueMs);
}

test('raw arrivals are divided by the speed and begin with the first request', () => {
  expect(dues({ arrivals: 'raw', speed: 10 })).toEqual([0, 0, 0, 300, 300, 600]);
  const late = selectRows(rows.slice(3), parseReplayOptions({ trace: 't', arrivals: 'raw' }));
  expect(late.map((due) => due.dueMs)).toEqual([0, 0, 3000]);
});

test('the limit counts what the filter leaves; the filter moves nothing', () => {
  expect(dues({ arrivals: 'raw', maxInputTokens: 400, limit: 9 })).toEqual([0, 0, 0, 3000]);
  expect(dues({ arrivals: 'raw', maxInputTokens: 400, limit: 2 })).toEqual([0, 0]);
  const all = dues({ seed: 3 });
  expect(dues({ seed: 3, maxInputTokens: 500 })).toEqual(all.slice(0, 5));
  expect(all[0]).toBe(0);
  expect(all[1]).toBeGreaterThan(0);
});

test('nothing left to send is a fault', () => {
  expect(() => dues({ maxInputTokens: 1 })).toThrow(ReplayFault);
});
