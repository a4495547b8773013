import type { CoreOptions } from '../../src/core/core-options.ts';
import { FleetState, type InstanceState } from '../../src/core/fleet-state.ts';
import { Core, createStateMemory } from '../../src/core/native.ts';
import type { Instance } from '../../src/fleet/instance.ts';
import { type FleetSnapshot, Registry, type RegistryOptions } from '../../src/fleet/registry.ts';
import { directCore } from './core.ts';

/**
 * A registry over a real fleet state and a real core, without threads: what it tells is noted, its
 * clock is cranked by hand, and what it schedules runs at once or when the test says so.
 */

export interface FleetOptions extends Partial<RegistryOptions> {
  readonly instancesMax?: number;
  /** What it schedules waits for `runScheduled`. */
  readonly isDeferred?: boolean;
  /** Threads take over a snapshot only when `seen` is called. */
  readonly isUnseen?: boolean;
  readonly core?: Partial<CoreOptions>;
}

export class FleetOfTest {
  readonly memory: SharedArrayBuffer;
  readonly state: FleetState;
  readonly core: Core;
  readonly registry: Registry;
  readonly snapshots: FleetSnapshot[] = [];
  /** Every change of a state word, and what else it told, in order. */
  readonly told: string[] = [];
  nowMs = 0;
  readonly #coreOptions: CoreOptions;
  /** Runs waiting for the next turn. */
  readonly scheduled: (() => void)[] = [];

  constructor(options: FleetOptions) {
    const { instancesMax = 4, isDeferred = false, isUnseen = false, core = {}, ...given } = options;
    this.#coreOptions = { ...directCore, ...core };
    this.memory = createStateMemory({
      instancesMax,
      threadsMax: 2,
      ringPointsMax: instancesMax * 160 * 2 * 4,
      indexBlocks: 64,
      hotnessRequestsMax: 1_024,
      waitingMax: 16,
    });
    this.state = new FleetState(this.memory, instancesMax);
    this.core = this.coreOf(0);
    const registryOptions = {
      ringSeed: 0,
      prefillMsPerToken: 0.16,
      capacityBlocks: 100,
      warmUpMs: 0,
      drainTimeoutMs: 1_000,
      ...given,
    };
    this.registry = new Registry(this.core, this.state, registryOptions, {
      clock: { nowMs: () => this.nowMs },
      schedule: (run) => {
        if (isDeferred) this.scheduled.push(run);
        else run();
      },
      onSnapshot: (snapshot) => {
        this.snapshots.push(snapshot);
        if (!isUnseen) this.registry.seen(snapshot.version);
      },
      onState: (slot, state) => this.#tell(slot, state),
      onDrainTimeout: ({ slot }) => this.told.push(`${slot} overdue`),
      onGone: ({ slot }) => this.told.push(`${slot} gone`),
      onRingsTooLarge: () => this.told.push('rings too large'),
    });
  }

  /** Whoever hears of a state finds it in the shared word. */
  #tell(slot: number, state: InstanceState): void {
    if (this.state.state(slot) !== state) throw new Error(`told ${state} before it was so`);
    this.told.push(`${slot} ${state}`);
  }

  coreOf(thread: number): Core {
    return new Core(this.memory, thread, this.#coreOptions);
  }

  /** Adds an instance, and it answers. */
  serve(url: string, { weight = 1, warmsUp = false } = {}): Instance {
    const instance = this.registry.add(url, weight, null, warmsUp);
    this.registry.markServing(instance, [], false);
    return instance;
  }

  runScheduled(): number {
    const runs = this.scheduled.splice(0);
    for (const run of runs) run();
    return runs.length;
  }

  sweepAt(nowMs: number): void {
    this.nowMs = nowMs;
    this.registry.sweep();
  }

  /** The URLs of a key's pair, whatever the state of the two. */
  pairOf(key: bigint): (string | undefined)[] {
    const { first, second } = this.core.pairOf(key);
    const urlOf = (slot: number) => this.registry.instances.find((one) => one.slot === slot)?.url;
    return [urlOf(first), urlOf(second)];
  }
}
