import { describe, expect, test } from 'vitest';
import {
  EngineFault,
  type InferenceRequest,
  parseInference,
  parseObject,
  tokenBytesOf,
  tokenize,
} from '../../src/emulate/openai.ts';
import { blockHashes } from '../../src/emulate/prefix-cache.ts';
import { engineOptionFaults, engineSettings } from '../../src/emulate/presets.ts';
import { parseSwitches, switchesFrom } from '../../src/emulate/switches.ts';

const limits = { model: 'm', contextTokensMax: 1_000 };
const user = (content: unknown) => ({ messages: [{ role: 'user', content }] });

function fault(kind: InferenceRequest['kind'], body: object): [number, string | null] {
  try {
    parseInference(kind, body as Record<string, unknown>, limits);
  } catch (error) {
    if (error instanceof EngineFault) return [error.status, error.param];
    throw error;
  }
  throw new Error('was accepted');
}

describe('requests', () => {
  test('four bytes of UTF-8 are a token', () => {
    const prompt = (text: string) => parseInference('completion', { prompt: text }, limits);
    expect(prompt('abcd').promptTokens).toBe(1);
    expect(prompt('abcde').promptTokens).toBe(2);
    expect(prompt('éé€').promptTokens).toBe(2);
  });

  test('token ids are tokens', () => {
    const request = parseInference('completion', { prompt: [1, 2, 4_294_967_295] }, limits);
    expect(request.promptTokens).toBe(3);
    expect(request.prompt.toString('hex')).toBe('0100000002000000ffffffff');
    expect(parseInference('completion', { prompt: [[1, 2, 4_294_967_295]] }, limits)).toEqual(
      request,
    );
  });

  test('defaults and limits of the output', () => {
    const output = (body: object) =>
      parseInference('chat', { ...user('x'), ...body }, limits).outputTokens;
    expect(output({})).toBe(16);
    expect(output({ max_tokens: 3 })).toBe(3);
    expect(output({ max_tokens: 3, max_completion_tokens: 5 })).toBe(5);
    expect(output({ max_tokens: null })).toBe(16);
  });

  test.each([
    ['one user message', (text: string) => user(text), 'chat'],
    ['text parts', (text: string) => user([{ type: 'text', text }]), 'chat'],
    ['a completion', (text: string) => ({ prompt: text }), 'completion'],
  ] as const)('shared leading text of %s shares blocks', (_name, bodyOf, kind) => {
    const hashes = (tail: string) => {
      const text = 'lorem ipsum '.repeat(20) + tail;
      return blockHashes(parseInference(kind, bodyOf(text), limits).prompt, 64, '');
    };
    const [one, other] = [hashes('one'.repeat(50)), hashes('two'.repeat(50))];
    const equal = one.findIndex((hash, index) => hash !== other[index]);
    // 240 bytes are shared, with the template's head or without it: three full blocks of 64.
    expect(equal).toBeGreaterThanOrEqual(3);
    expect(equal).toBeLessThan(one.length);
  });

  test('a later turn of a conversation begins with the earlier one', () => {
    const messages = [{ role: 'user', content: 'hello' }];
    const first = parseInference('chat', { messages }, limits).prompt.toString();
    const later = [
      ...messages,
      { role: 'assistant', content: 'hi' },
      { role: 'user', content: '?' },
    ];
    expect(parseInference('chat', { messages: later }, limits).prompt.toString()).toContain(
      first.trimEnd(),
    );
  });

  test.each<[string, InferenceRequest['kind'], object, number, string | null]>([
    ['unknown model', 'chat', { ...user('x'), model: 'other' }, 404, 'model'],
    ['no messages', 'chat', { prompt: 'x' }, 400, 'messages'],
    ['empty messages', 'chat', { messages: [] }, 400, 'messages'],
    ['a message that is no object', 'chat', { messages: ['x'] }, 400, 'messages'],
    ['a picture', 'chat', user([{ type: 'image_url' }]), 400, 'messages.content'],
    ['no prompt', 'completion', user('x'), 400, 'prompt'],
    ['empty prompt', 'completion', { prompt: '' }, 400, 'prompt'],
    ['two prompts', 'completion', { prompt: ['a', 'b'] }, 400, 'prompt'],
    ['a bad token id', 'completion', { prompt: [1, -1] }, 400, 'prompt'],
    ['no input', 'embedding', {}, 400, 'input'],
    ['empty input', 'embedding', { input: [] }, 400, 'input'],
    ['no output', 'chat', { ...user('x'), max_tokens: 0 }, 400, 'max_tokens'],
    ['output of no integer', 'chat', { ...user('x'), max_tokens: 'x' }, 400, 'max_tokens'],
    ['stream of a word', 'chat', { ...user('x'), stream: 'yes' }, 400, 'stream'],
    ['options without stream', 'chat', { ...user('x'), stream_options: {} }, 400, 'stream_options'],
    ['two choices', 'chat', { ...user('x'), n: 2 }, 400, 'n'],
    ['a salt of a number', 'chat', { ...user('x'), cache_salt: 1 }, 400, 'cache_salt'],
    ['too long', 'chat', { ...user('x'), max_tokens: 1_000 }, 400, null],
  ])('refuses %s', (_name, kind, body, status, param) => {
    expect(fault(kind, body)).toEqual([status, param]);
  });

  test.each([
    ['broken JSON', Buffer.from('{"a":')],
    ['bad UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['no object', Buffer.from('[]')],
    ['nothing', Buffer.alloc(0)],
    ['deep', Buffer.from('['.repeat(100_000))],
  ])('refuses %s', (_name, body) => {
    expect(() => parseObject(body)).toThrow(EngineFault);
  });

  test('tokenize and back', () => {
    const prompt = Buffer.from('héllo wörld');
    const tokens = tokenize(prompt);
    expect(tokens).toHaveLength(4);
    const back = tokenBytesOf(tokens, 'tokens');
    expect(back.subarray(0, prompt.length).equals(prompt)).toBe(true);
  });
});

describe('options', () => {
  test('every fault at once', () => {
    const options = { preset: 'paper-7b', port: -1, timeScale: 0, blockTokens: 1.5 } as const;
    expect(engineOptionFaults(options)).toHaveLength(3);
    expect(() => engineSettings(options)).toThrow(/port.*time scale.*blockTokens/);
    expect(engineOptionFaults({ preset: 'toString' as 'paper-7b' })).toHaveLength(1);
  });

  test('the cache keeps its tokens when the block size changes', () => {
    expect(engineSettings({ preset: 'paper-7b' })).toMatchObject({
      blockTokens: 512,
      cacheBlocksMax: 1_953,
      prefillPerTokenUs: 160,
    });
    expect(engineSettings({ preset: 'paper-14b', blockTokens: 128 }).cacheBlocksMax).toBe(976 * 4);
  });
});

describe('switches', () => {
  test('from text', () => {
    expect(parseSwitches('fail, slow=2.5,resetAfterEvents=0')).toEqual({
      fail: true,
      slow: 2.5,
      resetAfterEvents: 0,
    });
    expect(parseSwitches('hang=false')).toEqual({ hang: false });
  });

  test.each([
    'nonsense',
    'slow',
    'slow=',
    'slow=0',
    'fail=1',
    'resetAfterEvents=1.5',
    'toString',
    '',
  ])('refuses %j', (text) => {
    expect(() => parseSwitches(text)).toThrow(RangeError);
  });

  test('from JSON, every fault at once', () => {
    expect(switchesFrom({ resetAfterEvents: null, hang: true })).toEqual({
      resetAfterEvents: null,
      hang: true,
    });
    expect(() => switchesFrom({ slow: 'x', fail: 1 })).toThrow(/slow.*fail/);
    expect(() => switchesFrom([])).toThrow(RangeError);
  });
});
