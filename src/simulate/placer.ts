/**
 * One router of a scenario: the native decision core over a fleet state of its own, with the time
 * of the simulation. No rule of placement lives here. One thread.
 */
import type { Config } from '../config/config.ts';
import { options } from '../config/options.ts';
import { FleetState } from '../core/fleet-state.ts';
import { Core, type CoreOptions, createStateMemory } from '../core/native.ts';
import { coreBlockTokens, type Workload } from './workload.ts';

/** Who decides where requests go. The scenario asks; tests of queueing theory bring their own. */
export interface Placer {
  /** A request has arrived: tells the outlet what becomes of it, now or during a later call. */
  arrive(request: number, nowMs: number): void;
  firstToken(request: number, nowMs: number): void;
  /** The request has ended, in whatever way. */
  end(request: number, nowMs: number): void;
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
  readonly core: CoreOptions;
  readonly ringSeed: number;
  /** What the router believes of every engine. */
  readonly perTokenMs: number;
  readonly cacheTokens: number;
}

/** How the decision core of a router is set by the options of `serve`; those left out default. */
export function coreOptionsOf(given: Partial<Config>): CoreOptions {
  const get = <Field extends keyof Config>(field: Field): Config[Field] =>
    given[field] ?? options[field].default;
  return {
    policy: get('policy'),
    sloTtftMs: get('sloTtftMs'),
    sloFraction: get('sloFraction'),
    tokensPerByte: 1 / get('bytesPerToken'),
    suspectBackoffMs: get('suspectBackoffMs'),
    suspectBackoffMaxMs: get('suspectBackoffMaxMs'),
  };
}

const hotnessRequestsMin = 1_024;
const hotnessRequestsPerInstance = 32;
const ringPointsPerInstance = 160 * 2;
/** The index never forgets by itself: with room for twice the fleet's caches it need not. */
const indexBlocksPerCacheBlock = 2;
const indexBlocksMin = 1 << 14;

export class CoreRouter implements Placer {
  readonly #core: Core;
  readonly #workload: Workload;
  readonly #outlet: Outlet;
  /** Ticket of each request in flight. */
  readonly #tickets: Float64Array;
  /** Of those that wait in the router: ticket -> request. */
  readonly #waiting = new Map<number, number>();

  constructor(workload: Workload, setting: RouterSetting, outlet: Outlet) {
    this.#workload = workload;
    this.#outlet = outlet;
    this.#tickets = new Float64Array(workload.count);
    this.#core = openCore(workload, setting);
  }

  get nextLookMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  look(nowMs: number): void {
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
      const { ticket, chosen } = core.placement;
      this.#tickets[request] = ticket;
      if (chosen < 0) this.#waiting.set(ticket, request);
      else this.#outlet.dispatch(request, chosen, nowMs);
    } else {
      this.#outlet.turnAway(request);
    }
    this.#claim(nowMs);
  }

  firstToken(request: number, nowMs: number): void {
    this.#core.firstToken(this.#tickets[request]!);
    this.#claim(nowMs);
  }

  end(request: number, nowMs: number): void {
    this.#core.end(this.#tickets[request]!);
    this.#claim(nowMs);
  }

  /** Requests that have arrived and not ended, as the core counts them. */
  get ticketsInUse(): number {
    return this.#core.ticketsInUse;
  }

  /** Sends what waited in the router and may go now. */
  #claim(_nowMs: number): void {
    // The core keeps no request waiting yet: what it places is chosen at once.
  }
}

/** A fleet of instances that all serve, known to a core of its own. */
function openCore(workload: Workload, setting: RouterSetting): Core {
  const { instances, cacheTokens } = setting;
  const distinctCoreBlocks = workload.chain.length;
  const cacheBlocks = Math.min(Math.floor(cacheTokens / coreBlockTokens), distinctCoreBlocks);
  const memory = createStateMemory({
    instancesMax: instances,
    threadsMax: 1,
    ringPointsMax: instances * ringPointsPerInstance,
    indexBlocks: Math.max(indexBlocksMin, indexBlocksPerCacheBlock * instances * cacheBlocks),
    hotnessRequestsMax: Math.max(hotnessRequestsMin, instances * hotnessRequestsPerInstance),
  });
  const state = new FleetState(memory, instances);
  const core = new Core(memory, 0, setting.core);
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
  return core;
}
