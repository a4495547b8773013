import { afterEach, beforeEach, expect, test } from 'vitest';
import { planRebalance } from '../../src/compute/rebalance.ts';
import { FleetState } from '../../src/core/fleet-state.ts';
import { Core, createStateMemory } from '../../src/core/native.ts';
import { type Move, type QueueSnapshot, takeQueueSnapshot } from '../../src/core/queue-snapshot.ts';
import { eventIntervalMs } from '../../src/hotspots.ts';
import { Rebalancer } from '../../src/rebalancer.ts';
import { directCore } from '../support/core.ts';

/** Main's part of rebalancing, over a real fleet: two instances, one I/O thread, plans by hand. */

const blocks = 8;
const tokens = blocks * 128;

class Fleet {
  nowMs = 0;
  readonly #options = { ...directCore, queues: true, queueOrder: 'hit', prefillWindowTokens: 1 };
  readonly #memory = createStateMemory({
    instancesMax: 2,
    threadsMax: 2,
    ringPointsMax: 2 * 160 * 2,
    indexBlocks: 1_024,
    hotnessRequestsMax: 1_024,
    waitingMax: 100,
  });
  readonly state = new FleetState(this.#memory, 2);
  readonly main = new Core(this.#memory, 0, { ...this.#options, queueOrder: 'hit' });
  readonly io = new Core(this.#memory, 1, { ...this.#options, queueOrder: 'hit' });
  /** Asked and not yet answered. */
  readonly plans: { snapshot: QueueSnapshot; answer: (moves: readonly Move[]) => Promise<void> }[] =
    [];
  readonly rebalancer = new Rebalancer({
    core: this.main,
    state: this.state,
    clock: { nowMs: () => this.nowMs },
    plan: (snapshot) =>
      new Promise((resolve) => {
        const answer = async (moves: readonly Move[]) => {
          resolve(moves);
          await new Promise((turn) => setImmediate(turn));
        };
        this.plans.push({ snapshot, answer });
      }),
  });
  readonly tickets: number[] = [];

  constructor() {
    const members = ['http://a', 'http://b'].map((url) => {
      const slot = this.state.takeSlot(url);
      this.state.setSpeed(slot, 0, 1);
      this.state.setCapacityBlocks(slot, 100);
      this.state.setState(slot, 'serving');
      return { slot, url, weight: 1, models: [] };
    });
    expect(this.main.buildRings(members, 0n)).toBe('built');
  }

  /** A prompt of its own prefix, or of a shared one. Returns whether it waits. */
  place(name: number): boolean {
    const chain = BigUint64Array.from({ length: blocks }, (_, at) => BigInt(name * 100 + at + 1));
    expect(this.io.placeChain(chain, blocks, tokens, this.nowMs)).toBe(null);
    this.tickets.push(this.io.placement.ticket);
    return this.io.placement.isWaiting;
  }

  /** The queue in which something stands. */
  get hotSlot(): number {
    return this.state.load(0, 'queued').requests > 0 ? 0 : 1;
  }

  queued(): number[] {
    return [0, 1].map((slot) => this.state.load(slot, 'queued').requests);
  }
}

let fleet = new Fleet();
beforeEach(() => {
  fleet = new Fleet();
});
afterEach(() => {
  for (const ticket of fleet.tickets) fleet.io.end(ticket, fleet.nowMs);
  expect(fleet.queued()).toEqual([0, 0]);
  expect([0, 1].map((slot) => fleet.state.holds(slot))).toEqual([0, 0]);
});

/** Both instances prefill, and one request waits: its move. */
function oneWaits(): Move {
  let name = 1;
  while (!fleet.place(name)) name += 1;
  const from = fleet.hotSlot;
  const { rows } = takeQueueSnapshot(fleet.main, fleet.state, from, fleet.nowMs);
  return { place: rows[0]!, sequence: rows[1]!, from, to: 1 - from };
}

test('what is planned from a snapshot is moved, and its owner finds the claim', async () => {
  const move = oneWaits();
  fleet.rebalancer.hot([move.from]);
  const [{ snapshot, answer }] = fleet.plans as [(typeof fleet.plans)[0]];
  expect(snapshot.slot).toBe(move.from);
  expect(snapshot.instances.map(({ slot }) => slot).sort()).toEqual([0, 1]);
  const here = snapshot.instances.find(({ slot }) => slot === move.from)!;
  expect(here).toMatchObject({ prefillingTokens: tokens, queuedTokens: tokens, running: 0 });
  expect(planRebalance(snapshot)).toEqual([]);
  await answer([move]);
  expect(fleet.state.total(move.to, 'migrationsTotal')).toBe(1);
  expect(fleet.queued()[move.to]).toBe(1);
  for (const ticket of fleet.tickets.slice(0, -1)) fleet.io.firstToken(ticket, 5);
  expect(fleet.io.nextClaim()).toBe('placed');
  const { chosen, reason } = fleet.io.placement;
  expect({ chosen, reason }).toEqual({ chosen: move.to, reason: 'migrated' });
});

test('a queue with nothing in it is not planned for', () => {
  fleet.rebalancer.hot([0, 1]);
  expect(fleet.plans).toEqual([]);
});

test('one event at a time, each instance once in a while', async () => {
  const { from } = oneWaits();
  fleet.rebalancer.hot([from, from]);
  fleet.rebalancer.hot([from]);
  fleet.nowMs += eventIntervalMs;
  fleet.rebalancer.hot([from]);
  expect(fleet.plans).toHaveLength(1);
  await fleet.plans[0]!.answer([]);
  expect(fleet.plans).toHaveLength(2);
  await fleet.plans[1]!.answer([]);
  expect(fleet.plans).toHaveLength(2);
});

test('nothing moves after the end', async () => {
  const move = oneWaits();
  fleet.rebalancer.hot([move.from]);
  fleet.rebalancer.stop();
  await fleet.plans[0]!.answer([move]);
  expect(fleet.state.total(move.to, 'migrationsTotal')).toBe(0);
  fleet.nowMs += eventIntervalMs;
  fleet.rebalancer.hot([move.from]);
  expect(fleet.plans).toHaveLength(1);
});
