import { expect, test } from 'vitest';
import { gainMsMin, movesMax, planRebalance } from '../../src/compute/rebalance.ts';
import type { InstanceLoad, Move } from '../../src/core/queue-snapshot.ts';
import { Random } from '../support/random.ts';
import {
  latePlaces,
  loadOf,
  predictedMs,
  type Row,
  rowOf,
  snapshotOf,
} from '../support/rebalance.ts';

/** Plans of rebalancing for random queues, against the rule computed the long way. */

const seedBase = Number(process.env.SEED ?? Date.now() % 1_000_000);
const nowMs = 3_000;

function randomQueue(seed: number): { rows: Row[]; instances: InstanceLoad[] } {
  const random = new Random(seed);
  const count = 2 + random.below(4);
  const instances = Array.from({ length: count }, (_, slot) =>
    loadOf(slot, {
      isAvailable: slot === 0 || random.chance(85),
      prefillingTokens: random.below(2_000),
      queuedTokens: random.below(3_000),
      running: random.below(10),
      speed: {
        baseMs: random.below(30),
        perTokenMs: (1 + random.below(20)) / 10,
        perTokenContextMs: random.chance(30) ? random.below(10) / 1e6 : 0,
        perRunningMs: random.chance(30) ? random.below(5) : 0,
      },
    }),
  );
  const rows = Array.from({ length: random.below(25) }, (_, index) => {
    const promptTokens = 1 + random.below(1_500);
    return rowOf(index + 1, {
      deadlineMs: nowMs - 500 + random.below(8_000),
      promptTokens,
      uncachedTokens: 1 + random.below(promptTokens),
      spareUncachedTokens: 1 + random.below(promptTokens),
      spareSlot: random.chance(90) ? 1 + random.below(count - 1) : -1,
      isMoved: random.chance(15) ? 1 : 0,
    });
  });
  return { rows, instances };
}

/**
 * The rule, step by step: of those that may move, by their gain at the beginning, the largest that
 * still may. Everything is predicted anew at each step.
 */
function bruteForce(rows: readonly Row[], instances: readonly InstanceLoad[]): Move[] {
  const moves: Move[] = [];
  const moveOf = ({ place, sequence, spareSlot }: Row): Move => {
    return { place, sequence, from: 0, to: spareSlot };
  };
  const gainMs = (row: Row) => {
    const stays = predictedMs(rows, instances, moves).get(row.place)!;
    const goes = predictedMs(rows, instances, [...moves, moveOf(row)]).get(row.place)!;
    return { gain: stays - goes, isInTime: nowMs + goes <= row.deadlineMs };
  };
  const mayMove = (row: Row) => {
    if (row.isMoved === 1 || row.spareSlot < 0) return false;
    if (!instances[row.spareSlot]!.isAvailable) return false;
    const { gain, isInTime } = gainMs(row);
    return isInTime && gain > gainMsMin;
  };
  const left = rows
    .filter(mayMove)
    .map((row) => ({ row, gain: gainMs(row).gain }))
    .sort((one, other) => other.gain - one.gain);
  for (const { row } of left) {
    const isMoving = (place: number) => moves.some((move) => move.place === place);
    const late = latePlaces(rows, predictedMs(rows, instances, moves), nowMs);
    if (moves.length === movesMax || late.every(isMoving)) break;
    if (mayMove(row)) moves.push(moveOf(row));
  }
  return moves;
}

test('a plan is that of the rule, and each of its moves makes nobody late', () => {
  let moved = 0;
  for (let seed = seedBase; seed < seedBase + 500; seed += 1) {
    const { rows, instances } = randomQueue(seed);
    const plan = planRebalance(snapshotOf(rows, instances, nowMs));
    expect(plan, `seed ${seed}`).toEqual(bruteForce(rows, instances));
    expect(plan.length).toBeLessThanOrEqual(movesMax);
    expect(new Set(plan.map(({ place }) => place)).size).toBe(plan.length);
    let late = latePlaces(rows, predictedMs(rows, instances, []), nowMs);
    for (let made = 1; made <= plan.length; made += 1) {
      const after = latePlaces(rows, predictedMs(rows, instances, plan.slice(0, made)), nowMs);
      const before = new Set(late);
      expect(
        after.filter((place) => !before.has(place)),
        `seed ${seed}`,
      ).toEqual([]);
      late = after;
    }
    moved += plan.length;
  }
  expect(moved).toBeGreaterThan(250);
});
