/**
 * What the laws run on: every implementation of the prompt scan and of the rings, under one face.
 */
import { type Capacities, Core, createStateMemory } from '../../src/core/native.ts';
import { ReferenceRings, type RingInstance, referenceScan } from '../../src/core/reference.ts';
import { scanPrompt } from '../../src/core/scan.ts';
import type { RequestFaultCode } from '../../src/errors.ts';
import type { PromptKind } from '../../src/terms.ts';
import { directCore } from '../support/core.ts';

export interface Scan {
  readonly fault: RequestFaultCode | null;
  readonly stream: boolean;
  readonly model: string;
  readonly promptBytes: number;
  readonly firstUserEnd: number;
  readonly blockHashes: readonly bigint[];
  readonly levelKeys: readonly bigint[];
}

export interface Pair {
  readonly first: number;
  readonly second: number;
}

export interface Implementation {
  readonly name: string;
  scanPrompt(body: Uint8Array, kind: PromptKind): Scan;
  makeRings(instances: readonly RingInstance[], ringSeed: bigint): { pair(key: bigint): Pair };
}

export const reference: Implementation = {
  name: 'reference',
  scanPrompt(body, kind) {
    const { canonical: _, ...rest } = referenceScan(body, kind);
    return rest;
  },
  makeRings: (instances, ringSeed) => new ReferenceRings(instances, ringSeed),
};

const smallest: Capacities = {
  instancesMax: 16,
  threadsMax: 1,
  ringPointsMax: 8192,
  indexBlocks: 64,
  hotnessRequestsMax: 64,
  waitingMax: 0,
};

export const native: Implementation = {
  name: 'native',
  scanPrompt(body, kind) {
    const { blockHashes, levelKeys, ...rest } = scanPrompt(body, kind);
    return { ...rest, blockHashes: [...blockHashes], levelKeys: [...levelKeys] };
  },
  makeRings(instances, ringSeed) {
    const core = new Core(createStateMemory(smallest), 0, directCore);
    const members = instances.map((instance, slot) => ({ ...instance, slot, models: [] }));
    const built = core.buildRings(members, ringSeed);
    if (built !== 'built') throw new Error(`no rings: ${built}`);
    return { pair: (key) => core.pairOf(key) };
  },
};

export const implementations: readonly Implementation[] = [reference, native];
