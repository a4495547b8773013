/**
 * The instances of the fleet: their slots in the fleet state, their models, their place on the
 * rings. Main thread only. Every change ends in new rings (if places changed) and one call of
 * `onChange`.
 */
import type { FleetState } from '../core/fleet-state.ts';
import type { Core } from '../core/native.ts';

/** One entry of an engine's `/v1/models`, passed on as it is. */
export interface ModelEntry {
  readonly id: string;
  readonly [field: string]: unknown;
}

export interface Instance {
  readonly slot: number;
  readonly url: string;
  readonly weight: number;
  /** As configured; `null`: what it lists itself. */
  readonly configuredModels: readonly string[] | null;
  /** What it lists; empty: nothing usable, so it serves any model. */
  models: readonly ModelEntry[];
  /** It has answered a health check at least once, so it has a place on the rings. */
  isKnown: boolean;
}

/** What I/O threads must know of the fleet beyond the shared state. Plain data. */
export interface FleetSnapshot {
  readonly urls: readonly { readonly slot: number; readonly url: string }[];
  /** The answer to `GET /v1/models`. */
  readonly modelsJson: string;
}

export interface RegistryOptions {
  readonly ringSeed: number;
  readonly prefillMsPerToken: number;
  /** Prefix cache of an instance, in blocks of 512 bytes of prompt. */
  readonly capacityBlocks: number;
}

export class Registry {
  readonly #core: Core;
  readonly #state: FleetState;
  readonly #options: RegistryOptions;
  readonly #instances: Instance[] = [];
  readonly #onChange: (snapshot: FleetSnapshot) => void;

  constructor(
    core: Core,
    state: FleetState,
    options: RegistryOptions,
    onChange: (snapshot: FleetSnapshot) => void,
  ) {
    this.#core = core;
    this.#state = state;
    this.#options = options;
    this.#onChange = onChange;
  }

  get instances(): readonly Instance[] {
    return this.#instances;
  }

  /** Adds an instance in state `joining`. Throws if every slot is taken. */
  add(url: string, weight: number, models: readonly string[] | null): Instance {
    const slot = this.#state.takeSlot(url);
    if (slot < 0) throw new Error(`no slot is free for ${url}: raise --max-instances`);
    this.#state.setSpeed(slot, 0, this.#options.prefillMsPerToken);
    this.#state.setCapacityBlocks(slot, this.#options.capacityBlocks);
    const instance = { slot, url, weight, configuredModels: models, models: [], isKnown: false };
    this.#instances.push(instance);
    return instance;
  }

  /** The instance answers: it serves from now on, with these models. */
  markServing(instance: Instance, models: readonly ModelEntry[], hasRestarted: boolean): void {
    const isNews =
      !instance.isKnown ||
      this.#state.state(instance.slot) !== 'serving' ||
      namesOf(models) !== namesOf(instance.models);
    if (hasRestarted) this.#state.raiseGeneration(instance.slot);
    if (!isNews) return;
    instance.models = models;
    instance.isKnown = true;
    this.publish();
    // Only now: a thread that chooses it must find its URL.
    this.#state.setState(instance.slot, 'serving');
  }

  /** The instance does not answer any more: nothing is sent to it until it does. */
  markDead(instance: Instance): void {
    if (this.#state.state(instance.slot) === 'serving') this.#state.setState(instance.slot, 'dead');
  }

  /**
   * Builds the rings over all known instances, whatever their health: a dead one is walked past.
   */
  publish(): void {
    const members = this.#instances
      .filter((instance) => instance.isKnown)
      .map(({ slot, url, weight, configuredModels, models }) => ({
        slot,
        url,
        weight,
        models: configuredModels ?? models.map((model) => model.id),
      }));
    let built = this.#core.buildRings(members, BigInt(this.#options.ringSeed));
    // Readers hold a buffer for microseconds.
    while (built === 'busy') built = this.#core.buildRings(members, BigInt(this.#options.ringSeed));
    if (built === 'tooLarge') throw new Error('the rings do not fit: raise --max-instances');
    this.#onChange(this.snapshot());
  }

  snapshot(): FleetSnapshot {
    const urls = this.#instances.map(({ slot, url }) => ({ slot, url }));
    return { urls, modelsJson: JSON.stringify({ object: 'list', data: this.#models() }) };
  }

  /** Names of the models that the fleet serves. */
  modelNames(): string[] {
    return this.#models().map(({ id }) => id);
  }

  /** The union of all models, the first mention of each. */
  #models(): ModelEntry[] {
    const union = new Map<string, ModelEntry>();
    for (const instance of this.#instances) {
      if (!instance.isKnown) continue;
      const configured = instance.configuredModels?.map((id) => ({ id, object: 'model' }));
      for (const model of configured ?? instance.models) {
        if (!union.has(model.id)) union.set(model.id, model);
      }
    }
    return [...union.values()];
  }
}

/** Engines stamp their entries anew at every call; which models they are is all that counts. */
function namesOf(models: readonly ModelEntry[]): string {
  return JSON.stringify(models.map(({ id }) => id));
}
