/**
 * When a queue is to be rebalanced (algorithm.md section 5): both candidates of a new request are
 * overloaded, or the oldest request of an instance has waited for long. Watches the requests of one
 * router that wait bound to one instance: on the thread of an I/O thread's router, or in a
 * simulation. It only says where; who moves what is `compute/rebalance.ts`.
 */
import type { PlacementView } from './core/placement-view.ts';

/** From then on a request has waited for long: as in the authors' release. */
export const oldWaitMs = 3_000;
/** Between two events of an instance: a first plan shows in its queue before a second one. */
export const eventIntervalMs = 50;

interface Entry {
  readonly slot: number;
  readonly arrivalMs: number;
}

/** Lets an event of each instance through once in a while. */
export class EventLimit {
  readonly #lastMs = new Map<number, number>();

  isDue(slot: number, nowMs: number): boolean {
    if (nowMs - (this.#lastMs.get(slot) ?? Number.NEGATIVE_INFINITY) < eventIntervalMs)
      return false;
    this.#lastMs.set(slot, nowMs);
    return true;
  }
}

export class Hotspots {
  readonly #onHot: (slots: readonly number[], nowMs: number) => void;
  readonly #limit = new EventLimit();
  /** By ticket, oldest first. */
  readonly #waiting = new Map<number, Entry>();
  /** The same by the instance that each was bound to on arrival. */
  readonly #queues = new Map<number, Map<number, Entry>>();
  #sweptMs = Number.NEGATIVE_INFINITY;

  /** `onHot`: instances whose queues are to be rebalanced now, one or more. */
  constructor(onHot: (slots: readonly number[], nowMs: number) => void) {
    this.#onHot = onHot;
  }

  /** The request just placed waits. */
  entered(placement: PlacementView, nowMs: number): void {
    const { ticket, chosen, other, ttftEstimateMs, otherTtftEstimateMs, sloTtftMs } = placement;
    const entry = { slot: chosen, arrivalMs: nowMs };
    this.#waiting.set(ticket, entry);
    const queue = this.#queues.get(chosen) ?? new Map<number, Entry>();
    queue.set(ticket, entry);
    this.#queues.set(chosen, queue);
    if (other < 0 || ttftEstimateMs <= sloTtftMs || otherTtftEstimateMs <= sloTtftMs) return;
    this.#announce([chosen, other], nowMs);
  }

  /** It waits no more, whatever came of it. */
  left(ticket: number): void {
    const entry = this.#waiting.get(ticket);
    if (entry === undefined) return;
    this.#waiting.delete(ticket);
    const queue = this.#queues.get(entry.slot)!;
    queue.delete(ticket);
    if (queue.size === 0) this.#queues.delete(entry.slot);
  }

  /** To be called every few tens of milliseconds, or at `nextMs`. */
  sweep(nowMs: number): void {
    this.#sweptMs = nowMs;
    const old: number[] = [];
    for (const [slot, queue] of this.#queues) {
      if (nowMs - oldestOf(queue) >= oldWaitMs) old.push(slot);
    }
    if (old.length > 0) this.#announce(old, nowMs);
  }

  /** When something will have waited for long; infinite if nothing waits. */
  get nextMs(): number {
    return Math.max(oldestOf(this.#waiting) + oldWaitMs, this.#sweptMs + eventIntervalMs);
  }

  #announce(slots: readonly number[], nowMs: number): void {
    const due = slots.filter((slot) => this.#limit.isDue(slot, nowMs));
    if (due.length > 0) this.#onHot(due, nowMs);
  }
}

function oldestOf(queue: ReadonlyMap<number, Entry>): number {
  for (const { arrivalMs } of queue.values()) return arrivalMs;
  return Number.POSITIVE_INFINITY;
}
