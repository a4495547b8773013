import { describe, expect, test } from 'vitest';
import { formatSummary } from '../../src/simulate/command.ts';
import { meanDifference, meanOf, meanRatio } from '../../src/simulate/means.ts';
import { Ledger } from '../../src/simulate/results.ts';
import { summarize } from '../../src/simulate/summary.ts';
import { backInMs, TimelineRecorder } from '../../src/simulate/timeline.ts';
import { cellOf } from '../support/simulate-report.ts';

describe('means', () => {
  test('a mean of one value has no interval, of more than one that of Student', () => {
    expect(meanOf([3])).toEqual({ mean: 3, ci95: null });
    const { mean, ci95 } = meanOf([1, 2, 3, 4, 5]);
    expect(mean).toBe(3);
    expect(ci95).toBeCloseTo((2.776 * Math.sqrt(2.5)) / Math.sqrt(5), 9);
  });

  test('what all pairs share does not widen the interval of their difference', () => {
    const difference = meanDifference([0.9, 0.5, 0.7], [0.8, 0.4, 0.6]);
    expect(difference.mean).toBeCloseTo(0.1, 12);
    expect(difference.ci95).toBeCloseTo(0, 12);
  });

  test('twice as long and half as long cancel out', () => {
    const ratio = meanRatio([200, 50], [100, 100])!;
    expect(ratio.mean).toBeCloseTo(1, 12);
    expect(ratio.low! * ratio.high!).toBeCloseTo(1, 9);
    expect(meanRatio([100], [200])).toEqual({ mean: 0.5, low: null, high: null });
  });

  test.each([[[null, 1]], [[0, 1]]])('%j has no ratio', (values) => {
    expect(meanRatio(values, [1, 1])).toBeNull();
    expect(meanRatio([1, 1], values)).toBeNull();
  });
});

describe('summary', () => {
  const group = (policy: string, attainments: readonly number[], more = {}) =>
    attainments.map((attainment, at) => {
      const queue = policy === 'dualmap' ? ('router' as const) : ('direct' as const);
      return cellOf({ policy, queue, seed: at + 1, attainment, ...more });
    });

  test('rivals are paired with dualmap of the same setting and rate, seed by seed', () => {
    const cells = [
      ...group('dualmap', [0.9, 0.92], { load: 0.9 }),
      ...group('preble', [0.8, 0.84], { load: 0.9, ttftMs: { p50: 1600, p90: null, p99: null } }),
      ...group('preble', [0.1, 0.1], { load: 1.1 }),
      ...group('dualmap', [0.5, 0.6], { load: 1.1 }),
      ...group('preble', [0, 0], { load: 1.1, queueMode: 'router' }),
    ];
    const rows = summarize(cells, { seeds: 2, goodput: false });
    expect(rows.map(({ policy, paired }) => [policy, paired?.policy ?? null])).toEqual([
      ['dualmap', null],
      ['preble', 'dualmap'],
      ['preble', 'dualmap'],
      ['dualmap', null],
      ['preble', null],
    ]);
    const { attainment, ttftP50, queue, goodput } = rows[1]!.paired!;
    expect(attainment!.mean).toBeCloseTo(0.09, 12);
    // 12.706 * sqrt(2) * 0.01 / sqrt(2)
    expect(attainment!.ci95).toBeCloseTo(0.12706, 9);
    expect(ttftP50!.mean).toBeCloseTo(0.5, 12);
    expect([queue, goodput]).toEqual(['router', null]);
    expect(rows[2]!.paired!.attainment!.mean).toBeCloseTo(0.45, 12);
    expect(rows[1]!.ttftP90Ms).toBeNull();
  });

  test('variants are paired with their own policy, as it is', () => {
    const variant = { variant: 'binding=early', attainment: 0.7 };
    const cells = [cellOf({ policy: 'preble' }), cellOf({}), cellOf(variant)];
    const rows = summarize(cells, { seeds: 1, goodput: false });
    expect(rows[2]!.paired).toMatchObject({ policy: 'dualmap', attainment: { ci95: null } });
    expect(rows[2]!.paired!.attainment!.mean).toBeCloseTo(0.2, 12);
    const preble = cellOf({ ...variant, policy: 'preble' });
    expect(summarize([cellOf({}), preble], { seeds: 1, goodput: false })[1]!.paired).toBeNull();
  });

  test('attainment is back after a join when it is with every seed', () => {
    const joinedAt = (atMs: number) => ({ instances: 4, atMs });
    const cells = [
      cellOf({ joined: joinedAt(100), backInMs: 40 }),
      cellOf({ joined: joinedAt(200), backInMs: 0 }),
      cellOf({ policy: 'preble', joined: joinedAt(100), backInMs: 10 }),
      cellOf({ policy: 'preble', joined: joinedAt(200), backInMs: null }),
    ];
    const rows = summarize(cells, { seeds: 2, goodput: false });
    expect(rows.map(({ joined }) => joined)).toEqual([joinedAt(150), joinedAt(150)]);
    expect(rows.map(({ backInMs }) => backInMs)).toEqual([20, null]);
    expect(formatSummary(rows).match(/ (back|0\.02 s|never)$/gm)).toEqual([
      ...[' back', ' 0.02 s', ' never'],
    ]);
    const [still] = summarize([cellOf({})], { seeds: 1, goodput: false });
    expect([still!.joined, still!.backInMs]).toEqual([null, null]);
    expect(formatSummary([still!])).not.toContain('back');
  });

  test('goodputs are compared as ratios, whatever the rates', () => {
    const cells = [cellOf({ qps: 12, load: 1.2 }), cellOf({ policy: 'random', qps: 8, load: 0.8 })];
    const rows = summarize(cells, { seeds: 1, goodput: true });
    expect(rows[1]!.goodputQps).toBe(8);
    expect(rows[1]!.paired).toMatchObject({ attainment: null, ttftP50: null });
    expect(rows[1]!.paired!.goodput!.mean).toBeCloseTo(1.5, 12);
  });
});

