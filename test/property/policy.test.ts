/** Laws of the reference twin's cache model, hotness and rules. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Choice,
  chooseConsistentHash,
  chooseDualmapPaper,
  chooseLeastTokens,
  chooseRoundRobin,
  type PairView,
  ReferenceHotness,
  ReferencePrefixIndex,
  ReferenceRings,
} from '../../src/core/reference.ts';
import { holds } from './law.ts';

// Chains over few hashes, so that they meet; a chain names a block once.
const anyChain = fc.uniqueArray(fc.bigInt({ min: 1n, max: 30n }), { maxLength: 12 });

describe('the reference prefix index', () => {
  it('knows at least as much of the chain used last as the capacity holds', () => {
    const uses = fc.array(anyChain, { minLength: 1, maxLength: 12 });
    holds(fc.tuple(uses, fc.integer({ min: 1, max: 40 })), ([chains, capacityBlocks]) => {
      const index = new ReferencePrefixIndex();
      index.reset(0, capacityBlocks);
      index.reset(1, capacityBlocks);
      for (const chain of chains) index.use(0, chain);
      const last = chains.at(-1)!;
      const held = Math.min(last.length, capacityBlocks);
      expect(index.cachedBlocks(0, last)).toBeGreaterThanOrEqual(held);
      expect(index.cachedBlocks(0, last)).toBeLessThanOrEqual(last.length);
      expect(index.cachedBlocks(1, last)).toBe(0);
      index.reset(0, capacityBlocks);
      expect(index.cachedBlocks(0, last)).toBe(0);
    });
  });

  it('never forgets what fits, and knows nothing that was never used', () => {
    holds(fc.array(anyChain, { minLength: 1, maxLength: 12 }), (chains) => {
      const index = new ReferencePrefixIndex();
      index.reset(0, 30);
      for (const chain of chains) index.use(0, chain);
      for (const chain of chains) expect(index.cachedBlocks(0, chain)).toBe(chain.length);
      expect(index.cachedBlocks(0, [...chains[0]!, 31n])).toBe(chains[0]!.length);
    });
  });

  it('forgets tail before root, and the least recently used first', () => {
    const index = new ReferencePrefixIndex();
    index.reset(0, 4);
    index.use(0, [1n, 2n]);
    index.use(0, [3n, 4n]);
    expect(index.cachedBlocks(0, [1n, 2n])).toBe(2);
    index.use(0, [5n]);
    expect(index.cachedBlocks(0, [1n, 2n])).toBe(1);
    expect(index.cachedBlocks(0, [3n, 4n])).toBe(2);
    index.use(0, [1n]);
    index.use(0, [6n, 7n]);
    expect(index.cachedBlocks(0, [3n, 4n])).toBe(1);
    expect(index.cachedBlocks(0, [1n])).toBe(1);
    expect(() => index.use(7, [1n])).toThrow(RangeError);
  });
});

describe('the reference hotness', () => {
  // Eight instances: hot above 1/4 of the window, cold below 1/8.
  const [shared, hotLevels] = [1n, [1n, 2n]] as const;
  let nextCold = 1000n;
  const record = (hotness: ReferenceHotness, times: number, of?: readonly bigint[]) => {
    for (let time = 0; time < times; time += 1) hotness.record(of ?? [nextCold++]);
  };

  it('needs twenty requests and more than twice a fair share', () => {
    const hotness = new ReferenceHotness(8, 256);
    record(hotness, 19, hotLevels);
    expect(hotness.isHot(shared)).toBe(false);
    record(hotness, 1, hotLevels);
    expect(hotness.isHot(shared)).toBe(true);

    const exact = new ReferenceHotness(8, 256);
    record(exact, 192);
    record(exact, 64, [shared]);
    expect(exact.isHot(shared)).toBe(false);
    record(exact, 1, [shared]);
    expect(exact.isHot(shared)).toBe(true);
  });

  it('keeps a hot key hot until it has less than a fair share', () => {
    const hotness = new ReferenceHotness(8, 256);
    record(hotness, 100, [shared]);
    record(hotness, 256 - 32);
    expect(hotness.isHot(shared)).toBe(true);
    record(hotness, 1);
    expect(hotness.isHot(shared)).toBe(false);
    record(hotness, 40, [shared]);
    expect(hotness.isHot(shared)).toBe(false);
  });

  it('names the shallowest level that is not hot', () => {
    const hotness = new ReferenceHotness(8, 256);
    expect(hotness.level([1n, 2n])).toBe(0);
    record(hotness, 30, [1n]);
    expect(hotness.level([1n, 2n])).toBe(1);
    record(hotness, 60, [1n, 2n]);
    expect(hotness.level([1n, 2n])).toBe(1);
    expect(hotness.level([1n, 2n, 3n])).toBe(2);
  });
});

describe('the rule inside the pair', () => {
  const view: PairView = {
    ttftFirst: 2000,
    ttftSecond: 1000,
    cachedFirst: 8,
    cachedSecond: 4,
    loadFirst: 10,
    loadSecond: 5,
    sloTtftMs: 5000,
    sloFraction: 0.5,
  };

  it.each<[name: string, change: Partial<PairView>, chosen: Choice]>([
    ['the warm one within the objective, though slower', {}, 'first'],
    ['the warm one exactly at the objective', { ttftFirst: 2500 }, 'first'],
    ['the faster one beyond it', { ttftFirst: 2501 }, 'second'],
    ['the warm one beyond it, if faster', { ttftFirst: 2501, ttftSecond: 2502 }, 'first'],
    ['the warm one of equals beyond it', { ttftFirst: 9000, ttftSecond: 9000 }, 'first'],
    ['the less loaded of equally warm', { cachedSecond: 8 }, 'second'],
    ['the less loaded of two cold', { cachedFirst: 0, cachedSecond: 0 }, 'second'],
    ['first of equally warm and loaded', { cachedSecond: 8, loadSecond: 10 }, 'first'],
    ['a fraction of 1: the whole objective', { ttftFirst: 5000, sloFraction: 1 }, 'first'],
  ])('%s', (_, change, chosen) => {
    expect(chooseDualmapPaper({ ...view, ...change })).toBe(chosen);
  });

  it('does not care which candidate is called first, but for a full tie', () => {
    const small = fc.integer({ min: 0, max: 3 });
    const anyView = fc.record({
      ttftFirst: small,
      ttftSecond: small,
      cachedFirst: small,
      cachedSecond: small,
      loadFirst: small,
      loadSecond: small,
      sloTtftMs: small,
      sloFraction: fc.constantFrom(0.5, 1),
    });
    holds(
      anyView,
      (one) => {
        fc.pre(one.cachedFirst !== one.cachedSecond || one.loadFirst !== one.loadSecond);
        const swapped = chooseDualmapPaper({
          ...one,
          ttftFirst: one.ttftSecond,
          ttftSecond: one.ttftFirst,
          cachedFirst: one.cachedSecond,
          cachedSecond: one.cachedFirst,
          loadFirst: one.loadSecond,
          loadSecond: one.loadFirst,
        });
        expect(chooseDualmapPaper(one)).toBe(swapped === 'first' ? 'second' : 'first');
      },
      1000,
    );
  });
});

describe('the plain rules', () => {
  const serving = (...indexes: number[]) => ({
    serves: (index: number) => indexes.includes(index),
  });

  it('least tokens: the smallest, the lowest index of equals, only who serves', () => {
    expect(chooseLeastTokens([5, 3, 3, 9])).toBe(1);
    expect(chooseLeastTokens([5, 3, 3, 9], serving(0, 3).serves)).toBe(0);
    expect(chooseLeastTokens([5, 3], serving().serves)).toBe(-1);
  });

  it('round robin: every serving instance in turn', () => {
    const { serves } = serving(1, 3);
    expect(chooseRoundRobin(-1, 4)).toBe(0);
    expect(chooseRoundRobin(3, 4)).toBe(0);
    expect(chooseRoundRobin(0, 4, serves)).toBe(1);
    expect(chooseRoundRobin(1, 4, serves)).toBe(3);
    expect(chooseRoundRobin(3, 4, serves)).toBe(1);
    expect(chooseRoundRobin(0, 4, serving().serves)).toBe(-1);
    expect(chooseRoundRobin(-1, 0)).toBe(-1);
  });

  it('consistent hash: the first candidate of the pair', () => {
    const fleet = ['a', 'b', 'c'].map((url) => ({ url, weight: 1 }));
    const rings = new ReferenceRings(fleet, 3n);
    holds(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (key) => {
      expect(chooseConsistentHash(rings, key)).toBe(rings.pair(key).first);
      expect(chooseConsistentHash(rings, key, serving(2).serves)).toBe(2);
    });
  });
});
