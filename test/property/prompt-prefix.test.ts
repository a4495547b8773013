/** Laws: equal prefixes share blocks exactly as far as they are equal, and nothing collides. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { referenceScan } from '../../src/core/reference.ts';
import { anyChat, type Chat, fields, type Message, render } from '../support/prompts.ts';
import { Random } from '../support/random.ts';
import { spell } from '../support/spelling.ts';
import { implementations } from './implementations.ts';
import { holds } from './law.ts';

const blockBytes = 512;

// Long enough that whatever differs before it lies in a whole block.
const tail: Message = {
  role: 'user',
  contents: ['#'.repeat(4 * blockBytes)],
  toolCalls: null,
  toolCallId: null,
};

function bodyOf(chat: Chat): Uint8Array {
  const messages = [...chat.messages, tail];
  return spell({ kind: 'chat', body: render({ ...chat, messages }) });
}

function sharedLength(left: ArrayLike<unknown>, right: ArrayLike<unknown>): number {
  const shorter = Math.min(left.length, right.length);
  for (let at = 0; at < shorter; at += 1) if (left[at] !== right[at]) return at;
  return shorter;
}

type Edit = (chat: Chat, random: Random) => Chat;

function editMessage(change: (message: Message, random: Random) => Message): Edit {
  return (chat, random) => {
    const at = random.below(chat.messages.length);
    return { ...chat, messages: chat.messages.with(at, change(chat.messages[at]!, random)) };
  };
}

const edits: Record<string, Edit> = {
  model: (chat) => ({ ...chat, model: `${chat.model}x` }),
  salt: (chat) => ({ ...chat, salt: `${chat.salt}x` }),
  'order of the tools': (chat) => ({ ...chat, tools: chat.tools.toReversed() }),
  'number of the tools': (chat) => ({ ...chat, tools: [...chat.tools, null] }),
  role: editMessage((message) => ({ ...message, role: `${message.role}x` })),
  text: editMessage((message, random) => {
    const at = random.below(message.contents.length + 1);
    const content = message.contents[at];
    if (typeof content !== 'string') return { ...message, contents: [...message.contents, 'x'] };
    const middle = random.below(content.length + 1);
    const text = `${content.slice(0, middle)}x${content.slice(middle)}`;
    return { ...message, contents: message.contents.with(at, text) };
  }),
  'picture of a part': editMessage((message, random) => {
    const part = fields(['type', 'image_url'], ['url', String(random.below(1000))]);
    return { ...message, contents: [part, ...message.contents] };
  }),
  'order of the parts': editMessage((message) => ({
    ...message,
    contents: message.contents.toReversed(),
  })),
  'border between parts': editMessage((message) => {
    const [left, right, ...rest] = message.contents;
    if (typeof left !== 'string' || typeof right !== 'string') return message;
    return { ...message, contents: [left + right, ...rest] };
  }),
  'tool calls': editMessage((message) => ({
    ...message,
    toolCalls: message.toolCalls === null ? [] : [...message.toolCalls, true],
  })),
  'tool call id': editMessage((message) => ({
    ...message,
    toolCallId: message.toolCallId === null ? '' : `${message.toolCallId}x`,
  })),
  'number of messages': (chat, random) => ({
    ...chat,
    messages: chat.messages.toSpliced(random.below(chat.messages.length), 1),
  }),
  'order of messages': (chat) => ({ ...chat, messages: chat.messages.toReversed() }),
};

// Few and short values, so that two conversations often differ by a border alone.
const tinyText = fc.constantFrom('', 'a', 'aa', 'ÿm', 'user', 'FFt', '[]');
const tinyChat: fc.Arbitrary<Chat> = fc.record({
  model: tinyText,
  salt: fc.constantFrom('', 'a'),
  tools: fc.constantFrom([], ['a'], [['a']], [fields(['a', 'a'])], [fields(['a', 'a'], ['b', []])]),
  messages: fc.array(
    fc.record({
      role: tinyText,
      contents: fc.array(fc.oneof(tinyText, fc.constant(fields(['a', 'a']))), { maxLength: 2 }),
      toolCalls: fc.constantFrom(null, [], ['a'], ['aa'], [[]]),
      toolCallId: fc.constantFrom(null, '', 'a'),
    }),
    { minLength: 1, maxLength: 2 },
  ),
});

describe.each(implementations)('$name: equal prefixes', ({ scanPrompt }) => {
  it.each(Object.entries(edits))(
    'another %s: shared up to the difference, then never',
    (_, edit) => {
      holds(
        fc.tuple(anyChat, fc.integer()),
        ([chat, seed]) => {
          const edited = edit(chat, new Random(seed));
          fc.pre(JSON.stringify(edited) !== JSON.stringify(chat));
          const [left, right] = [bodyOf(chat), bodyOf(edited)];
          const common = sharedLength(
            referenceScan(left, 'chat').canonical,
            referenceScan(right, 'chat').canonical,
          );
          const one = scanPrompt(left, 'chat');
          const other = scanPrompt(right, 'chat');
          expect([one.fault, other.fault]).toEqual([null, null]);
          const shared = Math.floor(common / blockBytes);
          expect(sharedLength(one.blockHashes, other.blockHashes)).toBe(shared);
          expect(Math.min(one.blockHashes.length, other.blockHashes.length)).toBeGreaterThan(
            shared,
          );
          const known = new Set(one.blockHashes.slice(shared));
          expect(other.blockHashes.slice(shared).filter((hash) => known.has(hash))).toEqual([]);
        },
        120,
      );
    },
  );

  it('two conversations have the same hashes only if they are the same', () => {
    const edited = fc
      .tuple(tinyChat, fc.constantFrom(...Object.values(edits)), fc.integer())
      .map(([chat, edit, seed]) => [chat, edit(chat, new Random(seed))] as const);
    holds(
      fc.oneof(
        fc.tuple(tinyChat, tinyChat),
        edited,
        tinyChat.map((chat) => [chat, chat] as const),
      ),
      ([left, right]) => {
        const same = JSON.stringify(left) === JSON.stringify(right);
        const one = scanPrompt(bodyOf(left), 'chat');
        const other = scanPrompt(bodyOf(right), 'chat');
        expect(one.fault).toBeNull();
        expect(String(one.blockHashes) === String(other.blockHashes)).toBe(same);
      },
      1000,
    );
  });

  it('a part that is not text counts 4,096 bytes whatever its size', () => {
    const url = fc
      .tuple(fc.constantFrom('http://a/b.png', 'data:image/png;base64,'), fc.nat({ max: 300_000 }))
      .map(([head, bytes]) => head + 'A'.repeat(bytes));
    holds(
      fc.tuple(anyChat, url),
      ([chat, value]) => {
        const scanWith = (contents: Message['contents']) => {
          const messages = [...chat.messages, { ...tail, contents }];
          const body = render({ ...chat, messages });
          return scanPrompt(spell({ kind: 'chat', body }), 'chat');
        };
        const picture = fields(['type', 'image_url'], ['image_url', fields(['url', value])]);
        const frameBytes = 2;
        const bare = scanWith(['look']).promptBytes;
        expect(scanWith(['look', picture]).promptBytes).toBe(bare + frameBytes + 4096);
      },
      60,
    );
  });
});
