import { describe, expect, test } from 'vitest';
import { answerOk, Harness, reply, settle, statusOk } from '../support/upstream-harness.ts';
import { implementations } from '../support/upstream-implementations.ts';
import { eventually } from '../support/upstream-recorder.ts';

/**
 * The law of upstreams: an answer that two readers could take differently ends in a fault, never in
 * a wrong boundary.
 */
describe.each(implementations)('upstream $name', (implementation) => {
  const h = new Harness(implementation);
  const { ask } = h;

  describe('answers that are no HTTP/1.1', () => {
    const length = 'content-length: 5\r\n';
    const chunked = 'transfer-encoding: chunked\r\n';
    const chunks = '5\r\nhello\r\n0\r\n\r\n';
    const shapes: Record<string, string> = {
      'another protocol': 'SSH-2.0-OpenSSH_9.2\r\n',
      'version 1.2': `HTTP/1.2 200 OK\r\n${length}\r\nhello`,
      'version 2.0': `HTTP/2.0 200 OK\r\n${length}\r\nhello`,
      'status 99': `HTTP/1.1 99 No\r\n${length}\r\nhello`,
      'status 000': `HTTP/1.1 000 No\r\n${length}\r\nhello`,
      'status 600': `HTTP/1.1 600 No\r\n${length}\r\nhello`,
      'status 1000': `HTTP/1.1 1000 No\r\n${length}\r\nhello`,
      'empty lines first': `\r\n\r\n${statusOk}${length}\r\nhello`,
      '101 unasked': 'HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
      'content-length twice, different': `${statusOk}${length}content-length: 6\r\n\r\nhello!`,
      'content-length twice, same': `${statusOk}${length}${length}\r\nhello`,
      'content-length as a list': `${statusOk}content-length: 5, 5\r\n\r\nhello`,
      'content-length with a sign': `${statusOk}content-length: +5\r\n\r\nhello`,
      'content-length in hex': `${statusOk}content-length: 0x5\r\n\r\nhello`,
      'content-length beyond 64 bits': `${statusOk}content-length: ${'9'.repeat(23)}\r\n\r\nhello`,
      'content-length empty': `${statusOk}content-length:\r\n\r\nhello`,
      'content-length, then chunked': `${statusOk}${length}${chunked}\r\n${chunks}`,
      'chunked, then content-length': `${statusOk}${chunked}${length}\r\n${chunks}`,
      'chunked twice': `${statusOk}${chunked}${chunked}\r\n${chunks}`,
      'chunked, not last': `${statusOk}transfer-encoding: chunked, identity\r\n\r\n${chunks}`,
      'chunked and gzip': `${statusOk}transfer-encoding: gzip, chunked\r\n\r\n${chunks}`,
      'a coding of another name': `${statusOk}transfer-encoding: xchunked\r\n\r\n${chunks}`,
      'chunked from HTTP/1.0': `HTTP/1.0 200 OK\r\n${chunked}\r\n${chunks}`,
      'chunk size of letters': `${statusOk}${chunked}\r\nzz\r\nhello\r\n0\r\n\r\n`,
      'chunk size missing': `${statusOk}${chunked}\r\n\r\nhello\r\n0\r\n\r\n`,
      'chunk size with a sign': `${statusOk}${chunked}\r\n-5\r\nhello\r\n0\r\n\r\n`,
      'chunk size with 0x': `${statusOk}${chunked}\r\n0x5\r\nhello\r\n0\r\n\r\n`,
      'chunk size beyond 64 bits': `${statusOk}${chunked}\r\n${'f'.repeat(17)}\r\nhello`,
      'chunk size, then LF alone': `${statusOk}${chunked}\r\n5\nhello\r\n0\r\n\r\n`,
      'chunk longer than its size': `${statusOk}${chunked}\r\n5\r\nhelloXX0\r\n\r\n`,
      'chunk, then LF alone': `${statusOk}${chunked}\r\n5\r\nhello\n0\r\n\r\n`,
      'LF inside a chunk extension': `${statusOk}${chunked}\r\n5;a\nb\r\nhello\r\n0\r\n\r\n`,
      'content-length in the trailers': `${statusOk}${chunked}\r\n5\r\nhello\r\n0\r\n${length}\r\n`,
      'a folded field': `${statusOk}${length}x-a: b\r\n c\r\n\r\nhello`,
      'a fold before the first field': `${statusOk} x: y\r\n${length}\r\nhello`,
      'LF alone everywhere': 'HTTP/1.1 200 OK\ncontent-length: 5\n\nhello',
      'LF alone after a field': `${statusOk}x-a: b\n${length}\r\nhello`,
      'LF alone after the head': `${statusOk}${length}\nhello`,
      'CR inside a value': `${statusOk}x-a: b\rcontent-length: 3\r\n${length}\r\nhello`,
      'NUL inside a value': `${statusOk}x-a: b\0c\r\n${length}\r\nhello`,
      'NUL inside a name': `${statusOk}x\0a: b\r\n${length}\r\nhello`,
      'space before the colon': `${statusOk}content-length : 5\r\n\r\nhello`,
      'a field without colon': `${statusOk}content-length\r\n\r\nhello`,
      'a field without name': `${statusOk}: x\r\n${length}\r\nhello`,
    };

    test.each(Object.entries(shapes))('%s', async (name, bytes) => {
      const answer = await ask(reply(bytes));
      if (implementation.takes.has(name)) {
        expect([answer.events.at(-1), answer.body.toString()]).toEqual(['end', 'hello']);
      } else {
        expect(answer.fault?.code).toBe('garbage');
        await eventually(() => h.server.usedCount === 0, 'close of the faulty connection');
      }
      const next = await ask(reply(answerOk));
      expect([next.status, next.body.toString()]).toEqual([200, 'ok']);
    });

    test.each([
      ['a second answer', `${answerOk}HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad`],
      ['bytes', `${answerOk}EXTRA`],
    ])('%s after the answer never reach the next request', async (_name, bytes) => {
      const first = await ask(reply(bytes));
      expect(first.body.toString()).toBe('ok');
      await settle();
      const second = await ask(reply(answerOk));
      expect([second.status, second.body.toString()]).toEqual([200, 'ok']);
      expect(h.server.connections).toHaveLength(2);
    });
  });
});
