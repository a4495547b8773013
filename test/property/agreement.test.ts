/** Law: every implementation agrees with the reference twin, in every field. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyPrompt } from '../support/prompts.ts';
import { everySpelling, spell } from '../support/spelling.ts';
import { implementations, reference } from './implementations.ts';
import { holds } from './law.ts';

const others = implementations.filter((one) => one !== reference);

describe.each(others)('$name agrees with the reference', ({ scanPrompt, makeRings }) => {
  it('on the scan of any body', () => {
    holds(
      fc.tuple(anyPrompt, fc.integer()),
      ([prompt, seed]) => {
        const body = spell(prompt, everySpelling, seed);
        expect(scanPrompt(body, prompt.kind)).toEqual(reference.scanPrompt(body, prompt.kind));
      },
      1000,
    );
  });

  it('on every pair of any fleet', () => {
    const instance = fc.record({
      url: fc.webUrl(),
      weight: fc.double({ min: 0, max: 2, noNaN: true }),
    });
    const fleet = fc.uniqueArray(instance, { selector: ({ url }) => url, maxLength: 8 });
    const word = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    holds(
      fc.tuple(fleet, word, fc.array(word, { minLength: 1, maxLength: 50 })),
      ([instances, ringSeed, keys]) => {
        const one = makeRings(instances, ringSeed);
        const other = reference.makeRings(instances, ringSeed);
        for (const key of keys) expect(one.pair(key)).toEqual(other.pair(key));
      },
      100,
    );
  });
});
