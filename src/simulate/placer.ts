/**
 * One router of a scenario: the native decision core over a fleet state of its own, with the time
 * of the simulation. No rule of placement lives here. One thread.
 */
import { planRebalance } from '../compute/rebalance.ts';
import type { Config } from '../config/config.ts';
import { options } from '../config/options.ts';
import { FleetState } from '../core/fleet-state.ts';
import { Core, createStateMemory } from '../core/native.ts';
import { takeQueueSnapshot } from '../core/queue-snapshot.ts';
import { Hotspots } from '../hotspots.ts';
import { coreOptions, rebalances } from '../threads.ts';
import { coreBlockTokens, type Workload } from './workload.ts';

/** Who decides where requests go. The scenario asks; tests of queueing theory bring their own. */
export interface Placer {
  /** A request has arrived: tells the outlet what becomes of it, now or during a later call. */
  arrive(request: number, nowMs: number): void;
  firstToken(request: number, nowMs: number): void;
  /** The request has ended, in whatever way. */
  end(request: number, nowMs: number): void;
  /** What an engine's metrics said at `atMs`; without it nothing is told. */
  scraped?(instance: number, waiting: number, running: number, atMs: number): void;
  /** When `look` must be called though nothing has happened; infinity: never. */
  readonly nextLookMs: number;
  look(nowMs: number): void;
}

/** What a placer does with a request, exactly once. Instances are named by their place. */
export interface Outlet {
  dispatch(request: number, instance: number, nowMs: number): void;
  /** It is turned away: no instance serves, or it was shed. The placer has ended it. */
  turnAway(request: number): void;
}

export interface RouterSetting {
  readonly instances: number;
  readonly config: Partial<Config>;
  readonly ringSeed: number;
  /** What the router believes of every engine. */
  readonly perTokenMs: number;
  readonly cacheTokens: number;
}

/** A configuration of `serve`; what is not given has its default. */
export function configOf(given: Partial<Config>): Config {
  const fields = Object.keys(options) as (keyof Config)[];
  const defaults = Object.fromEntries(fields.map((field) => [field, options[field].default]));
  return { ...(defaults as unknown as Config), ...given };
}

/** Beyond every simulation: a core that need not look says so with such a time. */
const farMs = 1e15;
const hotnessRequestsMin = 1_024;
const hotnessRequestsPerInstance = 32;
const ringPointsPerInstance = 160 * 2;
/** The index never forgets by itself: with room for twice the fleet's caches it need not. */
const indexBlocksPerCacheBlock = 2;
const indexBlocksMin = 1 << 14;

export class CoreRouter implements Placer {
  readonly #core: Core;
  readonly #state: FleetState;
  readonly #workload: Workload;
  readonly #outlet: Outlet;
  /** Ticket of each request in flight. */
  readonly #tickets: Float64Array;
  /** Of those that wait in the router: ticket -> request. */
  readonly #waiting = new Map<number, number>();
  /** `null`: nothing is rebalanced. */
  readonly #hotspots: Hotspots | null;

