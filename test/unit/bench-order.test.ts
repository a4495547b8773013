import { expect, test } from 'vitest';

/** Who was sent before whom, in `bench/replay/order.mjs`. */

const bench = new URL('../../bench/replay/', import.meta.url);
const { orderOf, waitsOf } = await import(new URL('order.mjs', bench).href);
const settings = { sloTtftMs: 1_000, usPerToken: 1_000, timeScale: 10 };

/** Due and sent in real milliseconds, 20 tokens to compute: late from 98 ms after it was due. */
function outcome(instance: string, dueMs: number, sentMs: number) {
  const usage = { promptTokens: 30, cachedTokens: 10 };
  const times = { sendLateMs: 2, queueMs: sentMs - dueMs - 2, ttftMs: sentMs - dueMs + 5 };
  return { kind: 'completed', instance, dueMs, usage, ...times };
}

test('pairs that waited for one instance together are kept in order or not', () => {
  const first = outcome('a', 0, 50);
  expect(orderOf([first, outcome('a', 10, 60)], settings)).toEqual({ pairs: 1, keptShare: 1 });
  expect(orderOf([outcome('a', 10, 30), first], settings)).toEqual({ pairs: 1, keptShare: 0 });
  const both = [first, outcome('a', 10, 60), outcome('a', 20, 30)];
  expect(orderOf(both, settings)).toEqual({ pairs: 3, keptShare: 1 / 3 });
});

test('who came when the other was gone, or to another instance, is no pair', () => {
  const first = outcome('a', 0, 50);
  for (const second of [outcome('a', 60, 61), outcome('b', 10, 20)]) {
    expect(orderOf([first, second], settings)).toEqual({ pairs: 0, keptShare: null });
  }
});

test('nobody is kept waiting behind one that is late', () => {
  const late = outcome('a', 0, 200);
  expect(orderOf([late, outcome('a', 10, 97)], settings).keptShare).toBe(0);
  expect(orderOf([late, outcome('a', 10, 99)], settings).pairs).toBe(0);
});

test('a request is in the router until it is sent, then in the engine', () => {
  const waits = waitsOf([outcome('a', 0, 52), outcome('a', 0, 32)], settings);
  expect(waits).toEqual({ queueMs: { p50: 300, p90: 500 }, engineMs: { p50: 50, p90: 50 } });
});
