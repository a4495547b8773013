import { expect, test } from 'vitest';
import { gainMsMin, movesMax, planRebalance } from '../../src/compute/rebalance.ts';
import { loadOf, movedPlaces, plainSpeed, rowOf, snapshotOf } from '../support/rebalance.ts';

/** Which requests move: rule by rule (algorithm.md section 5). */

const twelve = Array.from({ length: 12 }, (_, index) => rowOf(index + 1));

test('an empty queue has no moves', () => {
  expect(movedPlaces([])).toEqual([]);
});

test('nothing moves while all will be in time', () => {
  expect(movedPlaces(twelve.slice(0, 10))).toEqual([]);
});

test('the largest gain moves first, until all that is left will be in time', () => {
  // 1,200 ms of work, 1,000 of time: two of 100 ms too much.
  expect(planRebalance(snapshotOf(twelve))).toEqual([
    { place: 12, sequence: 1_012, from: 0, to: 1 },
    { place: 11, sequence: 1_011, from: 0, to: 1 },
  ]);
});

test('what an instance prefills already comes before everything', () => {
  const busy = [loadOf(0, { prefillingTokens: 250 }), loadOf(1)];
  expect(movedPlaces(twelve.slice(0, 10), busy)).toEqual([10, 9, 8]);
});

test('the gain counts, not the place in the queue', () => {
  const rows = twelve.map((row) => ({ ...row, spareUncachedTokens: row.place === 6 ? 1 : 900 }));
  // The last one gains 300 ms, the sixth, whose prefix is cached there, 599.
  expect(movedPlaces(rows)).toEqual([6, 12]);
});

test('a move that gains no more than the minimum is not made', () => {
  const behind = (gainMs: number) => [
    loadOf(0, { prefillingTokens: 1_000 }),
    loadOf(1, { queuedTokens: 1_000 - gainMs }),
  ];
  const late = [rowOf(1, { deadlineMs: 1_099 })];
  expect(movedPlaces(late, behind(gainMsMin))).toEqual([]);
  expect(movedPlaces(late, behind(gainMsMin + 1))).toEqual([1]);
});

test('nothing moves to where it would be late too', () => {
  const busy = [loadOf(0, { prefillingTokens: 5_000 }), loadOf(1, { queuedTokens: 901 })];
  expect(movedPlaces([rowOf(1)], busy)).toEqual([]);
  const lessBusy = [busy[0]!, loadOf(1, { queuedTokens: 900 })];
  expect(movedPlaces([rowOf(1)], lessBusy)).toEqual([1]);
});

test('time that has passed is gone', () => {
  const busy = [loadOf(0, { prefillingTokens: 5_000 }), loadOf(1, { queuedTokens: 500 })];
  expect(movedPlaces([rowOf(1)], busy, 400)).toEqual([1]);
  expect(movedPlaces([rowOf(1)], busy, 401)).toEqual([]);
});

test('the target is looked at again with what the batch has moved there', () => {
  const busy = [loadOf(0, { prefillingTokens: 5_000 }), loadOf(1, { queuedTokens: 700 })];
  // Room for three in time; what cannot gain from it stays.
  expect(movedPlaces(twelve, busy)).toEqual([12, 11, 10]);
});

test('each of several targets has its own count', () => {
  const busy = [
    loadOf(0, { prefillingTokens: 5_000 }),
    loadOf(1, { queuedTokens: 800 }),
    loadOf(2, { queuedTokens: 850 }),
  ];
  const rows = twelve.map((row) => ({ ...row, spareSlot: 1 + (row.place % 2) }));
  const plan = planRebalance(snapshotOf(rows, busy));
  expect(plan.map(({ place, to }) => [place, to])).toEqual([
    [12, 1],
    [11, 2],
    [10, 1],
  ]);
});

test('an event moves so many at most', () => {
  const busy = [loadOf(0, { prefillingTokens: 50_000 }), loadOf(1)];
  expect(movedPlaces(twelve, busy)).toHaveLength(movesMax);
});

test('what has moved once, or has no other candidate that is available, stays', () => {
  const busy = [
    loadOf(0, { prefillingTokens: 5_000 }),
    loadOf(1),
    loadOf(2, { isAvailable: false }),
  ];
  const rows = [
    rowOf(1, { isMoved: 1 }),
    rowOf(2, { spareSlot: -1 }),
    rowOf(3, { spareSlot: 2 }),
    rowOf(4),
  ];
  expect(movedPlaces(rows, busy)).toEqual([4]);
});

test('the estimate is the one by which requests are placed', () => {
  const speed = { baseMs: 10, perTokenMs: 1, perTokenContextMs: 0.01, perRunningMs: 5 };
  // 10 + 100 + 0.01 * 100 * (300 - 50) + 5 * 2: 370 ms.
  const there = loadOf(1, { speed, running: 2 });
  const here = loadOf(0, { prefillingTokens: 5_000, speed: plainSpeed });
  const row = rowOf(1, { promptTokens: 300, uncachedTokens: 300 });
  expect(movedPlaces([{ ...row, deadlineMs: 370 }], [here, there])).toEqual([1]);
  expect(movedPlaces([{ ...row, deadlineMs: 369.9 }], [here, there])).toEqual([]);
});
