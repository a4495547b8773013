/**
 * The only loader of the native addon, and the typed face of what it exports. JavaScript validates,
 * C++ asserts: wrong types must not pass this file. A `Core` belongs to one thread; the fleet state
 * behind it is shared by all of them.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { RequestFaultCode } from '../errors.ts';
import type { PromptKind } from '../terms.ts';
import type { UpstreamAddon } from './upstream-addon.ts';

/** Sizes of the shared memory, fixed when it is made. */
export interface Capacities {
  /** Slots for instances, 1..16383. */
  readonly instancesMax: number;
  /** Threads that attach, the main thread included. */
  readonly threadsMax: number;
  /** Points of one generation of rings, all groups of models together. */
  readonly ringPointsMax: number;
  /** Block hashes that the prefix index holds; rounded up to a power of two. */
  readonly indexBlocks: number;
  /** Longest hotness window, in requests. */
  readonly hotnessRequestsMax: number;
}

/** Order is that of `PolicyName` in native/core/policy.h. */
export const policyNames = [
  'dualmap-paper',
  'round_robin',
  'least_tokens',
  'consistent_hash',
] as const;
export type PolicyName = (typeof policyNames)[number];

/** Order is that of `Reason` in native/core/policy.h. */
export const reasons = [
  'only',
  'warm_within_slo',
  'equal_hit_less_loaded',
  'slo_exceeded',
  'rotation',
  'least_tokens',
  'ring',
  'least_requests',
  'retry_other',
  'retry_next',
] as const;
export type Reason = (typeof reasons)[number];

export interface CoreOptions {
  readonly policy: PolicyName;
  readonly sloTtftMs: number;
  /** Share of the SLO up to which the warm candidate stays chosen, 0..1. */
  readonly sloFraction: number;
  readonly tokensPerByte: number;
  readonly suspectBackoffMs: number;
  readonly suspectBackoffMaxMs: number;
}

/** Order is that of `PlaceStatus` in native/core/core.h; `null` is placed. */
const placeFaults = [
  null,
  'invalid_json',
  'invalid_type',
  'empty_prompt',
  'too_deep',
  'model_not_found',
  'no_instance',
] as const satisfies readonly (RequestFaultCode | null)[];
export type PlaceFault = Exclude<(typeof placeFaults)[number], null>;

const promptKinds: Record<PromptKind, number> = { chat: 0, completion: 1, embedding: 2 };

/** A member of the rings. Without `models` it serves any model. */
export interface RingMember {
  readonly slot: number;
  readonly url: string;
  /** 1 is an ordinary instance: 160 points on each ring. */
  readonly weight: number;
  readonly models: readonly string[];
}

interface NativeCore {
  place(body: Uint8Array, kind: number, nowMs: number): number;
  placeChain(chain: BigUint64Array, blocks: number, promptTokens: number, nowMs: number): number;
  placeBare(model: string, nowMs: number): number;
  faultParam(): string;
  retry(ticket: number, nowMs: number): boolean;
  suspect(ticket: number, nowMs: number): void;
  firstToken(ticket: number): void;
  answered(ticket: number): void;
  end(ticket: number): void;
  endDuePrefills(nowMs: number): void;
  ticketsInUse(): number;
  buildRings(members: readonly RingMember[], ringSeed: bigint): number;
  ringsVersion(): number;
  isReadBefore(version: number): boolean;
  pairOf(key: bigint): [number, number];
  hitBlocks(chain: BigUint64Array, slot: number): number;
  insertBlocks(chain: BigUint64Array, slot: number, nowMs: number): void;
  hotLevel(keys: BigUint64Array, instances: number, isLoaded: boolean): number;
}

/** Offsets in bytes, from native/addon.cc; read by `fleet-state.ts`. */
export type StateLayout = Record<
  | 'version'
  | 'instanceCount'
  | 'stats'
  | 'statsBytes'
  | 'slots'
  | 'slotBytes'
  | 'identity'
  | 'state'
  | 'generation'
  | 'capacityBlocks'
  | 'baseMs'
  | 'perTokenMs'
  | 'suspectUntilMs'
  | 'failures'
  | 'queued'
  | 'prefilling'
  | 'decoding'
  | 'holds'
  | 'requestsTotal'
  | 'promptTokensTotal'
  | 'cachedTokensTotal'
  | 'failuresTotal',
  number
>;

