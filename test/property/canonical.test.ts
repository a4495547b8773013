/**
 * The canonical prompt by example, what is refused, and pinned hashes: routers of different builds
 * must place a prompt alike.
 */
import { describe, expect, it } from 'vitest';
import { referenceScan } from '../../src/core/reference.ts';
import { seededXxh3, xxh3 } from '../../src/core/reference-hash.ts';
import type { PromptKind } from '../../src/terms.ts';
import { malformedBodies } from '../support/malformed.ts';
import { implementations } from './implementations.ts';

// `~` stands for the byte FF and `^` for FE; everything else is a byte a character.
const canonicalOf: readonly (readonly [kind: PromptKind, body: string, canonical: string])[] = [
  ['chat', '{"messages":[{"role":"user","content":"hi"}]}', '~M~muser~thi'],
  ['chat', '{"messages":[{"content":"hi","role":"user"}],"model":"m"}', '~Mm~muser~thi'],
  ['chat', '{"model":"m","cache_salt":"s","messages":[{"role":"u"}]}', '~Mm~Ss~mu'],
  ['chat', '{"model":null,"cache_salt":"","messages":[{"role":""}]}', '~M~m'],
  ['chat', '{"messages":[{"role":"u"}],"tools":[1.50,"a",null]}', '~M~T[1.50,^a^,null]~mu'],
  [
    'chat',
    '{"messages":[{"role":"u"}],"tools":[1e400,18446744073709551616]}',
    '~M~T[1e400,18446744073709551616]~mu',
  ],
  ['chat', '{"messages":[{"role":"u"}],"tools":[]}', '~M~mu'],
  [
    'chat',
    '{"tools":[{"b":{"":[true , false]},"a\\u0000":-0, "a":1E5}],"messages":[{"role":"u"}]}',
    '~M~T[{^a^:1E5,^a\0^:-0,^b^:{^^:[true,false]}}]~mu',
  ],
  [
    'chat',
    '{"messages":[{"tool_call_id":"7","tool_calls":[{"id":"7"}],"content":"x","role":"tool"}]}',
    '~M~mtool~tx~c[{^id^:^7^}]~i7',
  ],
  ['chat', '{"messages":[{"role":"u","tool_calls":[],"tool_call_id":""}]}', '~M~mu~c[]~i'],
  ['chat', '{"messages":[{"role":"u","tool_calls":null,"tool_call_id":null}]}', '~M~mu'],
  ['chat', '{"messages":[{"role":"u","content":[]},{"role":"v","content":""}]}', '~M~mu~mv~t'],
  [
    'chat',
    '{"messages":[{"role":"u","content":["a",{"type":"text","text":"b"},' +
      '{"text":"c","type":"input_text"},{"type":"output_text","text":""}]}]}',
    '~M~mu~ta~tb~tc~t',
  ],
  ['chat', '{"messages":[{"role":"x","role":"y"}],"model":3,"model":"m"}', '~Mm~my'],
  ['chat', '{"mod\\u0065l":"m","messages":[{"role":"\\/\\b\\f\\t"}]}', '~Mm~m/\b\f\t'],
  ['chat', '{"messages":[{"role":"u","content":"\\u00e9\\ud83d\\ude00"}]}', '~M~mu~té😀'],
  ['completion', '\ufeff{"prompt":"a"}', '~M~ta'],
  ['completion', '{"prompt":"a","tools":3,"messages":4}', '~M~ta'],
  ['completion', '{"prompt":["a","",""]}', '~M~ta~t~t'],
  ['completion', '{"prompt":[1,258,4294967295]}', '~M~k\x01\0\0\0\x02\x01\0\0{FF}{FF}{FF}{FF}'],
  ['embedding', '{"input":[[65],[]],"model":"m"}', '~Mm~kA\0\0\0~k'],
  ['embedding', '{"input":[""],"prompt":7}', '~M~t'],
];

function bytesOf(pattern: string): Buffer {
  const latin = Buffer.from(pattern.replaceAll('{FF}', '~')).toString('latin1');
  return Buffer.from(latin.replaceAll('~', '\xff').replaceAll('^', '\xfe'), 'latin1');
}

