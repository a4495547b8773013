import { describe, expect, test } from 'vitest';
import { blockHashes, PrefixCache } from '../../src/emulate/prefix-cache.ts';

describe('block hashes', () => {
  const hashes = (text: string, salt = '') => blockHashes(Buffer.from(text), 4, salt);

  test('full blocks only', () => {
    expect(hashes('abc')).toHaveLength(0);
    expect(hashes('abcd')).toHaveLength(1);
    expect(hashes('abcdefghi')).toHaveLength(2);
  });

  test('equal exactly as far as the prefix is equal', () => {
    const one = hashes('aaaabbbbccccdddd');
    const other = hashes('aaaabbbbcXccdddd');
    expect(other.slice(0, 2)).toEqual(one.slice(0, 2));
    expect(other[2]).not.toBe(one[2]);
    // The same block behind another prefix is another block.
    expect(other[3]).not.toBe(one[3]);
  });

  test('calls do not see each other, salts keep apart', () => {
    const first = hashes('aaaabbbb');
    hashes('zzzz');
    expect(hashes('aaaabbbb')).toEqual(first);
    expect(hashes('aaaabbbb', 'user')).not.toContain(first[0]);
  });
});

describe('least recently used', () => {
  test('the oldest prompt goes first, tail before head', () => {
    const cache = new PrefixCache(4);
    cache.use(['a1', 'a2', 'a3']);
    cache.use(['b1', 'b2']);
    expect(cache.size).toBe(4);
    expect(cache.hits(['a1', 'a2', 'a3'])).toBe(2);
    expect(cache.hits(['b1', 'b2'])).toBe(2);
  });

  test('a use counts as recent', () => {
    const cache = new PrefixCache(2);
    cache.use(['a']);
    cache.use(['b']);
    cache.use(['a']);
    cache.use(['c']);
    expect([cache.hits(['a']), cache.hits(['b']), cache.hits(['c'])]).toEqual([1, 0, 1]);
  });

  test('a look is no use', () => {
    const cache = new PrefixCache(2);
    cache.use(['a']);
    cache.use(['b']);
    cache.hits(['a']);
    cache.use(['c']);
    expect(cache.hits(['a'])).toBe(0);
  });

  test('hits stop at the first block that is missing', () => {
    const cache = new PrefixCache(10);
    cache.use(['a1', 'a2', 'a3']);
    expect(cache.hits(['a1', 'x', 'a3'])).toBe(1);
    expect(cache.hits(['x', 'a2'])).toBe(0);
    expect(cache.hits([])).toBe(0);
  });

  test('a prompt larger than the cache leaves its head', () => {
    const cache = new PrefixCache(2);
    cache.use(['a1', 'a2', 'a3', 'a4']);
    expect(cache.size).toBe(2);
    expect(cache.hits(['a1', 'a2', 'a3', 'a4'])).toBe(2);
  });
});
