/**
 * The instances of the fleet and the life of each: joining, serving, draining, dead, gone. Owns
 * their slots in the fleet state, their place on the rings and what I/O threads are told of them.
 * Main thread only. Changes that pile up end in one build of the rings and one snapshot: a build
 * over thousands of instances takes milliseconds. What waits for time to pass waits in `sweep`.
 */
import type { Clock } from '../clock.ts';
import type { FleetState, InstanceState } from '../core/fleet-state.ts';
import { type Core, identityOf } from '../core/native.ts';
import {
  areSameModels,
  type Instance,
  listedModels,
  type ModelEntry,
  modelNames,
  ringWeight,
  stateOf,
  warmUpStep,
  warmUpSteps,
} from './instance.ts';

/** What I/O threads must know of the fleet beyond the shared state. Plain data. */
export interface FleetSnapshot {
  /** Grows with every snapshot. */
  readonly version: number;
  /** By slot; empty where there is none. */
  readonly urls: readonly string[];
  /** The answer to `GET /v1/models`. */
  readonly modelsJson: string;
}

export interface RegistryOptions {
  readonly ringSeed: number;
  readonly prefillMsPerToken: number;
  /** Prefix cache of an instance, in blocks of 512 bytes of prompt. */
  readonly capacityBlocks: number;
  readonly warmUpMs: number;
  readonly drainTimeoutMs: number;
}

/** Whom the registry tells, and what it leaves to its owner. */
export interface RegistryHooks {
  readonly clock: Clock;
  /** Calls back soon, once: in the next turn of the event loop. */
  schedule(flush: () => void): void;
  /** I/O threads must have this. When all of them do, `seen` wants to know. */
  onSnapshot(snapshot: FleetSnapshot): void;
  /** The state word of a slot has changed: whoever waits for its instance must look again. */
  onState(slot: number, state: InstanceState): void;
  /** It has left for too long: what it still has must be ended. */
  onDrainTimeout(instance: Instance): void;
  /** It has left: its slot is free. */
  onGone(instance: Instance): void;
  /** The rings do not fit in their memory: they stay as they were. */
  onRingsTooLarge(): void;
}

export class Registry {
  readonly #core: Core;
  readonly #state: FleetState;
  readonly #options: RegistryOptions;
  readonly #hooks: RegistryHooks;
  readonly #instances: Instance[] = [];
  #version = 0;
  #isScheduled = false;
  #areRingsStale = false;
  #isSnapshotStale = true;

  constructor(core: Core, state: FleetState, options: RegistryOptions, hooks: RegistryHooks) {
    this.#core = core;
    this.#state = state;
    this.#options = options;
    this.#hooks = hooks;
  }

  get instances(): readonly Instance[] {
    return this.#instances;
  }

  /** Of the last snapshot. */
  get version(): number {
    return this.#version;
  }

  find(by: { readonly id: string } | { readonly url: string }): Instance | undefined {
    return this.#instances.find((one) => ('id' in by ? one.id === by.id : one.url === by.url));
  }

  /**
   * Adds an instance, which joins as soon as it answers. `warmsUp`: its share of the prefixes comes
   * to it in steps. Throws if every slot is taken.
   */
  add(url: string, weight: number, models: readonly string[] | null, warmsUp = false): Instance {
    const slot = this.#state.takeSlot(url);
    if (slot < 0) throw new Error(`no slot is free for ${url}: raise --max-instances`);
    this.#state.setSpeed(slot, 0, this.#options.prefillMsPerToken);
    this.#state.setCapacityBlocks(slot, this.#options.capacityBlocks);
    const instance: Instance = {
      slot,
      id: identityOf(url).toString(16).padStart(16, '0'),
      url,
      weight,
      configuredModels: models,
      models: [],
      isKnown: false,
      isHealthy: false,
      namedSince: null,
      isAnnounced: false,
      warmUp: warmsUp && this.#options.warmUpMs > 0 ? 'due' : 'done',
      leaving: null,
    };
    this.#instances.push(instance);
    this.#hooks.onState(slot, 'joining');
    this.#change('snapshot');
    return instance;
  }

