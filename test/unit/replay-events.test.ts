import { expect, test } from 'vitest';
import { AnswerEvents } from '../../src/replay/events.ts';

function read(...chunks: (string | Buffer)[]): AnswerEvents {
  const events = new AnswerEvents();
  for (const chunk of chunks) events.push(Buffer.from(chunk));
  return events;
}

const choice =
  'data: {"choices":[{"index":0,"delta":{"content":"h\u00e9 \u6c34 \\"usage\\""}}]}\n\n';
const usage =
  'data: {"choices":[],"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4}}}\n\n';
const done = 'data: [DONE]\n\n';

test('a comment and an event without a choice are not a first token', () => {
  const events = read(': waiting\n\n', 'data: {"choices":[]}\n\n', 'event: ping\n\n');
  expect(events).toMatchObject({ sawChoice: false, done: false, fault: null });
  events.push(Buffer.from(choice));
  expect(events.sawChoice).toBe(true);
});

test('reads the same wherever the bytes are cut', () => {
  const bytes = Buffer.from(`: x\n\n${choice}${choice}${usage}${done}`.replaceAll('\n', '\r\n'));
  for (let cut = 0; cut <= bytes.length; cut++) {
    expect(read(bytes.subarray(0, cut), bytes.subarray(cut))).toMatchObject({
      sawChoice: true,
      done: true,
      usage: { promptTokens: 9, cachedTokens: 4 },
      fault: null,
    });
  }
});

test('an event counts when its line is complete', () => {
  const events = read(choice.slice(0, -2));
  expect(events.sawChoice).toBe(false);
  events.push(Buffer.from('\n'));
  expect(events.sawChoice).toBe(true);
});

test('usage without a word on the cache, and null usage', () => {
  const bare = 'data: {"choices":[],"usage":{"prompt_tokens":9,"prompt_tokens_details":null}}\n\n';
  expect(read(choice, bare).usage).toEqual({ promptTokens: 9, cachedTokens: null });
  const nulls = 'data: {"choices":[{}],"usage":null}\n\n';
  expect(read(choice, usage, nulls).usage).toEqual({ promptTokens: 9, cachedTokens: 4 });
});

test('usage is found with spaces too, and in an event with a choice', () => {
  const spaced = 'data: {"choices": [{}], "usage": {"prompt_tokens": 9}}\n\n';
  expect(read(choice, spaced).usage).toEqual({ promptTokens: 9, cachedTokens: null });
});

test('an error told in the stream and garbage are faults', () => {
  expect(read(choice, 'data: {"error":{"message":"gone"}}\n\n').fault).toBe('error_event');
  expect(read('data: {"choices":[{}],"error":null}\n\n').fault).toBe(null);
  expect(read('data: nonsense\n\n').fault).toBe('garbage');
  expect(read('data: 7\n\n').fault).toBe('garbage');
});

test('a line without end does not fill the memory', () => {
  const events = new AnswerEvents();
  const chunk = Buffer.alloc(1024 * 1024, 'a');
  for (let count = 0; count < 6; count++) events.push(chunk);
  expect(events.fault).toBe('garbage');
});
