/** The pairs of a prompt that stays hot, in the addon as it is shipped: every router must have the same. */
import { describe, expect, it } from 'vitest';
import { littleEndian64, seededXxh3 } from '../../src/core/reference-hash.ts';
import { FleetOfTest } from '../support/fleet.ts';

const instances = 8;
/** No key is shared by more pairs than that. */
const pairsMax = instances / 2;

/** The pairs that so many requests with one prompt get. */
function pairsOf(key: bigint, requests: number): Set<string> {
  const fleet = new FleetOfTest({ instancesMax: instances, core: { policy: 'dualmap' } });
  for (let at = 0; at < instances; at++) fleet.serve(`http://10.0.0.${at}:8000`);
  const pairs = new Set<string>();
  for (let request = 0; request < requests; request++) {
    // None of them ends: the pair computes, as it must for a key to become hot.
    fleet.core.placeChain(BigUint64Array.of(key), 1, 128, 0);
    const { first, second } = fleet.core.placement;
    pairs.add(`${first} ${second}`);
  }
  return pairs;
}

/** As native/core/README.md says: pair j > 0 is that of the key's hash with seed j. */
function statedPairs(key: bigint): Set<string> {
  const fleet = new FleetOfTest({ instancesMax: instances });
  for (let at = 0; at < instances; at++) fleet.serve(`http://10.0.0.${at}:8000`);
  const pairs = Array.from({ length: pairsMax }, (_, at) => {
    const own = at === 0 ? key : seededXxh3(BigInt(at))(littleEndian64(key));
    const { first, second } = fleet.core.pairOf(own);
    return `${first} ${second}`;
  });
  return new Set(pairs);
}

describe('a prompt that stays hot', () => {
  const keys = [0x1234_5678_90ab_cdefn, 1n, 2n ** 64n - 1n];

  it.each(keys)('has the pairs that its key names (%s)', (key) => {
    const pairs = pairsOf(key, 400);
    expect(pairs.size).toBeGreaterThan(1);
    expect(pairs).toEqual(statedPairs(key));
  });
});
