/**
 * The fleet as one router of a scenario knows it: slots, rings, and the warm-up of those that join.
 * What `fleet/registry.ts` is to a live router, where nobody has to be asked and nobody leaves. One
 * thread.
 */
import type { Config } from '../config/config.ts';
import { FleetState } from '../core/fleet-state.ts';
import { Core, createStateMemory } from '../core/native.ts';
import {
  ringWeight,
  type WarmUp,
  warmUpStep,
  warmUpStepDueMs,
  warmUpSteps,
} from '../fleet/instance.ts';
import { coreOptions } from '../threads.ts';
import type { RouterSetting } from './placer.ts';
import { coreBlockTokens, type Workload } from './workload.ts';

const hotnessRequestsMin = 1_024;
const hotnessRequestsPerInstance = 32;
const ringPointsPerInstance = 160 * 2;
/** The index never forgets by itself: with room for twice the fleet's caches it need not. */
const indexBlocksPerCacheBlock = 2;
const indexBlocksMin = 1 << 14;

interface Setting extends RouterSetting {
  /** Complete. */
  readonly config: Config;
}

export class RouterFleet {
  readonly core: Core;
  readonly state: FleetState;
  readonly #setting: Setting;
  readonly #cacheBlocks: number;
  /** By slot. */
  readonly #urls: string[] = [];
  /** Of those that joined; there is one join. */
  #warmUp: WarmUp = 'done';

  constructor(workload: Workload, setting: Setting) {
    const { instances, instancesMax, config } = setting;
    this.#setting = setting;
    const distinctCoreBlocks = workload.chain.length;
    const cacheBlocks = Math.floor(setting.cacheTokens / coreBlockTokens);
    this.#cacheBlocks = Math.min(cacheBlocks, distinctCoreBlocks);
    const indexBlocks = indexBlocksPerCacheBlock * instancesMax * this.#cacheBlocks;
    const capacities = {
      instancesMax,
      threadsMax: 1,
      ringPointsMax: instancesMax * ringPointsPerInstance,
      indexBlocks: Math.max(indexBlocksMin, indexBlocks),
      hotnessRequestsMax: Math.max(hotnessRequestsMin, instancesMax * hotnessRequestsPerInstance),
      waitingMax: config.queueSize,
    };
    const memory = createStateMemory(capacities, { hugePages: false });
    this.state = new FleetState(memory, instancesMax);
    this.core = new Core(memory, 0, coreOptions(config));
    for (let at = 0; at < instances; at++) this.#add();
    this.#buildRings();
  }

  /** Their share of the prefixes comes to them in steps, from now on. */
  join(instances: number, nowMs: number): void {
    for (let at = 0; at < instances; at++) this.#add();
    this.#reach(warmUpStep(0, this.#setting.config.warmUpMs), nowMs);
  }

  /** When the warm-up takes its next step; infinity: there is none under way. */
  get nextStepMs(): number {
    if (typeof this.#warmUp === 'string') return Number.POSITIVE_INFINITY;
    const { sinceMs, step } = this.#warmUp;
    return sinceMs + warmUpStepDueMs(step + 1, this.#setting.config.warmUpMs);
  }

  takeSteps(nowMs: number): void {
    while (typeof this.#warmUp !== 'string' && nowMs >= this.nextStepMs) {
      this.#reach(this.#warmUp.step + 1, this.#warmUp.sinceMs);
    }
  }

  #reach(step: number, sinceMs: number): void {
    this.#warmUp = step === warmUpSteps ? 'done' : { sinceMs, step };
    this.#buildRings();
  }

  #add(): void {
    const at = this.#urls.length;
    const url = `http://10.0.${at >> 8}.${at & 255}:8000`;
    const slot = this.state.takeSlot(url);
    // Engines are named by their place.
    if (slot !== at) throw new Error(`slot ${slot} for instance ${at}`);
    this.state.setSpeed(slot, 0, this.#setting.perTokenMs);
    this.state.setCapacityBlocks(slot, this.#cacheBlocks);
    this.state.setState(slot, 'serving');
    this.#urls.push(url);
  }

  #buildRings(): void {
    const joinedWeight = ringWeight({ weight: 1, warmUp: this.#warmUp });
    const members = this.#urls.map((url, slot) => {
      const weight = slot < this.#setting.instances ? 1 : joinedWeight;
      return { slot, url, weight, models: [] };
    });
    const built = this.core.buildRings(members, BigInt(this.#setting.ringSeed));
    if (built !== 'built') throw new Error(`the rings are ${built}`);
  }
}