  constructor(workload: Workload, setting: RouterSetting, outlet: Outlet) {
    this.#workload = workload;
    this.#outlet = outlet;
    this.#tickets = new Float64Array(workload.count);
    const { core, state } = openCore(workload, setting);
    this.#core = core;
    this.#state = state;
    const isRebalanced = rebalances(configOf(setting.config));
    this.#hotspots = isRebalanced
      ? new Hotspots((slots, nowMs) => this.#rebalance(slots, nowMs))
      : null;
  }

  get nextLookMs(): number {
    const nextMs = Math.min(this.#core.nextLookMs, this.#hotspots?.nextMs ?? farMs);
    return nextMs < farMs ? nextMs : Number.POSITIVE_INFINITY;
  }

  look(nowMs: number): void {
    this.#core.look(nowMs);
    if (nowMs >= (this.#hotspots?.nextMs ?? farMs)) this.#hotspots?.sweep(nowMs);
    this.#claim(nowMs);
  }

  arrive(request: number, nowMs: number): void {
    const { chain, chainStart, inputTokens } = this.#workload;
    const start = chainStart[request]!;
    const end = chainStart[request + 1]!;
    const blocks = chain.subarray(start, end);
    const core = this.#core;
    const fault = core.placeChain(blocks, end - start, inputTokens[request]!, nowMs);
    if (fault === null) {
      const { ticket, chosen, isWaiting } = core.placement;
      this.#tickets[request] = ticket;
      if (isWaiting) this.#wait(request, nowMs);
      else this.#outlet.dispatch(request, chosen, nowMs);
    } else {
      this.#outlet.turnAway(request);
    }
    this.#claim(nowMs);
  }

  firstToken(request: number, nowMs: number): void {
    this.#core.firstToken(this.#tickets[request]!, nowMs);
    this.#claim(nowMs);
  }

  end(request: number, nowMs: number): void {
    this.#core.end(this.#tickets[request]!, nowMs);
    this.#claim(nowMs);
  }

  scraped(instance: number, waiting: number, running: number, atMs: number): void {
    this.#state.setScraped(instance, { waiting, running, kvUse: null, atMs });
  }

  /** Requests that have arrived and not ended, as the core counts them. */
  get ticketsInUse(): number {
    return this.#core.ticketsInUse;
  }

  /** Requests that moved from one queue of the router to another. */
  get migrations(): number {
    const slots = Array.from({ length: this.#state.instancesMax }, (_, slot) => slot);
    return slots.reduce((sum, slot) => sum + this.#state.total(slot, 'migrationsTotal'), 0);
  }

  #wait(request: number, nowMs: number): void {
    const { placement } = this.#core;
    this.#waiting.set(placement.ticket, request);
    this.#hotspots?.entered(placement, nowMs);
  }

  /** As the main thread of a live router does, but in no time. */
  #rebalance(slots: readonly number[], nowMs: number): void {
    for (const slot of slots) {
      const snapshot = takeQueueSnapshot(this.#core, this.#state, slot, nowMs);
      for (const move of planRebalance(snapshot)) this.#core.migrate(move, nowMs);
    }
  }

  /** Sends what waited in the router and may go now. */
  #claim(nowMs: number): void {
    const core = this.#core;
    while (core.hasClaims) {
      const outcome = core.nextClaim();
      if (outcome === null) return;
      const { ticket, chosen } = core.placement;
      const request = this.#waiting.get(ticket)!;
      this.#waiting.delete(ticket);
      this.#hotspots?.left(ticket);
      if (outcome === 'placed') {
        this.#outlet.dispatch(request, chosen, nowMs);
      } else {
        this.#outlet.turnAway(request);
        core.end(ticket, nowMs);
      }
    }
  }
}

/** A fleet of instances that all serve, known to a core of its own. */
function openCore(workload: Workload, setting: RouterSetting) {
  const { instances, cacheTokens } = setting;
  const config = configOf(setting.config);
  const distinctCoreBlocks = workload.chain.length;
  const cacheBlocks = Math.min(Math.floor(cacheTokens / coreBlockTokens), distinctCoreBlocks);
  const memory = createStateMemory({
    instancesMax: instances,
    threadsMax: 1,
    ringPointsMax: instances * ringPointsPerInstance,
    indexBlocks: Math.max(indexBlocksMin, indexBlocksPerCacheBlock * instances * cacheBlocks),
    hotnessRequestsMax: Math.max(hotnessRequestsMin, instances * hotnessRequestsPerInstance),
    waitingMax: config.queueSize,
  });
  const state = new FleetState(memory, instances);
  const core = new Core(memory, 0, coreOptions(config));
  const members = Array.from({ length: instances }, (_, index) => {
    const url = `http://10.0.${index >> 8}.${index & 255}:8000`;
    const slot = state.takeSlot(url);
    state.setSpeed(slot, 0, setting.perTokenMs);
    state.setCapacityBlocks(slot, cacheBlocks);
    state.setState(slot, 'serving');
    return { slot, url, weight: 1, models: [] };
  });
  const built = core.buildRings(members, BigInt(setting.ringSeed));
  if (built !== 'built') throw new Error(`the rings are ${built}`);
  return { core, state };
}
