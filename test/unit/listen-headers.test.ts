import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  announcedBodyBytes,
  answerHeaders,
  forwardedRequestHeaders,
  headBytes,
  requestIdOf,
} from '../../src/listen/headers.ts';

const forwarded = (...headers: string[]) => forwardedRequestHeaders(headers, 'id').slice(0, -2);

describe('forwardedRequestHeaders', () => {
  it('keeps what is for the instance, in order, repeated fields too', () => {
    const kept = ['authorization', 'Bearer k', 'x-a', '1', 'accept', '*/*', 'x-a', '2'];
    expect(forwarded(...kept)).toEqual(kept);
  });

  it.each([
    'connection',
    'keep-alive',
    'proxy-authorization',
    'proxy-connection',
    'proxy-x',
    'te',
    'trailer',
    'transfer-encoding',
    'upgrade',
    'expect',
    'host',
    'content-length',
  ])('drops %s', (name) => {
    expect(forwarded('x-a', '1', name, 'x', 'x-b', '2')).toEqual(['x-a', '1', 'x-b', '2']);
  });

  it('drops what Connection names, in any case and form, before or after it', () => {
    const list = forwarded(
      ...['x-one', '1', 'connection', 'close,X-One , \tx-Two,,', 'x-two', '2'],
      ...['connection', 'x-three', 'x-three', '3', 'x-four', '4', 'x-one', '5'],
    );
    expect(list).toEqual(['x-four', '4']);
  });

  it('does not let Connection keep a field that must go', () => {
    expect(forwarded('connection', 'keep-alive', 'transfer-encoding', 'chunked')).toEqual([]);
  });

  it('is not fooled by names that look alike', () => {
    const kept = ['content-length-x', '1', 'x-host', 'a', 'tea', 'b', 'proxy', 'c'];
    expect(forwarded(...kept)).toEqual(kept);
  });

  it('gives the instance the one id of this request', () => {
    const list = forwardedRequestHeaders(['x-request-id', 'a', 'x-request-id', 'b'], 'mine');
    expect(list).toEqual(['x-request-id', 'mine']);
  });

  it('never lets framing through, whatever Connection says', () => {
    const name = fc.constantFrom(
      'connection',
      'host',
      'te',
      'content-length',
      'x-a',
      'x-b',
      'upgrade',
    );
    const value = fc.constantFrom('x-a', 'x-b, te', 'close', 'host', 'connection', '', ' , ');
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value)), (fields) => {
        const list = forwarded(...fields.flat());
        const named = fields.filter(([field]) => field === 'connection').map(([, text]) => text);
        for (let index = 0; index < list.length; index += 2) {
          expect(['x-a', 'x-b']).toContain(list[index]);
          expect(named.some((text) => text.includes(list[index]!))).toBe(false);
        }
      }),
    );
  });
});

describe('requestIdOf', () => {
  const idOf = (value: string | undefined) => requestIdOf({ header: () => value });

  it.each(['abc', 'req_1-2.3:4', 'a'.repeat(128), 'Root=1-67891233-abcdef', 'YWJj+/=='])(
    'takes %j',
    (id) => {
      expect(idOf(id)).toBe(id);
    },
  );

  it.each([undefined, '', 'a b', 'a'.repeat(129), 'a\nb', 'a"b', 'é', '<x>', 'a\n'])(
    'replaces %j',
    (id) => {
      expect(idOf(id)).toMatch(/^[0-9a-f]{18}-\d+$/);
    },
  );

  it('makes a new one each time', () => {
    expect(idOf(undefined)).not.toBe(idOf(undefined));
  });
});

describe('announcedBodyBytes', () => {
  it.each<[string[], number | null]>([
    [[], 0],
    [['x-a', '1'], 0],
    [['content-length', '0'], 0],
    [['content-length', '123'], 123],
    [['content-length', '0123'], 123],
    [['transfer-encoding', 'chunked'], -1],
    [['transfer-encoding', 'Chunked'], -1],
    [['content-length', '1', 'content-length', '1'], null],
    [['content-length', '1, 1'], null],
    [['content-length', '+1'], null],
    [['content-length', '-1'], null],
    [['content-length', '0x1'], null],
    [['content-length', '1e3'], null],
    [['content-length', ''], null],
    [['content-length', '1 '], null],
    [['content-length', '1\n'], null],
    [['content-length', '9999999999999999'], null],
    [['content-length', '1', 'transfer-encoding', 'chunked'], null],
    [['transfer-encoding', 'chunked', 'content-length', '1'], null],
    [['transfer-encoding', 'chunked', 'transfer-encoding', 'chunked'], null],
    [['transfer-encoding', 'gzip, chunked'], null],
    [['transfer-encoding', 'chunked, identity'], null],
    [['transfer-encoding', 'xchunked'], null],
    [['transfer-encoding', ''], null],
  ])('of %j is %s', (headers, expected) => {
    expect(announcedBodyBytes(headers)).toBe(expected);
  });
});

describe('answerHeaders', () => {
  it('drops what the front end writes itself', () => {
    const own = ['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'date'];
    expect(answerHeaders(['x-a', '1', ...own.flatMap((name) => [name, 'x'])])).toEqual([
      'x-a',
      '1',
    ]);
  });

  it.each(['\r', '\n', '\0', '\u0100'])('refuses %j in a name and in a value', (char) => {
    expect(() => answerHeaders(['x-a', `1${char}2`])).toThrow('forbidden');
    expect(() => answerHeaders([`x${char}a`, '1'])).toThrow('forbidden');
  });
});

describe('headBytes', () => {
  it('counts path, query, and every field with its line', () => {
    expect(headBytes({ path: '/abc', query: 'x', headers: ['a', 'bc', 'd', ''] })).toBe(5 + 7 + 5);
  });
});
