import { expect, test } from 'vitest';

/** Who was sent before whom, and where requests waited, in `bench/replay/order.mjs`. */

const bench = new URL('../../bench/replay/', import.meta.url);
const { orderOf, waitsOf } = await import(new URL('order.mjs', bench).href);
const { routersVerdicts, verdictOf } = await import(new URL('routers-table.mjs', bench).href);
const settings = { sloTtftMs: 1_000, usPerToken: 1_000, timeScale: 10 };

const none = { pairs: 0, keptShare: null };

/** Due and sent in real milliseconds; late from 100 ms less a tenth of its tokens after it was due. */
function outcome(instance: string, dueMs: number, sentMs: number, tokens = 20) {
  const usage = { promptTokens: tokens + 10, cachedTokens: 10 };
  const times = { sendLateMs: 2, queueMs: sentMs - dueMs - 2, ttftMs: sentMs - dueMs + 5 };
  return { kind: 'completed', instance, dueMs, usage, ...times };
}

test('of two in time the cheaper goes first', () => {
  const cheap = outcome('a', 0, 50, 20);
  const dear = (sentMs: number) => outcome('a', 10, sentMs, 30);
  const order = (...sent: ReturnType<typeof outcome>[]) => orderOf(sent, settings).cheaperFirst;
  expect(order(cheap, dear(60))).toEqual({ pairs: 1, keptShare: 1 });
  expect(order(dear(30), cheap)).toEqual({ pairs: 1, keptShare: 0 });
  // Of three there are three pairs; equals are in any order.
  const both = [cheap, dear(60), outcome('a', 20, 30, 30)];
  expect(order(...both)).toEqual({ pairs: 3, keptShare: 2 / 3 });
});

test('what can be in time goes before what is late, and of those the older first', () => {
  const late = outcome('a', 0, 200);
  // From 98 ms on it is.
  expect(orderOf([late, outcome('a', 10, 97)], settings)).toEqual({
    inTimeFirst: none,
    cheaperFirst: { pairs: 1, keptShare: 1 },
    olderFirst: none,
  });
  expect(orderOf([late, outcome('a', 10, 99)], settings).inTimeFirst.pairs).toBe(1);
  const inTime = (sentMs: number) => orderOf([late, outcome('a', 150, sentMs)], settings);
  expect(inTime(190).inTimeFirst).toEqual({ pairs: 1, keptShare: 1 });
  expect(inTime(240).inTimeFirst).toEqual({ pairs: 1, keptShare: 0 });
  const bothLate = (sentMs: number) => orderOf([late, outcome('a', 50, sentMs)], settings);
  expect(bothLate(190)).toEqual({
    inTimeFirst: none,
    cheaperFirst: none,
    olderFirst: { pairs: 1, keptShare: 0 },
  });
  expect(bothLate(210).olderFirst).toEqual({ pairs: 1, keptShare: 1 });
});

test('no pair: who came when the other was gone, or elsewhere, or was sent with it', () => {
  const first = outcome('a', 0, 50);
  for (const second of [outcome('a', 60, 61), outcome('b', 10, 20), outcome('a', 10, 50.5)]) {
    expect(orderOf([first, second], settings).cheaperFirst).toEqual(none);
  }
});

test('a request is in the router until it is sent, then in the engine', () => {
  const waits = waitsOf([outcome('a', 0, 52), outcome('a', 0, 32)], settings);
  expect(waits).toEqual({ queueMs: { p50: 300, p90: 500 }, engineMs: { p50: 50, p90: 50 } });
});

test('several routers are measured against one, at each load', () => {
  const cell = (policy: string, routers: number, hitRatio: number, keptShare: number | null) => {
    return { load: 0.8, policy, routers, hitRatio, order: { inTimeFirst: { keptShare } } };
  };
  const [one, eight] = [cell('dualmap', 1, 0.4, 0.99), cell('dualmap', 8, 0.33, 0.96)];
  expect(routersVerdicts([eight, cell('consistent_hash', 1, 0.5, 1)])).toEqual([]);
  const lines = routersVerdicts([one, eight]).map(verdictOf);
  expect(lines).toEqual([
    'missed: load 0.8, 8 routers, hits: 33.0 %, at least 34.0 %',
    'met: load 0.8, 8 routers, in time first: 96.0 %, at least 95.0 %',
  ]);
  expect(routersVerdicts([one, cell('dualmap', 8, 0.34, null)])).toHaveLength(1);
  const worse = cell('dualmap', 8, 0.34, 0.94);
  expect(
    routersVerdicts([one, worse])
      .map(verdictOf)
      .map((line: string) => line.slice(0, 6)),
  ).toEqual(['met: l', 'missed']);
});
