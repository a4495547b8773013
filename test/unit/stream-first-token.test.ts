import { describe, expect, test } from 'vitest';
import { FirstToken, type FirstTokenVerdict, heldBytesMax } from '../../src/stream/first-token.ts';

/** The verdict, and after how many bytes it was given, pushed in pieces of `pieceBytes`. */
function judge(text: string | Buffer, pieceBytes = 1): [FirstTokenVerdict, number] {
  const bytes = Buffer.from(text as string);
  const detector = new FirstToken();
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = Buffer.from(bytes.subarray(at, at + pieceBytes));
    const verdict = detector.push(piece);
    piece.fill(0);
    const pushed = Math.min(at + pieceBytes, bytes.length);
    expect(Buffer.from(detector.held).equals(bytes.subarray(0, pushed))).toBe(true);
    if (verdict !== 'waiting') return [verdict, pushed];
  }
  return ['waiting', bytes.length];
}

const choice = '{"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}';
const usageOnly = '{"id":"x","choices":[],"usage":{"prompt_tokens":1}}';

const decided: [string, string, FirstTokenVerdict][] = [
  ['an event with a choice', `data: ${choice}\n\n`, 'token'],
  ['no blank after the colon', `data:${choice}\n\n`, 'token'],
  ['CRLF', `data: ${choice}\r\n\r`, 'token'],
  ['CR', `data: ${choice}\r\r`, 'token'],
  ['mixed line ends', `data: ${choice}\n\r`, 'token'],
  ['comments before', `: ping\n\n: ping - 2025\r\n\r\n:\n\ndata: ${choice}\n\n`, 'token'],
  ['a comment inside the event', `: x\ndata: ${choice}\n: y\n\n`, 'token'],
  ['event, id and retry lines', `event: message\nid: 1\nretry: 3\ndata: ${choice}\n\n`, 'token'],
  ['a byte order mark', `\ufeffdata: ${choice}\n\n`, 'token'],
  ['usage before', `data: ${usageOnly}\n\ndata: ${choice}\n\n`, 'token'],
  ['data over several lines', 'data: {"choices":\ndata: [{"index":0}\ndata: ]}\n\n', 'token'],
  ['something else than JSON before', `data: hello\n\ndata: ${choice}\n\n`, 'token'],
  ['JSON that is no object before', `data: null\n\ndata: 7\n\ndata: ${choice}\n\n`, 'token'],
  ['choices that are no array before', `data: {"choices":1}\n\ndata: ${choice}\n\n`, 'token'],
  ['error null before', `data: {"error":null}\n\ndata: ${choice}\n\n`, 'token'],
  ['a line without colon before', `data\n\ndata: ${choice}\n\n`, 'token'],
  ['[DONE]', 'data: [DONE]\n\n', 'final'],
  ['[DONE] after usage', `data: ${usageOnly}\n\ndata: [DONE]\n\n`, 'final'],
  ['an error object', 'data: {"error":{"message":"no","code":500}}\n\n', 'final'],
  ['an error event', 'event: error\ndata: no\n\n', 'final'],
];

const undecided: [string, string][] = [
  ['nothing', ''],
  ['comments', `: data: ${choice}\n\n: ping\n\n`],
  ['an event that has not ended', `data: ${choice}\n`],
  ['usage without choices', `data: ${usageOnly}\n\n`],
  ['an event without data', 'event: error\nid: 1\n\n'],
  ['the type of an event that had no data', 'event: error\n\ndata: x\n\n'],
  ['a choice in another field', `id: ${choice}\n\nxdata: ${choice}\n\n`],
  ['data lines that make no JSON', 'data: {"choices":[1\ndata: 2]}\n\n'],
  ['a choice cut off', 'data: {"choices":[{"index":0}\n\n'],
  ['a byte order mark not at the start', `\n\ufeffdata: ${choice}\n\n`],
  ['choices as a word', 'data: "choices"\n\ndata: [{"choices":1}]\n\n'],
];

describe('first token', () => {
  test.each(decided)('%s: decided, at its last byte and not before', (_name, text, verdict) => {
    const bytes = Buffer.byteLength(text);
    expect(judge(text)).toEqual([verdict, bytes]);
  });

  test.each(decided)('%s: the same in pieces of any size', (_name, text, verdict) => {
    for (let pieceBytes = 2; pieceBytes <= Buffer.byteLength(text); pieceBytes += 1) {
      expect([pieceBytes, judge(text, pieceBytes)[0]]).toEqual([pieceBytes, verdict]);
    }
  });

  test.each(undecided)('%s: waiting', (_name, text) => {
    expect(judge(text)[0]).toBe('waiting');
    expect(judge(text, 1_000)[0]).toBe('waiting');
  });

  test('the first deciding event decides, whatever follows in the same bytes', () => {
    expect(judge(`data: ${choice}\n\ndata: [DONE]\n\n`, 10_000)[0]).toBe('token');
    expect(judge(`data: [DONE]\n\ndata: ${choice}\n\n`, 10_000)[0]).toBe('final');
  });

  test('bytes that are not UTF-8 do not disturb it', () => {
    const broken = Buffer.concat([
      Buffer.from('data: '),
      Buffer.from([0xff, 0xfe, 0, 0x80]),
      Buffer.from(`\n\ndata: ${choice}\n\n`),
    ]);
    expect(judge(broken)).toEqual(['token', broken.length]);
  });

  test('more than the limit counts as a token, in one event or in many', () => {
    const flood = ': ping\n\n'.repeat(heldBytesMax / 8);
    expect(judge(flood, 4_096)[0]).toBe('waiting');
    expect(judge(`${flood}:`, 4_096)).toEqual(['token', heldBytesMax + 1]);
    expect(judge(`data: {"prompt_token_ids":[${'1,'.repeat(heldBytesMax)}`, 4_096)[0]).toBe(
      'token',
    );
  });
});
