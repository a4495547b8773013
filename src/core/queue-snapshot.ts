/**
 * What waits for one instance at one moment, and what is known of the instances that it may move
 * to: the ground of a plan of rebalancing (algorithm.md section 5). Plain data, for any thread; it
 * grows old as soon as it is taken, so a move is made only if it still holds (`Core.migrate`).
 */
import type { FleetState, SpeedCoefficients } from './fleet-state.ts';
import type { Core } from './native.ts';

/** Order is that of `WaitingRow` in native/core/queues.h. */
export const waitingFields = [
  'place',
  /** Tells one request in a place from the next one there. */
  'sequence',
  'arrivalMs',
  'deadlineMs',
  'promptTokens',
  'cachedTokens',
  'uncachedTokens',
  /** Slot of its other candidate; -1: none. */
  'spareSlot',
  'spareCachedTokens',
  'spareUncachedTokens',
  /** 1: it has been moved before. */
  'isMoved',
] as const;

export const waitingWords = waitingFields.length;

/** Index of each field in its row. */
export const waitingAt = Object.fromEntries(
  waitingFields.map((field, index) => [field, index]),
) as Record<(typeof waitingFields)[number], number>;

/** An instance that a plan may move requests from or to. */
export interface InstanceLoad {
  readonly slot: number;
  /** Serves, and is not suspect. */
  readonly isAvailable: boolean;
  /** Uncached tokens sent to it whose first token is not yet seen. */
  readonly prefillingTokens: number;
  /** Uncached tokens that wait for it. */
  readonly queuedTokens: number;
  /** Requests that decode there. */
  readonly running: number;
  readonly speed: SpeedCoefficients;
}

export interface QueueSnapshot {
  readonly slot: number;
  readonly nowMs: number;
  /** `waitingWords` a request, in order of service. */
  readonly rows: Float64Array;
  /** The instance itself, and every other candidate of what waits for it. */
  readonly instances: readonly InstanceLoad[];
}

/** A request that waits, from the queue of one of its candidates to that of the other. */
export interface Move {
  readonly place: number;
  readonly sequence: number;
  readonly from: number;
  readonly to: number;
}

/**
 * The first in the queue. More may wait, when all is lost for most of them; the lock of the queues
 * is held for no longer than this takes.
 */
const rowsMax = 1_024;

/** Control plane and simulator: never on the path of a request. */
export function takeQueueSnapshot(
  core: Core,
  state: FleetState,
  slot: number,
  nowMs: number,
): QueueSnapshot {
  const buffer = new Float64Array(rowsMax * waitingWords);
  const rows = buffer.slice(0, core.snapshotQueue(slot, buffer) * waitingWords);
  const slots = new Set([slot]);
  for (let at = waitingAt.spareSlot; at < rows.length; at += waitingWords) {
    if (rows[at]! >= 0) slots.add(rows[at]!);
  }
  return { slot, nowMs, rows, instances: [...slots].map((each) => loadOf(state, each, nowMs)) };
}

function loadOf(state: FleetState, slot: number, nowMs: number): InstanceLoad {
  return {
    slot,
    isAvailable: state.state(slot) === 'serving' && nowMs >= state.suspectUntilMs(slot),
    prefillingTokens: state.load(slot, 'prefilling').tokens,
    queuedTokens: state.load(slot, 'queued').tokens,
    running: state.load(slot, 'decoding').requests,
    speed: state.speed(slot),
  };
}
