/** Laws: how a body is written changes none of its hashes, whatever it means. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyChat, anyPrompt, render } from '../support/prompts.ts';
import { Random } from '../support/random.ts';
import { everySpelling, type Spelling, spell } from '../support/spelling.ts';
import { implementations, type Scan } from './implementations.ts';
import { holds } from './law.ts';

const spellings: readonly (readonly [name: string, spelling: Spelling])[] = [
  ['white space', { space: true }],
  ['order of keys, nested ones too', { order: true }],
  ['escapes', { escapes: true }],
  ['earlier duplicates of a key', { duplicates: true }],
  ['sampling parameters and unknown fields', { unknown: true }],
  ['all of these at once', everySpelling],
];

/** `stream` and `priority` may differ: they are unknown fields as far as the key is concerned. */
function hashed({ stream: _s, priority: _p, ...rest }: Scan): Omit<Scan, 'stream' | 'priority'> {
  return rest;
}

describe.each(implementations)('$name: a change of spelling', ({ scanPrompt }) => {
  it.each(spellings)('%s changes nothing', (_, spelling) => {
    holds(fc.tuple(anyPrompt, fc.integer()), ([prompt, seed]) => {
      const plain = scanPrompt(spell(prompt), prompt.kind);
      const varied = scanPrompt(spell(prompt, spelling, seed), prompt.kind);
      expect(plain.fault).toBeNull();
      expect(hashed(varied)).toEqual(hashed(plain));
    });
  });

  it('forms that mean the same change nothing: text or part, empty, null or absent', () => {
    holds(fc.tuple(anyChat, fc.integer(), fc.integer()), ([chat, left, right]) => {
      const [one, other] = [left, right].map((seed) => {
        const body = render(chat, new Random(seed));
        return scanPrompt(spell({ kind: 'chat', body }), 'chat');
      });
      expect(one!.fault).toBeNull();
      expect(other).toEqual(one);
    });
  });

  it.each([
    ['true', true],
    ['false', false],
    ['null', false],
  ])('stream %s is read as %s', (text, expected) => {
    const body = Buffer.from(`{"stream":${text},"messages":[{"role":"user"}]}`);
    expect(scanPrompt(body, 'chat')).toMatchObject({ fault: null, stream: expected });
  });
});
