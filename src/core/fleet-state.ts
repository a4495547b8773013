/**
 * The fleet state as TypeScript sees it: typed views on the shared memory whose layout
 * native/core/fleet_state.h owns. Any thread may read; the control plane alone takes and frees
 * slots.
 */
import { identityOf, type StateLayout, stateLayout } from './native.ts';

/** Order is that of `InstanceState` in native/core/fleet_state.h. */
export const instanceStates = ['free', 'joining', 'serving', 'draining', 'dead'] as const;
export type InstanceState = (typeof instanceStates)[number];

/** Requests and tokens of one kind of load; they always agree. */
export interface Load {
  readonly requests: number;
  readonly tokens: number;
}

/** What an engine said of itself, whoever sent it the requests. */
export interface Scraped {
  readonly waiting: number;
  readonly running: number;
  /** Share of its cache in use, 0..1; `null`: not told. */
  readonly kvUse: number | null;
  /** When it was asked, on the clock of the process. */
  readonly atMs: number;
}

const tokenBits = 40n;
const tokenMask = (1n << tokenBits) - 1n;
const generationMax = 1023;

type Word64 =
  | 'queued'
  | 'prefilling'
  | 'decoding'
  | 'holds'
  | 'requestsTotal'
  | 'promptTokensTotal'
  | 'cachedTokensTotal'
  | 'failuresTotal'
  | 'coldClaimsTotal'
  | 'migrationsTotal'
  | 'identity'
  | 'capacityBlocks';
/** What native/core/estimate.h makes a time to first token of. Milliseconds, none negative. */
export interface SpeedCoefficients {
  readonly baseMs: number;
  /** Of every uncached token, those ahead and its own. */
  readonly perTokenMs: number;
  /** Of every own uncached token and token that it attends to. */
  readonly perTokenContextMs: number;
  /** Of every request that decodes there. */
  readonly perRunningMs: number;
}

type Word32 = 'state' | 'generation' | 'failures' | 'models' | 'standing';
type Double =
  | 'baseMs'
  | 'perTokenMs'
  | 'suspectUntilMs'
  | 'scrapedWaiting'
  | 'scrapedRunning'
  | 'scrapedKvUse'
  | 'scrapedAtMs'
  | 'peersWaiting'
  | 'peersWaitedAtMs';

/** Typed views on the shared memory of one router. */
export class FleetState {
  readonly memory: SharedArrayBuffer;
  readonly instancesMax: number;
  readonly #layout: StateLayout;
  readonly #words64: BigUint64Array;
  readonly #words32: Int32Array;
  readonly #doubles: Float64Array;
  readonly #floats: Float32Array;

  constructor(memory: SharedArrayBuffer, instancesMax: number) {
    this.memory = memory;
    this.instancesMax = instancesMax;
    this.#layout = stateLayout(memory);
    this.#words64 = new BigUint64Array(memory, 0, Math.floor(memory.byteLength / 8));
    this.#words32 = new Int32Array(memory, 0, Math.floor(memory.byteLength / 4));
    this.#doubles = new Float64Array(memory, 0, Math.floor(memory.byteLength / 8));
    this.#floats = new Float32Array(memory, 0, Math.floor(memory.byteLength / 4));
  }