interface NativeScan {
  readonly fault: number;
  readonly stream: boolean;
  readonly model: string;
  readonly promptBytes: number;
  readonly firstUserEnd: number;
  readonly blockHashes: BigUint64Array;
  readonly levelKeys: BigUint64Array;
}

interface Addon extends UpstreamAddon {
  stateBytes(capacities: Capacities): number;
  createState(memory: Uint8Array, capacities: Capacities): void;
  layoutOf(memory: Uint8Array): StateLayout | null;
  identityOf(url: string): bigint;
  scanPrompt(body: Uint8Array, kind: number): NativeScan;
  bareScan(body: Uint8Array): number;
  readUsage(answer: Uint8Array, words: Float64Array): boolean;
  exitNow(code: number): never;
  createCore(
    memory: Uint8Array,
    thread: number,
    options: Omit<CoreOptions, 'policy'> & { policy: number },
    result: Float64Array,
  ): NativeCore;
}

function loadAddon(): Addon {
  const path = fileURLToPath(new URL('../../build/Release/dualmap_core.node', import.meta.url));
  if (!existsSync(path)) {
    throw new Error(`the native core is not built (${path}); run: node src/setup.mjs`);
  }
  return createRequire(import.meta.url)(path) as Addon;
}

/** The loaded addon. `src/dispatch/native.ts` takes its upstream client from here. */
export const addon: Addon = loadAddon();

/** Makes the shared memory of a router. Zeroed, laid out, ready for every thread to attach. */
export function createStateMemory(capacities: Capacities): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(addon.stateBytes(capacities));
  addon.createState(new Uint8Array(memory), capacities);
  return memory;
}

export function stateLayout(memory: SharedArrayBuffer): StateLayout {
  const layout = addon.layoutOf(new Uint8Array(memory));
  if (layout === null) throw new Error('the memory holds no fleet state of this version');
  return layout;
}

/** The identity by which an instance takes its place on the rings: XXH3-64 of its URL. */
export const identityOf = (url: string): bigint => addon.identityOf(url);

/**
 * Ends the process at once, from any thread. `process.exit` would unwind I/O threads whose sockets
 * are open, and that aborts.
 */
export const exitNow = (code: number): never => addon.exitNow(code);

/** Bare simdjson and XXH3 over a body: the yardstick of `bench decide`. 0: not JSON. */
export const bareScan = (body: Uint8Array): number => addon.bareScan(body);

export interface ScanResult {
  readonly fault: RequestFaultCode | null;
  readonly stream: boolean;
  readonly model: string;
  /** Canonical bytes; up to the end of the first user message. */
  readonly promptBytes: number;
  readonly firstUserEnd: number;
  readonly blockHashes: BigUint64Array;
  readonly levelKeys: BigUint64Array;
}

/** Reads a body as the request path does (native/core/README.md). Tests, explain. */
export function scanPrompt(body: Uint8Array, kind: PromptKind): ScanResult {
  const scan = addon.scanPrompt(body, promptKinds[kind]);
  const fault = placeFaults[scan.fault] ?? null;
  if (fault === null) return { ...scan, fault };
  const none = new BigUint64Array(0);
  const empty = { stream: false, model: '', promptBytes: 0, firstUserEnd: 0 };
  return { ...empty, fault, blockHashes: none, levelKeys: none };
}

/** Indexes of the result array; order is that of `Result` in native/addon.cc. */
const resultFields = [
  'ticket',
  'chosen',
  'other',
  'first',
  'second',
  'reason',
  'level',
  'stream',
  'promptTokens',
  'cachedTokens',
  'ttftEstimateMs',
  'otherCachedTokens',
  'otherTtftEstimateMs',
  'promptBytes',
  'blocks',
] as const;

/**
 * What the last `place` or `retry` decided, read from memory that the core wrote: valid until the
 * next one. Slots are -1 where there is none; tokens are counts, times milliseconds.
 */
export class PlacementView {
  readonly words = new Float64Array(resultFields.length);

  get ticket(): number {
    return this.words[0]!;
  }
  get chosen(): number {
    return this.words[1]!;
  }
  get other(): number {
    return this.words[2]!;
  }
  get first(): number {
    return this.words[3]!;
  }
  get second(): number {
    return this.words[4]!;
  }
  get reason(): Reason {
    return reasons[this.words[5]!]!;
  }
  /** Level of the key, 0..16: its depth is 512 << level bytes. */
  get level(): number {
    return this.words[6]!;
  }
  get stream(): boolean {
    return this.words[7] === 1;
  }
  get promptTokens(): number {
    return this.words[8]!;
  }
  get cachedTokens(): number {
    return this.words[9]!;
  }
  get ttftEstimateMs(): number {
    return this.words[10]!;
  }
  get otherCachedTokens(): number {
    return this.words[11]!;
  }
  get otherTtftEstimateMs(): number {
    return this.words[12]!;
  }
}

