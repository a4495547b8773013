import { planRebalance } from '../../src/compute/rebalance.ts';
import {
  type InstanceLoad,
  type Move,
  type QueueSnapshot,
  waitingAt,
  waitingWords,
} from '../../src/core/queue-snapshot.ts';

/** Queues for plans of rebalancing, and what is expected of them, computed the long way. */

export type Row = Record<keyof typeof waitingAt, number>;

/** 1 ms a token, nothing else. */
export const plainSpeed = { baseMs: 0, perTokenMs: 1, perTokenContextMs: 0, perRunningMs: 0 };

export function loadOf(slot: number, more: Partial<InstanceLoad> = {}): InstanceLoad {
  const idle = { isAvailable: true, prefillingTokens: 0, queuedTokens: 0, running: 0 };
  return { slot, ...idle, speed: plainSpeed, ...more };
}

/** Has arrived at 0, may take 1 s, and is of 100 tokens at both candidates: 0 and 1. */
export function rowOf(place: number, more: Partial<Row> = {}): Row {
  return {
    place,
    sequence: 1_000 + place,
    arrivalMs: 0,
    deadlineMs: 1_000,
    promptTokens: 100,
    cachedTokens: 0,
    uncachedTokens: 100,
    spareSlot: 1,
    spareCachedTokens: 0,
    spareUncachedTokens: 100,
    isMoved: 0,
    ...more,
  };
}

/** Of instance 0, at 0 ms. */
export function snapshotOf(
  rows: readonly Row[],
  instances: readonly InstanceLoad[] = [loadOf(0), loadOf(1)],
  nowMs = 0,
): QueueSnapshot {
  const words = new Float64Array(rows.length * waitingWords);
  for (const [index, row] of rows.entries()) {
    for (const [field, at] of Object.entries(waitingAt)) {
      words[index * waitingWords + at] = row[field as keyof Row];
    }
  }
  return { slot: 0, nowMs, rows: words, instances };
}

/** The places of those that move. */
export function movedPlaces(...given: Parameters<typeof snapshotOf>): number[] {
  return planRebalance(snapshotOf(...given)).map(({ place }) => place);
}

function expectedMs({ speed, running }: InstanceLoad, ahead: number, own: number, prompt: number) {
  const context = speed.perTokenContextMs * own * (prompt - own / 2);
  return speed.baseMs + speed.perTokenMs * (ahead + own) + context + speed.perRunningMs * running;
}

/**
 * When each request has its first token if exactly `moves` are made, in this order: those that stay
 * behind each other, those that move behind all that was pending there before.
 */
export function predictedMs(
  rows: readonly Row[],
  instances: readonly InstanceLoad[],
  moves: readonly Move[],
): Map<number, number> {
  const at = (slot: number) => instances.find((instance) => instance.slot === slot)!;
  const predicted = new Map<number, number>();
  const pending = new Map(
    instances.map((each) => [each.slot, each.prefillingTokens + each.queuedTokens]),
  );
  for (const { place, to } of moves) {
    const row = rows.find((candidate) => candidate.place === place)!;
    const own = row.spareUncachedTokens;
    predicted.set(place, expectedMs(at(to), pending.get(to)!, own, row.promptTokens));
    pending.set(to, pending.get(to)! + own);
  }
  let ahead = at(0).prefillingTokens;
  for (const row of rows) {
    if (predicted.has(row.place)) continue;
    predicted.set(row.place, expectedMs(at(0), ahead, row.uncachedTokens, row.promptTokens));
    ahead += row.uncachedTokens;
  }
  return predicted;
}

/** Of such a prediction: the places of those that come too late. */
export function latePlaces(
  rows: readonly Row[],
  predicted: ReadonlyMap<number, number>,
  nowMs: number,
): number[] {
  return rows
    .filter(({ place, deadlineMs }) => nowMs + predicted.get(place)! > deadlineMs)
    .map(({ place }) => place);
}
