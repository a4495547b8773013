/** What moves when an instance joins, warms up, is weighed anew and leaves. */
import { describe, expect, it } from 'vitest';
import { warmUpSteps } from '../../src/fleet/instance.ts';
import { FleetOfTest } from '../support/fleet.ts';
import { Random } from '../support/random.ts';

const keys = (() => {
  const random = new Random(4);
  const word = () => BigInt(random.below(2 ** 32));
  return Array.from({ length: 20_000 }, () => (word() << 32n) | word());
})();

const urlOf = (index: number) => `http://10.0.0.${index}:8000`;
const joined = urlOf(8);
const warmUpMs = 1_000;

type Url = string | undefined;
type Pairs = (readonly [Url, Url])[];

function fleetOf(size: number, ringSeed: number) {
  const fleet = new FleetOfTest({ instancesMax: 16, warmUpMs, ringSeed });
  for (let index = 0; index < size; index += 1) fleet.serve(urlOf(index));
  const pairs = () => keys.map((key) => fleet.pairOf(key) as unknown as readonly [Url, Url]);
  return { fleet, pairs };
}

const share = (of: Pairs, is: (pair: readonly [Url, Url], at: number) => boolean) =>
  of.filter(is).length / keys.length;

describe.each([0, 1, 2])('ring seed %i', (ringSeed) => {
  it('8 -> 9 -> 8: keys keep a candidate, and end where they began', () => {
    const { fleet, pairs } = fleetOf(8, ringSeed);
    const before = pairs();
    const instance = fleet.serve(joined, { warmsUp: true });
    fleet.sweepAt(warmUpMs);
    const after = pairs();
    const kept = share(after, (pair, at) => pair.some((url) => before[at]!.includes(url)));
    expect(kept).toBeGreaterThanOrEqual(0.98);
    fleet.registry.drain(instance);
    expect(pairs()).toEqual(before);
  });

  it('a warm-up brings keys to the one that joins and moves no other, none twice', () => {
    const { fleet, pairs } = fleetOf(8, ringSeed);
    const before = pairs();
    fleet.serve(joined, { warmsUp: true });
    let previous = before;
    const shares: number[] = [];
    for (let step = 1; step <= warmUpSteps; step += 1) {
      fleet.sweepAt(Math.ceil(((step - 1) * warmUpMs) / (warmUpSteps - 1)));
      const now = pairs();
      for (const [at, [first, second]] of now.entries()) {
        const [oldFirst, oldSecond] = previous[at]!;
        // A first candidate changes once, to the one that joined; and nobody comes in but it.
        if (first !== oldFirst) expect(first).toBe(joined);
        if (oldFirst === joined) expect(first).toBe(joined);
        if (second !== joined && second !== oldSecond) expect(before[at]).toContain(second);
      }
      shares.push(share(now, (pair) => pair.includes(joined)));
      previous = now;
    }
    expect(shares).toEqual(shares.toSorted((left, right) => left - right));
    // Two of nine when it is done, a tenth of that when it begins.
    expect(shares[0]).toBeLessThan(0.06);
    expect(shares.at(-1)).toBeGreaterThan(0.15);
    const direct = fleetOf(9, ringSeed);
    expect(previous).toEqual(direct.pairs());
  });

  it('a weight that is changed at run time changes the share, and gives it back', () => {
    const { fleet, pairs } = fleetOf(8, ringSeed);
    const before = pairs();
    const [instance] = fleet.registry.instances;
    const firsts = (of: Pairs) => share(of, ([first]) => first === instance!.url);
    fleet.registry.setWeight(instance!, 3);
    const heavier = pairs();
    expect(firsts(heavier) / firsts(before)).toBeGreaterThan(1.9);
    fleet.registry.setWeight(instance!, 1);
    expect(pairs()).toEqual(before);
  });
});
