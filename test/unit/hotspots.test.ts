import { beforeEach, expect, test } from 'vitest';
import { PlacementView, resultFields } from '../../src/core/placement-view.ts';
import { EventLimit, eventIntervalMs, Hotspots, oldWaitMs } from '../../src/hotspots.ts';

/** When queues are rebalanced: what makes an instance hot, and how often it may be. */

let told: (readonly number[])[] = [];
let hotspots = new Hotspots(() => undefined);
beforeEach(() => {
  told = [];
  hotspots = new Hotspots((slots) => told.push(slots));
});

/** A request that waits for instance 0, its other candidate 1, with an objective of 1 s. */
function enter(ticket: number, nowMs: number, more: Partial<Record<string, number>> = {}): void {
  const view = new PlacementView();
  const words = { ticket, chosen: 0, other: 1, sloTtftMs: 1_000, ...more };
  for (const [name, value] of Object.entries(words)) {
    view.words[resultFields.indexOf(name as never)] = value!;
  }
  hotspots.entered(view, nowMs);
}

const overloaded = { ttftEstimateMs: 1_001, otherTtftEstimateMs: 1_001 };

test('both candidates of a request are hot when both would be late', () => {
  enter(1, 0, { ...overloaded, ttftEstimateMs: 1_000 });
  enter(2, 0, { ...overloaded, otherTtftEstimateMs: 1_000 });
  enter(3, 0, { ...overloaded, other: -1 });
  expect(told).toEqual([]);
  enter(4, 0, overloaded);
  expect(told).toEqual([[0, 1]]);
});

test('an instance is hot once in a while, each for itself', () => {
  enter(1, 0, overloaded);
  enter(2, eventIntervalMs - 1, overloaded);
  expect(told).toEqual([[0, 1]]);
  enter(3, eventIntervalMs - 1, { ...overloaded, other: 2 });
  enter(4, eventIntervalMs, overloaded);
  expect(told).toEqual([[0, 1], [2], [0, 1]]);
});

test('an instance is hot while its oldest request has waited for long', () => {
  enter(1, 0);
  enter(2, 10, { chosen: 3 });
  hotspots.sweep(oldWaitMs - 1);
  expect(told).toEqual([]);
  hotspots.sweep(oldWaitMs);
  hotspots.sweep(oldWaitMs + eventIntervalMs);
  expect(told).toEqual([[0], [0, 3]]);
  hotspots.left(1);
  hotspots.sweep(oldWaitMs + 2 * eventIntervalMs);
  expect(told).toEqual([[0], [0, 3], [3]]);
  hotspots.left(2);
  hotspots.left(2);
  hotspots.sweep(oldWaitMs + 3 * eventIntervalMs);
  expect(told).toHaveLength(3);
});

test('the time to sweep is when something has waited for long', () => {
  expect(hotspots.nextMs).toBe(Number.POSITIVE_INFINITY);
  enter(1, 100);
  enter(2, 200, { chosen: 1 });
  expect(hotspots.nextMs).toBe(100 + oldWaitMs);
  hotspots.sweep(100 + oldWaitMs);
  expect(hotspots.nextMs).toBe(100 + oldWaitMs + eventIntervalMs);
  hotspots.left(1);
  expect(hotspots.nextMs).toBe(200 + oldWaitMs);
  hotspots.left(2);
  expect(hotspots.nextMs).toBe(Number.POSITIVE_INFINITY);
});

test('a limit lets each instance through at its own interval', () => {
  const limit = new EventLimit();
  expect([limit.isDue(0, 0), limit.isDue(0, eventIntervalMs - 1), limit.isDue(1, 1)]).toEqual([
    true,
    false,
    true,
  ]);
  expect(limit.isDue(0, eventIntervalMs)).toBe(true);
});
