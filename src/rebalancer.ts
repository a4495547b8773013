/**
 * Rebalancing of a live router, on the main thread: told where it is hot, it takes a snapshot of
 * that queue, has the moves planned in the compute pool and makes those that still hold. The owners
 * of requests that are claimed by it are woken as by any claim. One event at a time, so that each
 * plan sees what the one before has moved.
 */
import type { Clock } from './clock.ts';
import type { FleetState } from './core/fleet-state.ts';
import type { Core } from './core/native.ts';
import { type Move, type QueueSnapshot, takeQueueSnapshot } from './core/queue-snapshot.ts';
import { EventLimit } from './hotspots.ts';

export interface RebalancerParts {
  readonly core: Core;
  readonly state: FleetState;
  readonly clock: Clock;
  /** `planRebalance`, in the compute pool. */
  plan(snapshot: QueueSnapshot): Promise<readonly Move[]>;
}

export class Rebalancer {
  readonly #parts: RebalancerParts;
  /** Several threads see the same instance hot. */
  readonly #limit = new EventLimit();
  readonly #due: number[] = [];
  #isPlanning = false;
  #isStopped = false;

  constructor(parts: RebalancerParts) {
    this.#parts = parts;
  }

  /** These instances are hot. */
  hot(slots: readonly number[]): void {
    const nowMs = this.#parts.clock.nowMs();
    for (const slot of slots) if (this.#limit.isDue(slot, nowMs)) this.#due.push(slot);
    void this.#planDue();
  }

  /** Nothing moves from now on. */
  stop(): void {
    this.#isStopped = true;
  }

  async #planDue(): Promise<void> {
    if (this.#isPlanning) return;
    this.#isPlanning = true;
    const { core, state, clock, plan } = this.#parts;
    for (let slot = this.#due.shift(); slot !== undefined; slot = this.#due.shift()) {
      if (this.#isStopped) break;
      const snapshot = takeQueueSnapshot(core, state, slot, clock.nowMs());
      if (snapshot.rows.length === 0) continue;
      const moves = await plan(snapshot);
      if (this.#isStopped) break;
      for (const move of moves) core.migrate(move, clock.nowMs());
    }
    this.#isPlanning = false;
  }
}