describe('the canonical prompt', () => {
  it.each(canonicalOf)('of a %s body %s', (kind, body, canonical) => {
    const scan = referenceScan(Buffer.from(body), kind);
    expect(scan.fault).toBeNull();
    expect(Buffer.from(scan.canonical).toString('latin1')).toBe(
      bytesOf(canonical).toString('latin1'),
    );
  });

  it.each([
    ['a high one', '\\ud83d', 'eda0bd'],
    ['a low one', '\\udE00', 'edb880'],
    ['a pair the wrong way round', '\\ude00\\ud83d', 'edb880eda0bd'],
    ['a high one before a pair', '\\ud83d\\ud83d\\ude00', 'eda0bdf09f9880'],
    ['a high one before a letter', '\\uD83Dx', 'eda0bd78'],
  ])('keeps lone surrogates: %s', (_, text, hex) => {
    const body = Buffer.from(`{"prompt":"${text}"}`);
    const { canonical } = referenceScan(body, 'completion');
    expect(Buffer.from(canonical.subarray(4)).toString('hex')).toBe(hex);
  });

  it('digests a part that is not text by its canonical JSON', () => {
    const part = '{"url":"x", "type":"image_url"}';
    const body = Buffer.from(`{"messages":[{"role":"u","content":[${part}]}]}`);
    const { canonical } = referenceScan(body, 'chat');
    const digest = xxh3(bytesOf('{^type^:^image_url^,^url^:^x^}')).toString(16).padStart(16, '0');
    expect(Buffer.from(canonical)).toEqual(bytesOf(`~M~mu~b${digest.repeat(256)}`));
  });

  it('is hashed by XXH3 as its authors publish it', () => {
    expect(xxh3(Buffer.alloc(0))).toBe(0x2d06800538d394c2n);
    expect(seededXxh3(0x9e3779b185ebca8dn)(Buffer.from('abc'))).toBe(0xe279ab87437fe1d8n);
  });
});

describe.each(implementations)('$name', ({ scanPrompt, makeRings }) => {
  it.each(canonicalOf)('counts the bytes of a %s body %s', (kind, body, canonical) => {
    const scan = scanPrompt(Buffer.from(body), kind);
    expect(scan).toMatchObject({ fault: null, promptBytes: bytesOf(canonical).length });
  });

  it.each(malformedBodies)('refuses %s: %s', (fault, _, kind, body) => {
    expect(scanPrompt(Buffer.from(body), kind).fault).toBe(fault);
  });

  it.each([
    ['what is read, to 64 levels', `{"tools":${nest(64)},"messages":[{"role":"u"}]}`],
    ['what is not read, to any depth', `{"x":${nest(500)},"messages":[{"role":"u"}]}`],
  ])('takes nests in %s', (_, body) => {
    expect(scanPrompt(Buffer.from(body), 'chat').fault).toBeNull();
  });

  it('keeps the keys and pairs it always gave', () => {
    const text = 'The quick brown fox jumps over the lazy dog. '.repeat(40);
    const body = { model: 'm', messages: [{ role: 'user', content: text }] };
    const scan = scanPrompt(Buffer.from(JSON.stringify(body)), 'chat');
    expect(scan.levelKeys.map((key) => key.toString(16))).toEqual(pinned.levelKeys);
    const fleet = Array.from({ length: 9 }, (_, index) => ({
      url: `http://127.0.0.1:${9000 + index}`,
      weight: index === 0 ? 2 : 1,
    }));
    const rings = makeRings(fleet, 42n);
    const pairs = scan.levelKeys.map((key) => rings.pair(key));
    expect(pairs.map(({ first, second }) => [first, second])).toEqual(pinned.pairs);
  });
});

const pinned = {
  levelKeys: ['327c0778dbec103', 'd6df8c87950f4bb8', '3ad6a75d57f21b96'],
  pairs: [
    [0, 8],
    [6, 2],
    [7, 0],
  ],
};

function nest(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth);
}
