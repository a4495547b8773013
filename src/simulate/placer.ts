/**
 * One router of a scenario: the native decision core over a fleet of its own, with the time of the
 * simulation. No rule of placement lives here. One thread.
 */
import { planRebalance } from '../compute/rebalance.ts';
import type { Config } from '../config/config.ts';
import { options } from '../config/options.ts';
import type { FleetState, Scraped } from '../core/fleet-state.ts';
import type { Core } from '../core/native.ts';
import { takeQueueSnapshot } from '../core/queue-snapshot.ts';
import { Hotspots } from '../hotspots.ts';
import { rebalances } from '../threads.ts';
import { RouterFleet } from './router-fleet.ts';
import type { Workload } from './workload.ts';

/** Who decides where requests go. The scenario asks; tests of queueing theory bring their own. */
export interface Placer {
  /** A request has arrived: tells the outlet what becomes of it, now or during a later call. */
  arrive(request: number, nowMs: number): void;
  firstToken(request: number, nowMs: number): void;
  /** The request has ended, in whatever way. */
  end(request: number, nowMs: number): void;
  /** What an engine's metrics said; without it nothing is told. */
  scraped?(instance: number, metrics: Scraped): void;
  /** So many engines more serve from now on, in the places after the others. */
  joined?(instances: number, nowMs: number): void;
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
  /** From the start, and together with those that join. */
  readonly instances: number;
  readonly instancesMax: number;
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

export class CoreRouter implements Placer {
  readonly #fleet: RouterFleet;
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
    const config = configOf(setting.config);
    this.#fleet = new RouterFleet(workload, { ...setting, config });
    this.#core = this.#fleet.core;
    this.#state = this.#fleet.state;
    const isRebalanced = rebalances(config);
    this.#hotspots = isRebalanced
      ? new Hotspots((slots, nowMs) => this.#rebalance(slots, nowMs))
      : null;
  }

  get nextLookMs(): number {
    const hotspotsMs = this.#hotspots?.nextMs ?? farMs;
    const nextMs = Math.min(this.#core.nextLookMs, hotspotsMs, this.#fleet.nextStepMs);
    return nextMs < farMs ? nextMs : Number.POSITIVE_INFINITY;
  }

  look(nowMs: number): void {
    this.#fleet.takeSteps(nowMs);
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

  scraped(instance: number, metrics: Scraped): void {
    this.#state.setScraped(instance, metrics);
  }

  /** As in a live router: the rings first, then whatever waits is looked at again. */
  joined(instances: number, nowMs: number): void {
    this.#fleet.join(instances, nowMs);
    this.#core.fleetChanged(nowMs);
    this.#claim(nowMs);
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
