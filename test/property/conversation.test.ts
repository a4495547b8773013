/** Laws: a conversation keeps its keys, and so its pair, as it grows from ten bytes to a megabyte. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyMessage, anyPrompt, anyText, type Message, render } from '../support/prompts.ts';
import { spell } from '../support/spelling.ts';
import { implementations, type Scan } from './implementations.ts';
import { holds } from './law.ts';

const blockBytes = 512;
const levelLast = 16;

// Every order of magnitude alike: a text of 1 byte to 1 MiB.
const sizedText = fc
  .tuple(anyText, fc.integer({ min: 0, max: 20 }))
  .map(([text, exponent]) => `${text}.`.repeat(2 ** exponent).slice(0, 2 ** exponent));

const sizedTurn = (...roles: string[]): fc.Arbitrary<Message> =>
  fc.record({
    role: fc.constantFrom(...roles),
    contents: fc.array(sizedText, { minLength: 1, maxLength: 1 }),
    toolCalls: fc.constant(null),
    toolCallId: fc.constant(null),
  });

const opening = fc
  .tuple(fc.array(sizedTurn('system', 'developer'), { maxLength: 1 }), sizedTurn('user'))
  .map(([system, user]) => [...system, user]);
const laterTurns = fc.array(fc.oneof(sizedTurn('user', 'assistant', 'tool'), anyMessage), {
  minLength: 1,
  maxLength: 3,
});

function expectLevels({ firstUserEnd, blockHashes, levelKeys }: Scan): void {
  const reaching = Math.ceil(Math.log2(Math.max(1, firstUserEnd / blockBytes))) + 1;
  expect(levelKeys.length).toBe(Math.min(levelLast + 1, reaching));
  for (const [level, key] of levelKeys.entries()) {
    const endBytes = Math.min(blockBytes * 2 ** level, firstUserEnd);
    if (endBytes % blockBytes === 0) expect(key).toBe(blockHashes[endBytes / blockBytes - 1]);
    else expect(blockHashes).not.toContain(key);
  }
}

describe.each(implementations)('$name: a conversation', ({ scanPrompt, makeRings }) => {
  const instances = ['a', 'b', 'c', 'd'].map((name) => ({ url: `http://${name}`, weight: 1 }));
  const rings = makeRings(instances, 7n);

  it('keeps every level key, its blocks and its pair at every later turn', () => {
    holds(
      fc.tuple(opening, laterTurns),
      ([start, later]) => {
        const scans = [0, 1, later.length].map((turns) => {
          const messages = [...start, ...later.slice(0, turns)];
          const body = render({ model: 'm', salt: '', tools: [], messages });
          return scanPrompt(spell({ kind: 'chat', body }), 'chat');
        });
        const [first] = scans;
        for (const scan of scans) {
          expect(scan.fault).toBeNull();
          expect(scan.firstUserEnd).toBe(first!.firstUserEnd);
          expect(scan.levelKeys).toEqual(first!.levelKeys);
          const held = scan.blockHashes.slice(0, first!.blockHashes.length);
          expect(String(held)).toBe(String(first!.blockHashes));
          expect(rings.pair(scan.levelKeys[0]!)).toEqual(rings.pair(first!.levelKeys[0]!));
        }
      },
      40,
    );
  });

  it('has doubling levels up to the end of its first user message', () => {
    holds(anyPrompt, (prompt) => {
      const scan = scanPrompt(spell(prompt), prompt.kind);
      expect(scan.blockHashes.length).toBe(Math.floor(scan.promptBytes / blockBytes));
      expect(scan.firstUserEnd).toBeLessThanOrEqual(scan.promptBytes);
      expectLevels(scan);
    });
  });

  // Around every border of the first levels; the frames before the text take 10 bytes.
  it.each([511, 512, 513, 1023, 1024, 1025, 1536, 2048, 2049])(
    'a first turn of %i bytes',
    (bytes) => {
      const body = `{"messages":[{"role":"user","content":"${'x'.repeat(bytes - 10)}"}]}`;
      const scan = scanPrompt(Buffer.from(body), 'chat');
      expect(scan.firstUserEnd).toBe(bytes);
      expectLevels(scan);
    },
  );

  it('has no level beyond 16, 32 MiB', () => {
    const body = `{"prompt":"${'x'.repeat(blockBytes * 2 ** levelLast)}"}`;
    const scan = scanPrompt(Buffer.from(body), 'completion');
    expect(scan.levelKeys.length).toBe(levelLast + 1);
    expect(scan.levelKeys.at(-1)).toBe(scan.blockHashes[2 ** levelLast - 1]);
  });
});
