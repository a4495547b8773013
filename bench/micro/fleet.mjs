/**
 * A fleet as the decision core sees it: instances on the rings, and a million prompt blocks
 * indexed.
 */
import { FleetState } from '../../dist/core/fleet-state.js';
import { Core, createStateMemory } from '../../dist/core/native.js';

export const chainBlocks = 16;
export const chainTokens = chainBlocks * 128;
export const indexedBlocks = 1 << 20;
const chainCount = indexedBlocks / chainBlocks;
/** So many different prompts are asked for: their blocks do not fit in a cache of the processor. */
const askedCount = 8192;

export const coreOptions = {
  policy: 'dualmap-paper',
  sloTtftMs: 5000,
  sloTtftMsPerToken: 0,
  sloFraction: 0.5,
  tokensPerByte: 0.25,
  keyLevel: null,
  hotRequestsMin: 20,
  suspectBackoffMs: 500,
  suspectBackoffMaxMs: 30_000,
  queues: false,
  bindsLate: false,
  fleetWide: false,
  queueOrder: 'deadline',
  latePolicy: 'serve',
  prefillWindowTokens: 4096,
  coldClaimPrice: 8,
  hasPeers: false,
};

/** Memory with serving instances on its rings. Thread 0 is the caller's. */
export function createFleet(instances, threadsMax = 1) {
  const memory = createStateMemory({
    instancesMax: instances <= 256 ? 256 : 4096,
    threadsMax,
    ringPointsMax: instances * 320,
    // As many as it is made for, as by default.
    indexBlocks: indexedBlocks,
    hotnessRequestsMax: Math.max(1024, instances * 32),
    waitingMax: 0,
  });
  const state = new FleetState(memory, instances);
  const core = new Core(memory, 0, coreOptions);
  const members = Array.from({ length: instances }, (_, index) => {
    const url = `http://10.0.${index >> 8}.${index & 255}:8000`;
    const slot = state.takeSlot(url);
    state.setSpeed(slot, 0, 0.16);
    state.setCapacityBlocks(slot, indexedBlocks);
    state.setState(slot, 'serving');
    return { slot, url, weight: 1, models: [] };
  });
  const built = core.buildRings(members, 1n);
  if (built !== 'built') throw new Error(`the rings are ${built}`);
  return { memory, state, core };
}

/** Hashes that a generator with this seed gives: the same in every thread. */
function makeHashes(count) {
  const hashes = new BigUint64Array(count);
  let state = 88172645463325252n;
  for (let index = 0; index < count; index += 1) {
    state ^= BigInt.asUintN(64, state << 13n);
    state ^= state >> 7n;
    state ^= BigInt.asUintN(64, state << 17n);
    hashes[index] = state;
  }
  return hashes;
}

/** Chains of blocks, spread over all that `indexChains` puts in the index. */
export function makeChains(count = askedCount) {
  const hashes = makeHashes(indexedBlocks);
  const step = chainCount / count;
  return Array.from({ length: count }, (_, index) => {
    const start = index * step * chainBlocks;
    return hashes.slice(start, start + chainBlocks);
  });
}

/** Places every chain once, so that its blocks are indexed; throws if they are not found again. */
export function indexChains(core) {
  const chains = makeChains(chainCount);
  for (const chain of chains) placeAndEnd(core, chain);
  let found = 0;
  for (const chain of chains) {
    placeAndEnd(core, chain);
    found += core.placement.cachedTokens / 128;
  }
  if (found < indexedBlocks * 0.9) throw new Error(`only ${found} blocks are found again`);
}

let nowMs = 0;

/** One decision from a ready chain. The ticket must be ended. */
export function place(core, chain) {
  nowMs += 0.001;
  const fault = core.placeChain(chain, chainBlocks, chainTokens, nowMs);
  if (fault !== null) throw new Error(fault);
}

export function placeAndEnd(core, chain) {
  place(core, chain);
  core.end(core.placement.ticket, 0);
}
