import type { Clock } from '../clock.ts';
import { type EngineStats, SimulatedEngine } from './engine.ts';
import { Pacemaker } from './pacemaker.ts';
import type { EngineSettings } from './presets.ts';
import { type Switches, switchesOff } from './switches.ts';

/** Owns the state of one emulated engine that its server and its routes share. Its thread only. */

export interface HostStats extends EngineStats {
  /** Inference requests whose head arrived, whatever became of them. */
  readonly received: number;
  /** Calls of `/flush_cache`, `/sleep` and the like, which no router may let through. */
  readonly controlCalls: number;
}

export class EngineHost {
  readonly settings: EngineSettings;
  readonly engine: SimulatedEngine;
  readonly pacemaker: Pacemaker;
  /** Seconds since 1970. */
  readonly created = Math.floor(Date.now() / 1_000);
  received = 0;
  controlCalls = 0;
  #switches = switchesOff;

  constructor(settings: EngineSettings, clock: Clock) {
    this.settings = settings;
    this.engine = new SimulatedEngine(settings);
    this.pacemaker = new Pacemaker(this.engine, clock);
  }

  get switches(): Switches {
    return this.#switches;
  }

  /** Changes the switches named and leaves the others. */
  setSwitches(changes: Partial<Switches>): void {
    this.#switches = { ...this.#switches, ...changes };
    this.engine.slow = this.#switches.slow;
  }

  stats(): HostStats {
    const { received, controlCalls } = this;
    return { ...this.engine.stats(), received, controlCalls };
  }
}
