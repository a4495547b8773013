/**
 * What the addon's object of a decision core can be asked for: numbers and views in, numbers out.
 * Called by `Core` (native.ts) alone.
 */
import type { CoreOptions } from './core-options.ts';
import type { RingMember } from './native.ts';
import type { LastPrompt, NativeExplanation } from './scan.ts';

export type NativeCoreOptions = { readonly [name in keyof CoreOptions]: number };

export interface NativeCore {
  place(body: Uint8Array, kind: number, nowMs: number, sloTtftMs: number, priority: number): number;
  placeChain(chain: BigUint64Array, blocks: number, promptTokens: number, nowMs: number): number;
  placeBare(model: string, nowMs: number): number;
  explain(body: Uint8Array, kind: number, nowMs: number): NativeExplanation;
  lastPrompt(): LastPrompt;
  faultParam(): string;
  retry(ticket: number, nowMs: number): boolean;
  suspect(ticket: number, nowMs: number): void;
  firstToken(ticket: number, nowMs: number, ttftMs: number): void;
  answered(ticket: number, nowMs: number): void;
  end(ticket: number, nowMs: number, promptTokens: number): void;
  tokensPerByte(model: string): number;
  nextClaim(): number;
  stopWaiting(ticket: number, nowMs: number): void;
  snapshotQueue(slot: number, rows: Float64Array): number;
  migrate(place: number, sequence: number, from: number, to: number, nowMs: number): boolean;
  look(nowMs: number): void;
  fleetChanged(nowMs: number): void;
  onWake(callback: () => void): void;
  ticketsInUse(): number;
  buildRings(members: readonly RingMember[], ringSeed: bigint): number;
  ringsVersion(): number;
  isReadBefore(version: number): boolean;
  pairOf(key: bigint): [number, number];
  hitBlocks(chain: BigUint64Array, slot: number): number;
  insertBlocks(chain: BigUint64Array, slot: number, nowMs: number): void;
  hotLevel(keys: BigUint64Array, instances: number, isLoaded: boolean): number;
}
