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
import {
  type CoreOptions,
  latePolicies,
  type Objective,
  policyNames,
  queueOrders,
} from './core-options.ts';
import type { NativeCore, NativeCoreOptions } from './native-core.ts';
import { hasClaimsAt, never, nextLookAt, PlacementView } from './placement-view.ts';
import type { Move } from './queue-snapshot.ts';
import { SampleBuffer } from './samples.ts';
import type { LastPrompt, NativeExplanation, NativeScan } from './scan.ts';
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
  /** Requests that may wait in the queues of the router; above, `queue_full`. */
  readonly waitingMax: number;
}

/** Order is that of `PlaceStatus` in native/core/core.h; `null` is placed. */
export const placeFaults = [
  null,
  'invalid_json',
  'invalid_type',
  'empty_prompt',
  'too_deep',
  'model_not_found',
  'no_instance',
  'queue_full',
] as const satisfies readonly (RequestFaultCode | null)[];
export type PlaceFault = Exclude<(typeof placeFaults)[number], null>;

export const promptKinds: Record<PromptKind, number> = { chat: 0, completion: 1, embedding: 2 };

/** A member of the rings. Without `models` it serves any model. */
export interface RingMember {
  readonly slot: number;
  readonly url: string;
  /** 1 is an ordinary instance: 160 points on each ring. */
  readonly weight: number;
  readonly models: readonly string[];
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
  | 'perTokenContextMs'
  | 'perRunningMs'
  | 'suspectUntilMs'
  | 'failures'
  | 'models'
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
  | 'standing'
  | 'scrapedWaiting'
  | 'scrapedRunning'
  | 'scrapedKvUse'
  | 'scrapedAtMs'
  | 'peersWaiting'
  | 'peersWaitedAtMs',
  number
>;

interface Addon extends UpstreamAddon {
  stateBytes(capacities: Capacities): number;
  createState(memory: Uint8Array, capacities: Capacities, hugePages: boolean): void;
  layoutOf(memory: Uint8Array): StateLayout | null;
  identityOf(url: string): bigint;
  scanPrompt(body: Uint8Array, kind: number): NativeScan;
  bareScan(body: Uint8Array): number;
  readUsage(answer: Uint8Array, words: Float64Array): boolean;
  exitNow(code: number): never;
  createCore(
    memory: Uint8Array,
    thread: number,
    options: NativeCoreOptions,
    result: Float64Array,
    samples: Float64Array,
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

/** The memory of a router, zeroed, laid out. Huge pages take long to get: not for what dies soon. */
export function createStateMemory(capacities: Capacities, { hugePages = true } = {}) {
  const memory = new SharedArrayBuffer(addon.stateBytes(capacities));
  addon.createState(new Uint8Array(memory), capacities, hugePages);
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

const noObjective: Objective = { sloTtftMs: null, priority: null };

/** Order is that of `Waited` in native/core/core.h. */
const waitedNames = [null, 'placed', 'shed'] as const;

/** `busy`: readers hold every spare buffer just now, call again. */
export type RingsBuild = 'built' | 'busy' | 'tooLarge';
const ringsBuilds: readonly RingsBuild[] = ['built', 'busy', 'tooLarge'];

/** One thread's decision core over the shared fleet state. */
export class Core {
  /** What the last `place`, `placeBare` or `retry` decided. */
  readonly placement = new PlacementView();
  /** What first tokens told of the speed of instances; emptied by its reader. */
  readonly samples = new SampleBuffer();
  readonly #native: NativeCore;
  #onWork: (() => void) | null = null;

  /** `thread`: a number of its own, 0..threadsMax-1. */
  constructor(memory: SharedArrayBuffer, thread: number, options: CoreOptions) {
    stateLayout(memory);
    const native = {
      ...options,
      policy: policyNames.indexOf(options.policy),
      queues: Number(options.queues),
      bindsLate: Number(options.bindsLate),
      fleetWide: Number(options.fleetWide),
      keyLevel: options.keyLevel ?? -1,
      hasPeers: Number(options.hasPeers),
      queueOrder: queueOrders.indexOf(options.queueOrder),
      latePolicy: latePolicies.indexOf(options.latePolicy),
    };
    const { words } = this.placement;
    const bytes = new Uint8Array(memory);
    this.#native = addon.createCore(bytes, thread, native, words, this.samples.words);
  }

  /**
   * Reads a request body, chooses an instance and reserves it. Returns `null` when placed; then
   * `placement.ticket` must be ended. The fault otherwise: nothing is reserved.
   */
  place(
    body: Uint8Array,
    kind: PromptKind,
    nowMs: number,
    { sloTtftMs, priority }: Objective = noObjective,
  ): PlaceFault | null {
    const slo = sloTtftMs ?? 0;
    const status = this.#native.place(body, promptKinds[kind], nowMs, slo, priority ?? Number.NaN);
    this.#announceWork();
    return placeFaults[status]!;
  }

  /** The same from ready block hashes. */
  placeChain(
    chain: BigUint64Array,
    blocks: number,
    promptTokens: number,
    nowMs: number,
  ): PlaceFault | null {
    const fault = placeFaults[this.#native.placeChain(chain, blocks, promptTokens, nowMs)]!;
    this.#announceWork();
    return fault;
  }

  /** A request without a prompt; an empty model is served by any instance. */
  placeBare(model: string, nowMs: number): PlaceFault | null {
    return placeFaults[this.#native.placeBare(model, nowMs)]!;
  }

  /** What `place` would decide now (scan.ts). Reserves nothing, counts nothing. */
  explain(body: Uint8Array, kind: PromptKind, nowMs: number): NativeExplanation {
    return this.#native.explain(body, promptKinds[kind], nowMs);
  }

  /** Of the body that `place` has just placed: to be asked before the next one. For the journal. */
  lastPrompt(): LastPrompt {
    return this.#native.lastPrompt();
  }

  /** The field of the body at which the last `place` failed; empty if it was none. */
  get faultParam(): string {
    return this.#native.faultParam();
  }

  /** Reserves the other candidate, then the next distinct instance; false when all were tried. */
  retry(ticket: number, nowMs: number): boolean {
    const isPlaced = this.#native.retry(ticket, nowMs);
    this.#announceWork();
    return isPlaced;
  }

  /** The instance of the ticket failed before its first token. */
  suspect(ticket: number, nowMs: number): void {
    this.#native.suspect(ticket, nowMs);
    this.#announceWork();
  }

  /**
   * First token seen: the prefill reservation ends, and all suspicion. `ttftMs`: measured from
   * sending, a sample of the instance's speed; 0 if no first token of a stream was seen.
   */
  firstToken(ticket: number, nowMs: number, ttftMs = 0): void {
    this.#native.firstToken(ticket, nowMs, ttftMs);
    this.#announceWork();
  }

  /** An answer without tokens began: all suspicion ends. */
  answered(ticket: number, nowMs: number): void {
    this.#native.answered(ticket, nowMs);
    this.#announceWork();
  }

  /**
   * Gives back all that the ticket reserved, or its place in the queues. Exactly once a ticket.
   * `promptTokens`: what the engine counted, from which the model's bytes a token are learnt; 0
   * if it did not say.
   */
  end(ticket: number, nowMs: number, promptTokens = 0): void {
    this.#native.end(ticket, nowMs, promptTokens);
    this.#announceWork();
  }

  /** Tokens that a byte of prompt makes for a model, as learnt so far by all threads. */
  tokensPerByte(model: string): number {
    return this.#native.tokensPerByte(model);
  }

  /** Whether `nextClaim` has something. Any call of this core may bring it about. */
  get hasClaims(): boolean {
    return this.placement.words[hasClaimsAt] === 1;
  }

  /**
   * The next waiting request of this thread whose waiting is over: `placement` then says where it
   * goes. Shed requests must only be ended.
   */
  nextClaim(): 'placed' | 'shed' | null {
    return waitedNames[this.#native.nextClaim()]!;
  }

  /** Given up while it waited, claimed or not: it will not be sent, and must still be ended. */
  stopWaiting(ticket: number, nowMs: number): void {
    this.#native.stopWaiting(ticket, nowMs);
    this.#announceWork();
  }

  /**
   * What waits for an instance and is bound to it, in order of service, as rows of
   * `queue-snapshot.ts`. Returns how many were written.
   */
  snapshotQueue(slot: number, rows: Float64Array): number {
    return this.#native.snapshotQueue(slot, rows);
  }

  /**
   * Moves a request that waits, of any thread, to its other candidate. False, and nothing has
   * changed, unless it still waits where it stood and was never moved.
   */
  migrate({ place, sequence, from, to }: Move, nowMs: number): boolean {
    const isMoved = this.#native.migrate(place, sequence, from, to, nowMs);
    this.#announceWork();
    return isMoved;
  }

  /** When `look` must be called; infinite if it need not. Any call may change it. */
  get nextLookMs(): number {
    const atMs = this.placement.words[nextLookAt]!;
    return atMs < never ? atMs : Number.POSITIVE_INFINITY;
  }

  /**
   * Ends prefills of requests without a stream whose estimated time has come, and lets instances
   * look again at what they had left to others.
   */
  look(nowMs: number): void {
    this.#native.look(nowMs);
    this.#announceWork();
  }

  /** Instances have come, gone or recovered. */
  fleetChanged(nowMs: number): void {
    this.#native.fleetChanged(nowMs);
    this.#announceWork();
  }

  /**
   * `callback` runs when a call of this core, or another thread, has brought about claims or a time
   * to look. Set once; it keeps no loop alive.
   */
  onWork(callback: () => void): void {
    this.#onWork = callback;
    this.#native.onWake(() => {
      // What another thread has claimed is in the mail, but not yet in the words.
      this.placement.words[hasClaimsAt] = 1;
      callback();
    });
  }

  #announceWork(): void {
    const { words } = this.placement;
    if (words[hasClaimsAt] === 1 || words[nextLookAt]! < never) this.#onWork?.();
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
