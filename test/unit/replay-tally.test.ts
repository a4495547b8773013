import { expect, test } from 'vitest';
import type { Outcome } from '../../src/replay/call.ts';
import { parseReplayOptions } from '../../src/replay/options.ts';
import { formatReport, makeReport, replayExitCode } from '../../src/replay/report.ts';
import { percentile, Tally } from '../../src/replay/tally.ts';

function outcome(fields: Partial<Outcome> = {}): Outcome {
  return {
    kind: 'completed',
    reason: '',
    ttftMs: 100,
    sendLateMs: 1,
    usage: { promptTokens: 100, cachedTokens: 25 },
    instance: null,
    queueMs: null,
    ...fields,
  };
}

/** SLO 5,000 ms at speed 10: 500 ms as measured, and 10 ms of lateness. */
const settings = parseReplayOptions({ trace: 't.jsonl', sloTtftMs: 5000, speed: 10 });

function report(outcomes: readonly Outcome[], facts = {}) {
  const tally = new Tally(settings);
  for (const each of outcomes) tally.add(each);
  const run = { interrupted: false, connectionsMaxReached: false, wallSeconds: 1, ...facts };
  return makeReport(tally.measurements(), run, settings);
}

test('percentiles are nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  expect([50, 90, 99, 100].map((percent) => percentile(hundred, percent))).toEqual([
    50, 90, 99, 100,
  ]);
  expect(percentile([15, 20, 35, 40, 50], 30)).toBe(20);
  expect(percentile([15, 20, 35, 40, 50], 41)).toBe(35);
  expect(percentile([7], 99)).toBe(7);
  expect(percentile([7, 8], 0)).toBe(7);
  expect(percentile([], 50)).toBe(null);
});

test('TTFT is scaled back by the speed; the SLO itself is attained', () => {
  const { attainment, ttftMs } = report(
    [100, 500, 500.1, 900].map((ttftMs) => outcome({ ttftMs })),
  );
  expect(attainment).toBe(0.5);
  expect(ttftMs).toEqual({ p50: 5000, p90: 9000, p99: 9000 });
});

test('errors and lost requests are misses, even with a first token in time', () => {
  const result = report([
    outcome(),
    outcome({ kind: 'error', reason: 'status 503', ttftMs: null, usage: null }),
    outcome({ kind: 'error', reason: 'status 503', ttftMs: null, usage: null }),
    outcome({ kind: 'lost', reason: 'cut' }),
    outcome({ kind: 'abandoned' }),
  ]);
  expect(result).toMatchObject({ requests: 4, errors: 2, lost: 1, abandoned: 1, attainment: 0.25 });
  expect(result.failures).toEqual({ cut: 1, 'status 503': 2 });
  expect(result.ttftMs.p99).toBe(1000);
  expect(result.promptTokens).toBe(100);
});

test('hit ratio weighs tokens, and an answer that says nothing counts as nothing cached', () => {
  const usages = [
    { promptTokens: 100, cachedTokens: 50 },
    { promptTokens: 700, cachedTokens: 350 },
    { promptTokens: 200, cachedTokens: null },
  ];
  expect(report(usages.map((usage) => outcome({ usage }))).hitRatio).toBe(0.4);
  expect(report([outcome({ usage: null })]).hitRatio).toBe(null);
  const silent = { promptTokens: 9, cachedTokens: null };
  expect(report([outcome({ usage: silent })]).hitRatio).toBe(null);
  expect(report([outcome({ usage: { promptTokens: 9, cachedTokens: 0 } })]).hitRatio).toBe(0);
});

test('requests and cached share of each instance', () => {
  const none = { promptTokens: 100, cachedTokens: 0 };
  const { perInstance } = report([
    outcome({ instance: 'http://b' }),
    outcome({ instance: 'http://a', usage: none }),
    outcome({ instance: 'http://b', usage: none }),
    outcome(),
  ]);
  expect(perInstance).toEqual({
    'http://a': { requests: 1, cachedShare: 0 },
    'http://b': { requests: 2, cachedShare: 0.125 },
  });
  expect(Object.keys(perInstance)).toEqual(['http://a', 'http://b']);
});

test('void when the p99 of lateness exceeds 2 % of the scaled SLO, and not before', () => {
  const late = (sendLatesMs: number[]) =>
    report(sendLatesMs.map((ms) => outcome({ sendLateMs: ms })));
  const most = Array<number>(99).fill(10);
  expect(late([...most, 500])).toMatchObject({ void: false, voidReason: null });
  expect(late([...most, 500]).sendLateMs).toEqual({ p99: 10, limit: 10 });
  const bad = late([...most.slice(1), 10.1, 10.1]);
  expect(bad.void).toBe(true);
  expect(bad.voidReason).toContain('10.1 ms, exceeds 2 % of the scaled SLO, 10.0 ms');
  expect(bad.voidReason).toContain('--speed');
  expect(replayExitCode(bad)).toBe(3);
  expect(replayExitCode(late(most))).toBe(0);
  expect(formatReport(bad)).toContain('VOID: the p99');
});

test('void tells when the connections were the reason; nothing measured is void', () => {
  const late = outcome({ sendLateMs: 99 });
  expect(report([late], { connectionsMaxReached: true }).voidReason).toContain('--connections-max');
  expect(report([])).toMatchObject({ void: true, attainment: null, requests: 0 });
  expect(formatReport(report([]))).toContain('VOID');
});

test('an interrupted run says so', () => {
  const stopped = report([outcome()], { interrupted: true });
  expect(replayExitCode(stopped)).toBe(130);
  expect(formatReport(stopped)).toContain('INTERRUPTED');
});
