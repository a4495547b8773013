import { describe, expect, it } from 'vitest';
import { HttpReader } from '../../src/bench/overhead/http-reader.ts';
import {
  parseShape,
  prefixCount,
  requestBody,
  requestBytes,
  StampReader,
  shapeText,
  stampText,
} from '../../src/bench/overhead/protocol.ts';

const shape = { intervalMs: 5, chunks: 100, phases: 1, stamped: true };

describe('requests', () => {
  it.each([200, 4096, 65_536, 409_600])('have a body of exactly %i bytes', (bodyBytes) => {
    const body = requestBody(bodyBytes, 256, true);
    expect(body.length).toBe(bodyBytes);
    expect(JSON.parse(body.toString())).toMatchObject({ model: 'm', stream: true });
  });

  it('have different prefixes, as many as memory allows', () => {
    expect([200, 65_536, 409_600].map(prefixCount)).toEqual([256, 256, 81]);
    expect(requestBody(200, 1, false)).not.toEqual(requestBody(200, 2, false));
  });

  it('cannot be shorter than their frame', () => {
    expect(() => requestBody(100, 1, false)).toThrow(RangeError);
  });

  it('tell an engine the pace of their stream', () => {
    const head = requestBytes(200, 1, { shape, id: 7 }).toString();
    expect(parseShape(head)).toEqual({ shape, id: 7 });
    expect(parseShape(head.toLowerCase())).toEqual({ shape, id: 7 });
    expect(parseShape(requestBytes(200, 1).toString())).toBeNull();
    expect(shapeText(shape)).toBe('interval=5 chunks=100 phases=1 stamped=1 id=0');
  });
});

const atEveryByte = (bytes: Buffer) =>
  Array.from({ length: bytes.length - 1 }, (_, index) => [
    bytes.subarray(0, index + 1),
    bytes.subarray(index + 1),
  ]);

describe('stamps', () => {
  it('are found wherever the bytes are cut', () => {
    const stamps = [123n, 9_876_543_210n];
    const text = stamps.map((ns) => `data: {"stamp":"${stampText(ns)}","a":1}\n\n`).join('');
    for (const pieces of atEveryByte(Buffer.from(text))) {
      const reader = new StampReader();
      const found: bigint[] = [];
      for (const piece of pieces) reader.read(piece, (ns) => found.push(ns));
      expect(found).toEqual(stamps);
    }
  });
});

describe('answers', () => {
  const answers = Buffer.from(
    [
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
      'HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nt: 1\r\n\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    ].join(''),
  );

  it('are read wherever the bytes are cut', () => {
    for (const pieces of atEveryByte(answers)) {
      const ended: string[] = [];
      let body = '';
      const reader = new HttpReader({
        onBody: (bytes) => {
          body += bytes.toString();
        },
        onEnd: (status) => {
          ended.push(`${status} ${body}`);
          body = '';
        },
      });
      for (const piece of pieces) reader.read(piece);
      expect(ended).toEqual(['200 hello', '503 abc0123456789', '200 ']);
    }
  });

  it.each([
    ['that are not HTTP', 'hello\r\n\r\n'],
    ['of unknown length', 'HTTP/1.1 200 OK\r\n\r\n'],
    ['with a bad chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n'],
  ])('%s are refused', (_, text) => {
    const reader = new HttpReader({ onEnd: () => undefined });
    expect(() => reader.read(Buffer.from(text))).toThrow();
  });
});
