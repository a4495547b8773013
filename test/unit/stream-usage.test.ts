import { describe, expect, test } from 'vitest';
import { UsageTail } from '../../src/stream/usage.ts';

function readIn(text: string, pieceBytes: number) {
  const bytes = Buffer.from(text);
  const tail = new UsageTail();
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = Buffer.from(bytes.subarray(at, at + pieceBytes));
    tail.push(piece);
    piece.fill(0);
  }
  return tail.read();
}

const usage =
  '{"prompt_tokens":12,"total_tokens":15,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}}';
const counts = { promptTokens: 12, completionTokens: 3, cachedTokens: 8 };
const delta = `data: {"choices":[{"delta":{"content":"hi"}}],"usage":null}\n\n`;

describe('usage', () => {
  test.each([
    ['unary', `{"id":"x","choices":[{"message":{"content":"hi"}}],"usage":${usage}}`],
    [
      'unary, indented',
      `{\n  "choices": [],\n  "usage" : ${usage},\n  "kv_transfer_params": null\n}`,
    ],
    ['streamed', `${delta.repeat(200)}data: {"choices":[],"usage":${usage}}\n\ndata: [DONE]\n\n`],
    [
      'running totals, the last one',
      `data: {"usage":{"prompt_tokens":1}}\n\ndata: {"usage":${usage}}`,
    ],
    ['null after it', `data: {"usage":${usage}}\n\n${delta}data: [DONE]\n\n`],
    ['after a body of megabytes', `{"data":[${'0.125,'.repeat(400_000)}0],"usage":${usage}}`],
    ['strings with quotes and braces in it', `{"usage":{"x":"}\\"}{","y":{},${usage.slice(1)}}`],
  ])('%s', (_name, text) => {
    for (const pieceBytes of [1, 7, 300, 2_047, 2_048, 2_049, 65_536, text.length]) {
      if (text.length / pieceBytes > 100_000) continue;
      expect([pieceBytes, readIn(text, pieceBytes)]).toEqual([pieceBytes, counts]);
    }
  });

  test('without cached tokens, without completion tokens', () => {
    const bare = { promptTokens: 5, completionTokens: 0, cachedTokens: null };
    expect(readIn('{"usage":{"prompt_tokens":5,"total_tokens":5}}', 9)).toEqual(bare);
    const asNull = '{"usage":{"prompt_tokens":5,"prompt_tokens_details":null}}';
    expect(readIn(asNull, 9)).toEqual(bare);
  });

  test('what the model wrote is not taken for it', () => {
    const content = JSON.stringify(`"usage":${usage}`);
    expect(readIn(`{"choices":[{"message":{"content":${content}}}]}`, 50)).toBe(null);
    const both = `{"usage":${usage},"choices":[{"message":{"content":${content}}}]}`;
    expect(readIn(both, 50)).toEqual(counts);
  });

  test.each([
    ['nothing', ''],
    ['no usage', '{"choices":[]}'],
    ['null', '{"usage":null}'],
    ['a string', '{"x":"usage"}'],
    ['cut off', `{"usage":${usage.slice(0, -1)}`],
    ['cut off inside a string', '{"usage":{"prompt_tokens":5,"x":"abc\\'],
    ['not JSON', '{"usage":{prompt_tokens:5}}'],
    ['negative', '{"usage":{"prompt_tokens":-1}}'],
    ['a fraction', '{"usage":{"prompt_tokens":1.5}}'],
    ['too large', '{"usage":{"prompt_tokens":1e300}}'],
    ['text', '{"usage":{"prompt_tokens":"12"}}'],
    ['an array', '{"usage":[1]}'],
    ['further back than is kept', `{"usage":${usage},"x":"${'x'.repeat(5_000)}"}`],
    ['compressed bytes', '\x1f\x8b\x08\0\0\xff"usage":{'],
  ])('%s: null, and no fault', (_name, text) => {
    expect(readIn(text, 64)).toBe(null);
  });
});