  /** The instance answers: it serves from now on, with these models. */
  markServing(instance: Instance, models: readonly ModelEntry[], hasRestarted: boolean): void {
    if (hasRestarted) {
      this.#state.raiseGeneration(instance.slot);
      this.#state.endBackoff(instance.slot);
    }
    instance.isHealthy = true;
    if (!instance.isKnown || !areSameModels(models, instance.models)) {
      instance.isKnown = true;
      instance.models = models;
      if (instance.warmUp === 'due') {
        instance.warmUp = { sinceMs: this.#hooks.clock.nowMs(), step: 1 };
      }
      this.#state.setModels(instance.slot, modelNames(instance));
      this.#change('rings', 'snapshot');
    }
    this.#applyState(instance);
  }

  /**
   * The instance does not answer any more: nothing is sent to it until it does. It keeps its place
   * on the rings: whoever looks for a candidate walks past.
   */
  markDead(instance: Instance): void {
    instance.isHealthy = false;
    this.#applyState(instance);
  }

  setWeight(instance: Instance, weight: number): void {
    if (weight === instance.weight) return;
    instance.weight = weight;
    this.#change('rings');
  }

  /** The models it serves, whatever it lists. */
  setModels(instance: Instance, models: readonly string[]): void {
    if (JSON.stringify(models) === JSON.stringify(instance.configuredModels)) return;
    instance.configuredModels = models;
    this.#state.setModels(instance.slot, modelNames(instance));
    this.#change('rings', 'snapshot');
  }

  /** It gets nothing new from now on; when nothing holds it any more, `sweep` lets it go. */
  drain(instance: Instance): void {
    if (instance.leaving !== null) return;
    const deadlineMs = this.#hooks.clock.nowMs() + this.#options.drainTimeoutMs;
    instance.leaving = { deadlineMs, ringsVersion: null, isOverdue: false };
    this.#applyState(instance);
    this.#change('rings', 'snapshot');
  }

  /** It stays after all. */
  stay(instance: Instance): void {
    if (instance.leaving === null) return;
    instance.leaving = null;
    this.#applyState(instance);
    this.#change('rings', 'snapshot');
  }

  /** Every I/O thread has the snapshot of this version. */
  seen(version: number): void {
    for (const instance of this.#instances) {
      if (instance.isAnnounced || instance.namedSince === null) continue;
      if (instance.namedSince > version) continue;
      instance.isAnnounced = true;
      this.#applyState(instance);
    }
  }

  /** Whatever is due by now: steps of warm-ups, and the end of drains. Called every few ms. */
  sweep(): void {
    const nowMs = this.#hooks.clock.nowMs();
    for (const instance of [...this.#instances]) {
      if (instance.leaving !== null) this.#sweepLeaving(instance, nowMs);
      else this.#sweepWarmUp(instance, nowMs);
    }
  }

  #sweepWarmUp(instance: Instance, nowMs: number): void {
    if (typeof instance.warmUp === 'string') return;
    const { sinceMs } = instance.warmUp;
    const step = warmUpStep(nowMs - sinceMs, this.#options.warmUpMs);
    if (step === instance.warmUp.step) return;
    instance.warmUp = step === warmUpSteps ? 'done' : { sinceMs, step };
    this.#change('rings');
  }

  /**
   * A decision under way may have read the rings before it left them, and reserve it yet: only when
   * there is no such decision do the counts say the last word.
   */
  #sweepLeaving(instance: Instance, nowMs: number): void {
    const leaving = instance.leaving!;
    const { ringsVersion } = leaving;
    const isOff = ringsVersion !== null && !this.#core.isReadBefore(ringsVersion);
    if (isOff && !this.#state.isHeld(instance.slot)) {
      this.#instances.splice(this.#instances.indexOf(instance), 1);
      this.#state.freeSlot(instance.slot);
      this.#hooks.onState(instance.slot, 'free');
      this.#hooks.onGone(instance);
      this.#change('snapshot');
    } else if (nowMs >= leaving.deadlineMs && !leaving.isOverdue) {
      leaving.isOverdue = true;
      this.#hooks.onDrainTimeout(instance);
    }
  }

  /** The word first, then the message: whoever hears of it finds it so. */
  #applyState(instance: Instance): void {
    const state = stateOf(instance);
    if (this.#state.state(instance.slot) === state) return;
    this.#state.setState(instance.slot, state);
    this.#hooks.onState(instance.slot, state);
  }

  #change(...what: ('rings' | 'snapshot')[]): void {
    if (what.includes('rings')) this.#areRingsStale = true;
    if (what.includes('snapshot')) this.#isSnapshotStale = true;
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#hooks.schedule(() => this.flush());
  }

  /** Makes what has changed known, now. */
  flush(): void {
    this.#isScheduled = false;
    if (this.#areRingsStale) this.#buildRings();
    if (!this.#isSnapshotStale) return;
    this.#isSnapshotStale = false;
    this.#version += 1;
    for (const instance of this.#instances) instance.namedSince ??= this.#version;
    this.#hooks.onSnapshot(this.snapshot());
  }

  /** Over all known instances that stay, whatever their health. */
  #buildRings(): void {
    const members = this.#instances
      .filter(({ isKnown, leaving }) => isKnown && leaving === null)
      .map((instance) => ({
        slot: instance.slot,
        url: instance.url,
        weight: ringWeight(instance),
        models: modelNames(instance),
      }));
    const built = this.#core.buildRings(members, BigInt(this.#options.ringSeed));
    // Readers hold every spare buffer, for microseconds: in the next turn they will not.
    if (built === 'busy') {
      this.#flushSoon();
      return;
    }
    this.#areRingsStale = false;
    if (built === 'tooLarge') {
      this.#hooks.onRingsTooLarge();
      return;
    }
    for (const { leaving } of this.#instances) {
      if (leaving !== null) leaving.ringsVersion ??= this.#core.ringsVersion;
    }
  }

  /** As it was last made known. */
  snapshot(): FleetSnapshot {
    const urls: string[] = [];
    for (const { slot, url } of this.#instances) urls[slot] = url;
    const modelsJson = JSON.stringify({ object: 'list', data: this.#models() });
    return { version: this.#version, urls: Array.from(urls, (url) => url ?? ''), modelsJson };
  }

  /** Names of the models that the fleet serves. */
  modelNames(): string[] {
    return this.#models().map(({ id }) => id);
  }

  /** The union of all models, the first mention of each. */
  #models(): ModelEntry[] {
    const union = new Map<string, ModelEntry>();
    for (const instance of this.#instances) {
      if (!instance.isKnown || instance.leaving !== null) continue;
      for (const model of listedModels(instance)) {
        if (!union.has(model.id)) union.set(model.id, model);
      }
    }
    return [...union.values()];
  }
}
