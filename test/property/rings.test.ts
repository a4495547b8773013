/** Laws of the two rings and their pairs, and the figures they must reproduce. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReferenceRings, type RingInstance } from '../../src/core/reference.ts';
import { Random } from '../support/random.ts';
import { implementations, type Pair } from './implementations.ts';
import { holds } from './law.ts';

const anyKey = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const anySeed = fc.oneof(fc.constantFrom(0n, 2n ** 64n - 1n), anyKey);
const anyWeight = fc.constantFrom(0, 0.001, 0.05, 0.3, 1);
const anyUrl = fc
  .tuple(fc.constantFrom('http://a', 'https://b.c:8000', 'http://é', ''), fc.nat({ max: 999 }))
  .map(([host, number]) => `${host}/${number}`);

function anyFleet(minLength: number, maxLength = 6): fc.Arbitrary<RingInstance[]> {
  const instance = fc.record({ url: anyUrl, weight: anyWeight });
  return fc.uniqueArray(instance, { selector: ({ url }) => url, minLength, maxLength });
}

function fleetOf(size: number, weight: (index: number) => number = () => 1): RingInstance[] {
  return Array.from({ length: size }, (_, index) => ({
    url: `http://10.0.0.${index}:8000`,
    weight: weight(index),
  }));
}

const keys = (() => {
  const random = new Random(1);
  const word = () => BigInt(random.below(2 ** 32));
  return Array.from({ length: 3000 }, () => (word() << 32n) | word());
})();
const ringSeeds = Array.from({ length: 20 }, (_, index) => BigInt(index) * 1_000_003n);

/** Mean over all keys and ring seeds. */
function mean(of: (key: bigint, ringSeed: bigint) => boolean): number {
  let count = 0;
  for (const ringSeed of ringSeeds) for (const key of keys) if (of(key, ringSeed)) count += 1;
  return count / keys.length / ringSeeds.length;
}

describe.each(implementations)('$name: a pair', ({ makeRings }) => {
  const urlsOf = (fleet: readonly RingInstance[], { first, second }: Pair) =>
    [first, second].map((index) => fleet[index]?.url ?? null);
  const pairOf = (fleet: readonly RingInstance[], ringSeed: bigint, key: bigint) =>
    urlsOf(fleet, makeRings(fleet, ringSeed).pair(key));

  it('is two distinct instances of the fleet, if there are two', () => {
    holds(fc.tuple(anyFleet(2), anySeed, anyKey), ([fleet, ringSeed, key]) => {
      const { first, second } = makeRings(fleet, ringSeed).pair(key);
      expect(fleet[first]).toBeDefined();
      expect(fleet[second]).toBeDefined();
      expect(second).not.toBe(first);
    });
  });

  it('has no second candidate if there is one instance, and none at all if there is none', () => {
    holds(fc.tuple(anyFleet(1, 1), anySeed, anyKey), ([fleet, ringSeed, key]) => {
      expect(makeRings(fleet, ringSeed).pair(key)).toEqual({ first: 0, second: -1 });
      expect(makeRings([], ringSeed).pair(key)).toEqual({ first: -1, second: -1 });
    });
  });

  it('does not depend on the order of the instances', () => {
    const fleetAndOrder = anyFleet(1).chain((fleet) =>
      fc.tuple(
        fc.constant(fleet),
        fc.shuffledSubarray(fleet, { minLength: fleet.length, maxLength: fleet.length }),
      ),
    );
    holds(fc.tuple(fleetAndOrder, anySeed, anyKey), ([[fleet, shuffled], ringSeed, key]) => {
      expect(pairOf(shuffled, ringSeed, key)).toEqual(pairOf(fleet, ringSeed, key));
    });
  });

  it('stays when an instance joins or leaves that is not in it', () => {
    holds(fc.tuple(anyFleet(2), anySeed, anyKey, fc.nat()), ([fleet, ringSeed, key, pick]) => {
      const moving = pick % fleet.length;
      const larger = pairOf(fleet, ringSeed, key);
      const smaller = pairOf(fleet.toSpliced(moving, 1), ringSeed, key);
      if (!larger.includes(fleet[moving]!.url)) expect(smaller).toEqual(larger);
      if (larger[0] !== fleet[moving]!.url) expect(smaller[0]).toBe(larger[0]);
      // One change never takes both candidates of a prefix.
      expect(larger.filter((url) => smaller.includes(url))).not.toEqual([]);
    });
  });

  it('changes with the ring seed', () => {
    const [one, other] = [makeRings(fleetOf(8), 1n), makeRings(fleetOf(8), 2n)];
    const same = keys.filter((key) => {
      const [left, right] = [one.pair(key), other.pair(key)];
      return left.first === right.first && left.second === right.second;
    });
    // Two seeds agree by chance alone: one pair in 8 * 7.
    expect(same.length / keys.length).toBeGreaterThan(0.01);
    expect(same.length / keys.length).toBeLessThan(0.03);
  });
});