test('a timeline has means of its parts, and nothing where nothing arrived', () => {
  const recorder = new TimelineRecorder(1000);
  recorder.sample(0, 1, 4);
  recorder.sample(9, 2, 5);
  recorder.sample(1000, 0.12345, 7);
  const { partMs, imbalanceCv, waiting } = recorder.timeline;
  expect(partMs).toBe(10);
  expect([imbalanceCv.length, waiting.length]).toEqual([100, 100]);
  expect([imbalanceCv[0], waiting[0], imbalanceCv[1], imbalanceCv[99], waiting[99]]).toEqual([
    ...[1.5, 4.5, null, 0.123, 7],
  ]);
  const single = new TimelineRecorder(0);
  single.sample(0, 0, 0);
  expect(single.timeline.waiting.slice(0, 2)).toEqual([0, null]);
});

test('of a part in time is what arrived then, whenever it was answered', () => {
  const arrivedMs = Float64Array.of(0, 9, 25, 1000);
  const recorder = new TimelineRecorder(1000);
  for (const nowMs of arrivedMs) recorder.sample(nowMs, 0, 0);
  const lost = Number.POSITIVE_INFINITY;
  const shares = recorder.attainment(arrivedMs, Float64Array.of(500, 501, lost, 1), 500);
  expect(shares.filter((share) => share !== null)).toEqual([0.5, 0, 1]);
  expect([shares[0], shares[2], shares[99]]).toEqual([0.5, 0, 1]);
});

test.each([
  [[1, 1, 1, 1, 1], 15, 0],
  [[0, 0, 0.9, 0.9, 0.9], 15, 5],
  [[0, 0, 0.9, 0.899, 0.9], 15, null],
  [[1, 1, 1, 0, 0], 15, null],
  [[1, 0, 0, 1, 1], 5, null],
  [[0, 0, 0.9, null, 1, 0.9], 0, 20],
  [[1, 1, 1, null, 0, 0], 10, null],
  [[1, 1, 1, 1], 10, 0],
  [[], 0, null],
])('%j, from %i ms on: back in %s ms', (attainment, fromMs, back) => {
  expect(backInMs(attainment, 10, fromMs, 0.9)).toBe(back);
});

test('who waits has arrived, and is neither answered nor lost', () => {
  const ledger = new Ledger(5, 2, Float64Array.of(0, 10, 20, 30, 40));
  const waiting = () => ledger.timeline.waiting.filter((value) => value !== null);
  ledger.arrived(0);
  ledger.dispatched(0, 0, 100);
  ledger.arrived(1);
  ledger.dispatched(1, 1, 100);
  ledger.firstToken(0, 0, 15);
  ledger.arrived(2);
  ledger.turnedAway();
  ledger.arrived(3);
  ledger.refused(1);
  ledger.arrived(4);
  expect(waiting()).toEqual([0, 1, 1, 1, 1]);
  expect(ledger.timeline.imbalanceCv.filter((value) => value !== null)).toEqual([0, 1, 1, 1, 0]);
});