  #at(slot: number, field: keyof StateLayout): number {
    return this.#layout.slots + slot * this.#layout.slotBytes + this.#layout[field];
  }

  #read64(slot: number, field: Word64): bigint {
    return Atomics.load(this.#words64, this.#at(slot, field) / 8);
  }

  #write64(slot: number, field: Word64, value: bigint): void {
    Atomics.store(this.#words64, this.#at(slot, field) / 8, value);
  }

  #read32(slot: number, field: Word32): number {
    return Atomics.load(this.#words32, this.#at(slot, field) / 4);
  }

  #write32(slot: number, field: Word32, value: number): void {
    Atomics.store(this.#words32, this.#at(slot, field) / 4, value);
  }

  #readDouble(slot: number, field: Double): number {
    return this.#doubles[this.#at(slot, field) / 8]!;
  }

  #writeDouble(slot: number, field: Double, value: number): void {
    this.#doubles[this.#at(slot, field) / 8] = value;
  }

  /** Words of one thread's statistics; that thread alone writes them. */
  threadStats(thread: number): Float64Array {
    const { stats, statsBytes } = this.#layout;
    return new Float64Array(this.memory, stats + thread * statsBytes, statsBytes / 8);
  }

  state(slot: number): InstanceState {
    return instanceStates[this.#read32(slot, 'state')]!;
  }

  setState(slot: number, state: InstanceState): void {
    this.#write32(slot, 'state', instanceStates.indexOf(state));
  }

  /** The models it serves; in any order. Written before it serves them. */
  setModels(slot: number, names: readonly string[]): void {
    const list = identityOf(JSON.stringify([...names].sort()));
    this.#write32(slot, 'models', Number(BigInt.asIntN(32, list)));
  }

  generation(slot: number): number {
    return this.#read32(slot, 'generation');
  }

  /** The engine lost its cache: nothing that was inserted before counts as resident. */
  raiseGeneration(slot: number): void {
    const next = (this.generation(slot) % generationMax) + 1;
    this.#write32(slot, 'generation', next);
  }

  load(slot: number, kind: 'queued' | 'prefilling' | 'decoding'): Load {
    const word = this.#read64(slot, kind);
    return { requests: Number(word >> tokenBits), tokens: Number(word & tokenMask) };
  }

  total(
    slot: number,
    kind:
      | 'requestsTotal'
      | 'promptTokensTotal'
      | 'cachedTokensTotal'
      | 'failuresTotal'
      | 'coldClaimsTotal'
      | 'migrationsTotal',
  ): number {
    return Number(this.#read64(slot, kind));
  }

  /** Requests in flight that name this slot. */
  holds(slot: number): number {
    return Number(this.#read64(slot, 'holds'));
  }

  /** Requests in its queue, also those that would rather go to their other candidate. */
  standing(slot: number): number {
    return this.#read32(slot, 'standing');
  }

  /** Something in flight or in its queue names this slot. */
  isHeld(slot: number): boolean {
    return this.holds(slot) > 0 || this.standing(slot) > 0;
  }

  /** Consecutive failures before the first token; 0: above suspicion. */
  failures(slot: number): number {
    return this.#read32(slot, 'failures');
  }

  suspectUntilMs(slot: number): number {
    return this.#readDouble(slot, 'suspectUntilMs');
  }

  /** Its engine is back: the next request tries it, however often it has failed. */
  endBackoff(slot: number): void {
    this.#writeDouble(slot, 'suspectUntilMs', 0);
  }

  capacityBlocks(slot: number): number {
    return Number(this.#read64(slot, 'capacityBlocks'));
  }

  /** Prefix cache of the engine, in blocks of 512 bytes of prompt. 0: none. */
  setCapacityBlocks(slot: number, blocks: number): void {
    this.#write64(slot, 'capacityBlocks', BigInt(Math.max(0, Math.round(blocks))));
  }

  /** Control plane only. The fields are a hint each: a reader may see old ones beside new ones. */
  setScraped(slot: number, { waiting, running, kvUse, atMs }: Scraped): void {
    this.#writeDouble(slot, 'scrapedWaiting', waiting);
    this.#writeDouble(slot, 'scrapedRunning', running);
    this.#writeDouble(slot, 'scrapedKvUse', kvUse ?? -1);
    this.#writeDouble(slot, 'scrapedAtMs', atMs);
    const own = this.load(slot, 'prefilling').requests;
    this.#writeDouble(slot, 'peersWaiting', Math.max(0, waiting - own));
    if (waiting > own || atMs === 0) this.#writeDouble(slot, 'peersWaitedAtMs', atMs);
  }

  /** Of the requests that waited in the engine at its last scrape, those of other routers. */
  peersWaiting(slot: number): number {
    return this.#readDouble(slot, 'peersWaiting');
  }

  /** When its metrics showed such requests at last; 0: never. */
  peersWaitedAtMs(slot: number): number {
    return this.#readDouble(slot, 'peersWaitedAtMs');
  }

  /** `null`: its metrics were never read. */
  scraped(slot: number): Scraped | null {
    const atMs = this.#readDouble(slot, 'scrapedAtMs');
    if (atMs === 0) return null;
    const kvUse = this.#readDouble(slot, 'scrapedKvUse');
    return {
      waiting: this.#readDouble(slot, 'scrapedWaiting'),
      running: this.#readDouble(slot, 'scrapedRunning'),
      kvUse: kvUse < 0 ? null : kvUse,
      atMs,
    };
  }

  /** The speed of an instance. Control plane only. */
  setSpeed(slot: number, baseMs: number, perTokenMs: number, contextMs = 0, runningMs = 0): void {
    this.#writeDouble(slot, 'baseMs', baseMs);
    this.#writeDouble(slot, 'perTokenMs', perTokenMs);
    this.#floats[this.#at(slot, 'perTokenContextMs') / 4] = contextMs;
    this.#floats[this.#at(slot, 'perRunningMs') / 4] = runningMs;
  }

  speed(slot: number): SpeedCoefficients {
    return {
      baseMs: this.#readDouble(slot, 'baseMs'),
      perTokenMs: this.#readDouble(slot, 'perTokenMs'),
      perTokenContextMs: this.#floats[this.#at(slot, 'perTokenContextMs') / 4]!,
      perRunningMs: this.#floats[this.#at(slot, 'perRunningMs') / 4]!,
    };
  }

  /**
   * Takes a slot for an instance, in state `joining`, with a new generation. Returns -1 if all are
   * taken.
   */
  takeSlot(url: string): number {
    const countAt = this.#layout.instanceCount / 4;
    const count = Atomics.load(this.#words32, countAt);
    let slot = 0;
    while (slot < count && (this.state(slot) !== 'free' || this.isHeld(slot))) slot += 1;
    if (slot === this.instancesMax) return -1;
    this.raiseGeneration(slot);
    this.#write64(slot, 'identity', identityOf(url));
    for (const field of totals) this.#write64(slot, field, 0n);
    this.#write32(slot, 'failures', 0);
    this.#writeDouble(slot, 'suspectUntilMs', 0);
    this.setScraped(slot, { waiting: 0, running: 0, kvUse: null, atMs: 0 });
    this.setState(slot, 'joining');
    if (slot === count) Atomics.store(this.#words32, countAt, count + 1);
    return slot;
  }

  /**
   * From now on another instance may take it. Only when nothing names it, and nothing can come to:
   * no decision under way still reads rings that it was on (`Core.isReadBefore`).
   */
  freeSlot(slot: number): void {
    this.setState(slot, 'free');
  }
}

const totals = [
  'requestsTotal',
  'promptTokensTotal',
  'cachedTokensTotal',
  'failuresTotal',
  'coldClaimsTotal',
  'migrationsTotal',
] as const;