/** `busy`: readers hold every spare buffer just now, call again. */
export type RingsBuild = 'built' | 'busy' | 'tooLarge';
const ringsBuilds: readonly RingsBuild[] = ['built', 'busy', 'tooLarge'];

/** One thread's decision core over the shared fleet state. */
export class Core {
  /** What the last `place`, `placeBare` or `retry` decided. */
  readonly placement = new PlacementView();
  readonly #native: NativeCore;

  /** `thread`: a number of its own, 0..threadsMax-1. */
  constructor(memory: SharedArrayBuffer, thread: number, options: CoreOptions) {
    stateLayout(memory);
    const native = { ...options, policy: policyNames.indexOf(options.policy) };
    this.#native = addon.createCore(new Uint8Array(memory), thread, native, this.placement.words);
  }

  /**
   * Reads a request body, chooses an instance and reserves it. Returns `null` when placed; then
   * `placement.ticket` must be ended. The fault otherwise: nothing is reserved.
   */
  place(body: Uint8Array, kind: PromptKind, nowMs: number): PlaceFault | null {
    return placeFaults[this.#native.place(body, promptKinds[kind], nowMs)]!;
  }

  /** The same from ready block hashes. */
  placeChain(
    chain: BigUint64Array,
    blocks: number,
    promptTokens: number,
    nowMs: number,
  ): PlaceFault | null {
    return placeFaults[this.#native.placeChain(chain, blocks, promptTokens, nowMs)]!;
  }

  /** A request without a prompt; an empty model is served by any instance. */
  placeBare(model: string, nowMs: number): PlaceFault | null {
    return placeFaults[this.#native.placeBare(model, nowMs)]!;
  }

  /** The field of the body at which the last `place` failed; empty if it was none. */
  get faultParam(): string {
    return this.#native.faultParam();
  }

  /** Reserves the other candidate, then the next distinct instance; false when all were tried. */
  retry(ticket: number, nowMs: number): boolean {
    return this.#native.retry(ticket, nowMs);
  }

  /** The instance of the ticket failed before its first token. */
  suspect(ticket: number, nowMs: number): void {
    this.#native.suspect(ticket, nowMs);
  }

  /** First token seen: the prefill reservation ends, and all suspicion. */
  firstToken(ticket: number): void {
    this.#native.firstToken(ticket);
  }

  /** An answer without tokens began: all suspicion ends. */
  answered(ticket: number): void {
    this.#native.answered(ticket);
  }

  /** Gives back all that the ticket reserved. Exactly once per ticket. */
  end(ticket: number): void {
    this.#native.end(ticket);
  }

  /** Ends prefill reservations of requests without a stream whose estimated time has come. */
  endDuePrefills(nowMs: number): void {
    this.#native.endDuePrefills(nowMs);
  }

  get ticketsInUse(): number {
    return this.#native.ticketsInUse();
  }

  /** Builds rings off the hot path and swaps them in. Control plane only. */
  buildRings(members: readonly RingMember[], ringSeed: bigint): RingsBuild {
    return ringsBuilds[this.#native.buildRings(members, ringSeed)]!;
  }

  /** Raised by every build. */
  get ringsVersion(): number {
    return this.#native.ringsVersion();
  }

  /** Whether a decision under way may still read older rings; if not, what it reserved is seen. */
  isReadBefore(version: number): boolean {
    return this.#native.isReadBefore(version);
  }

  /** The pair of a key among all members, whatever their state; -1: none. */
  pairOf(key: bigint): { first: number; second: number } {
    const [first, second] = this.#native.pairOf(key);
    return { first, second };
  }

  /** Leading blocks of a chain that an instance is taken to hold. */
  hitBlocks(chain: BigUint64Array, slot: number): number {
    return this.#native.hitBlocks(chain, slot);
  }

  insertBlocks(chain: BigUint64Array, slot: number, nowMs: number): void {
    this.#native.insertBlocks(chain, slot, nowMs);
  }

  /** Counts a request in the hotness window and returns the level of its key. */
  hotLevel(keys: BigUint64Array, instances: number, isLoaded: boolean): number {
    return this.#native.hotLevel(keys, instances, isLoaded);
  }
}