describe.each(implementations)('$name: the figures of the rings', ({ makeRings }) => {
  const ringsOf = (fleet: readonly RingInstance[]) => {
    const made = new Map(ringSeeds.map((seed) => [seed, makeRings(fleet, seed)]));
    return (key: bigint, ringSeed: bigint) => made.get(ringSeed)!.pair(key);
  };

  it('8 -> 9 keeps 77.3 % of the pairs, and one candidate of 99.9 %', () => {
    const before = ringsOf(fleetOf(8));
    const after = ringsOf(fleetOf(9));
    let kept = 0;
    const unchanged = mean((key, ringSeed) => {
      const [old, now] = [before(key, ringSeed), after(key, ringSeed)];
      const stays = [now.first, now.second];
      if (stays.includes(old.first) || stays.includes(old.second)) kept += 1;
      return old.first === now.first && old.second === now.second;
    });
    expect(Math.abs(unchanged - 0.773)).toBeLessThan(0.01);
    expect(kept / keys.length / ringSeeds.length).toBeGreaterThanOrEqual(0.999);
  });

  it.each(['first', 'second'] as const)('%s is balanced over 8 instances', (candidate) => {
    const pairs = ringsOf(fleetOf(8));
    const shares = ringSeeds.flatMap((ringSeed) => {
      const counts = new Array<number>(8).fill(0);
      for (const key of keys) counts[pairs(key, ringSeed)[candidate]]! += 1;
      return counts.map((count) => (count / keys.length) * 8);
    });
    // 160 points an instance: arcs spread by about 1/sqrt(160) = 7.9 % of a fair share.
    const spread = Math.sqrt(
      shares.reduce((sum, share) => sum + (share - 1) ** 2, 0) / shares.length,
    );
    expect(spread).toBeGreaterThan(0.04);
    expect(spread).toBeLessThan(0.11);
    expect(Math.max(...shares)).toBeLessThan(1.4);
  });

  it('shares follow the weights', () => {
    const fleet = fleetOf(4, (index) => [0.5, 1, 2, 4][index]!);
    const pairs = ringsOf(fleet);
    const counts = new Array<number>(fleet.length).fill(0);
    for (const ringSeed of ringSeeds) {
      for (const key of keys) counts[pairs(key, ringSeed).first]! += 1;
    }
    const weightSum = 7.5;
    for (const [index, { weight }] of fleet.entries()) {
      const share = counts[index]! / keys.length / ringSeeds.length;
      expect(Math.abs((share * weightSum) / weight - 1)).toBeLessThan(0.1);
    }
  });
});

describe('the reference rings', () => {
  it.each([
    [4, 0.248],
    [8, 0.126],
  ])('at %i instances both rings name the same one for %f of the keys', (size, expected) => {
    const made = new Map(ringSeeds.map((seed) => [seed, new ReferenceRings(fleetOf(size), seed)]));
    const collisions = mean((key, ringSeed) => {
      const rings = made.get(ringSeed)!;
      return rings.owner(0, key) === rings.owner(1, key);
    });
    expect(Math.abs(collisions - expected)).toBeLessThan(0.01);
  });

  it('draw among those that serve as if there were no others', () => {
    const fleetAndServing = anyFleet(1, 8).chain((fleet) =>
      fc.tuple(fc.constant(fleet), fc.subarray(fleet)),
    );
    holds(fc.tuple(fleetAndServing, anySeed, anyKey), ([[fleet, serving], ringSeed, key]) => {
      const all = new ReferenceRings(fleet, ringSeed);
      const pair = all.pair(key, (index) => serving.includes(fleet[index]!));
      const alone = new ReferenceRings(serving, ringSeed).pair(key);
      expect([fleet[pair.first], fleet[pair.second]]).toEqual([
        serving[alone.first],
        serving[alone.second],
      ]);
    });
  });
});
