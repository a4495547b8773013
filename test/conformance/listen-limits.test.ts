import { expect } from 'vitest';
import type { RequestFault } from '../../src/errors.ts';
import { ClientGone, type Exchange } from '../../src/listen/exchange.ts';
import { answerFault } from '../../src/listen/openai.ts';
import { chunkedBody, cut, eventually, patterned } from '../support/listen-client.ts';
import { echo } from '../support/listen-server.ts';
import { eachFrontEnd, get, post, postChunked } from '../support/listen-suite.ts';

eachFrontEnd('limits', ({ name, listen, opened, connect, test }) => {
  /** Reads a body and answers its fault, as the router does. */
  const limited = (bytesMax: number) => async (exchange: Exchange) => {
    try {
      const body = await exchange.readBody(bytesMax);
      exchange.head(200, []);
      exchange.end(String(body.byteLength));
    } catch (error) {
      if (error instanceof ClientGone) return;
      answerFault(exchange, error as RequestFault, 'id-1');
    }
  };

  test('a body announced as too large is answered before it comes', async () => {
    const { port } = await opened.open(listen, limited(1_000));
    const client = await connect(port);
    await client.send(post(500_000));
    const answer = await client.answer();
    expect(answer.status).toBe(413);
    expect(answer.headers.get('x-request-id')).toBe('id-1');
    expect(JSON.parse(answer.body.toString()).error.code).toBe('body_too_large');
    // The rest is read and dropped, and the connection goes on.
    await client.send(...cut(patterned(500_000), [120_000]), post(1_000), patterned(1_000));
    const [, next] = await client.answers(2);
    expect(next!.body.toString()).toBe('1000');
  });

  test('a chunked body is answered as soon as it is too large', async () => {
    const { port } = await opened.open(listen, limited(1_000));
    const client = await connect(port);
    await client.send(postChunked, '258\r\n', patterned(600), '\r\n258\r\n', patterned(600));
    const answer = await client.answer();
    expect(answer.status).toBe(413);
    await client.send('\r\n0\r\n\r\n', post(1_000), patterned(1_000));
    const [, next] = await client.answers(2);
    expect(next!.body.toString()).toBe('1000');
  });

  test('a body of exactly the limit is not too large', async () => {
    const { port } = await opened.open(listen, limited(1_000));
    const client = await connect(port);
    await client.send(postChunked, chunkedBody(patterned(1_000), [300]));
    expect((await client.answer()).body.toString()).toBe('1000');
  });

  test('a body that stops coming is answered 408', async () => {
    const { port } = await opened.open(listen, limited(1_000), { bodyTimeoutMs: 150 });
    for (const sent of [0, 200]) {
      const client = await connect(port);
      await client.send(post(500), patterned(sent));
      const answer = await client.answer();
      expect(answer.status).toBe(408);
      expect(JSON.parse(answer.body.toString()).error.code).toBe('body_timeout');
    }
  });

  test('a body that keeps coming is not', async () => {
    const { port } = await opened.open(listen, limited(1_000), { bodyTimeoutMs: 400 });
    const client = await connect(port);
    await client.send(post(20));
    const start = performance.now();
    for (let sent = 0; sent < 20; sent += 1) {
      await client.send('x');
      await eventually(() => performance.now() - start > sent * 40, 'the next piece');
    }
    expect((await client.answer()).body.toString()).toBe('20');
  });

  test('too many header fields are answered 431', async () => {
    const { port } = await opened.open(listen, echo, { headerCountMax: 10 });
    const client = await connect(port);
    const fields = (count: number) => Array.from({ length: count }, (_, at) => `x-${at}: a`);
    await client.send(get('/', ...fields(9)));
    expect((await client.answer()).status).toBe(200);
    await client.send(get('/', ...fields(10)));
    const [, refused] = await client.answers(2);
    expect(refused!.status).toBe(431);
    expect(JSON.parse(refused!.body.toString()).error.code).toBe('headers_too_large');
    expect(refused!.headers.get('x-request-id')).toBeTruthy();
  });

  test('a head that is too large is answered 431', async () => {
    const { port } = await opened.open(listen, echo, { headerBytesMax: 3_000 });
    const small = await connect(port);
    await small.send(get('/', `x-a: ${'a'.repeat(2_800)}`));
    expect((await small.answer()).status).toBe(200);
    const client = await connect(port);
    await client.send(get('/', `x-a: ${'a'.repeat(3_000)}`));
    const answer = await client.answer();
    expect(answer.status).toBe(431);
    expect(JSON.parse(answer.body.toString()).error.code).toBe('headers_too_large');
    expect(answer.headers.get('x-request-id')).toBeTruthy();
    if (name === 'http') await client.untilClosed();
    else {
      // on uws: the whole head was read, so the connection goes on
      await client.send(get('/'));
      expect((await client.answers(2))[1]!.status).toBe(200);
    }
  });

  test('more than 47 fields besides Host', async () => {
    const counts: number[] = [];
    const handler = (exchange: Exchange) => {
      counts.push(exchange.headers.length / 2);
      return echo(exchange);
    };
    const { port } = await opened.open(listen, handler, { headerCountMax: 100 });
    const fields = Array.from({ length: 48 }, (_, at) => `x-${at}: a`);
    const client = await connect(port);
    await client.send(get('/', ...fields.slice(0, 46)));
    await client.answer();
    await client.send(get('/', ...fields));
    if (name === 'http') {
      await client.answers(2);
      expect(counts).toEqual([47, 49]);
      return;
    }
    // on uws: never read, never answered, closed by its idle limit of 10 s
    const other = await connect(port);
    await other.send(get('/'));
    await other.answer();
    expect((await client.answers(1)).length).toBe(1);
    expect(counts).toEqual([47, 1]);
  });

  test('a head of more than 4 KB that comes in pieces', async () => {
    const { port } = await opened.open(listen, echo);
    const client = await connect(port);
    await client.send(`GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(3_000)}`);
    // By the time another request is answered, the first piece has been read.
    const other = await connect(port);
    await other.send(get('/'));
    await other.answer();
    await client.send(`${'a'.repeat(3_000)}\r\n\r\n`);
    if (name === 'http') {
      expect((await client.answer()).status).toBe(200);
      return;
    }
    // on uws: closed without an answer
    await client.untilClosed();
    expect(client.receivedBytes).toBe(0);
  });
});

eachFrontEnd('heads we refuse', ({ name, listen, opened, connect, test }) => {
  /** `closed`: without an answer. `ignored`: without an answer, until the idle limit. */
  const rows: [string, string, { uws: 'closed' | 'ignored' | 200; http: 400 | 'closed' | 200 }][] =
    [
      ['no Host', 'GET / HTTP/1.1\r\nX: y\r\n\r\n', { uws: 'closed', http: 400 }],
      ['HTTP/1.0', 'GET / HTTP/1.0\r\nHost: x\r\n\r\n', { uws: 'ignored', http: 200 }],
      ['bare LF', 'GET / HTTP/1.1\nHost: x\n\n', { uws: 'ignored', http: 400 }],
      ['TLS', '\x16\x03\x01\x02\x00\r\n\r\n', { uws: 'ignored', http: 400 }],
      ['CONNECT', 'CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n', { uws: 'ignored', http: 'closed' }],
      ['folded', 'GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n', { uws: 'ignored', http: 400 }],
      [
        'blank before colon',
        'GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n',
        { uws: 'ignored', http: 400 },
      ],
      ['NUL in path', 'GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n', { uws: 'ignored', http: 400 }],
      ['blank in path', 'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n', { uws: 'ignored', http: 400 }],
      ['absolute path', 'GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n', { uws: 'ignored', http: 200 }],
      [
        'length not a number',
        `${post(0, 'Content-Length: 3x').replace('Content-Length: 0\r\n', '')}abc`,
        { uws: 'closed', http: 400 },
      ],
      [
        'length negative',
        `${post(0, 'Content-Length: -3').replace('Content-Length: 0\r\n', '')}abc`,
        { uws: 'closed', http: 400 },
      ],
      ['two lengths', `${post(3, 'Content-Length: 4')}abcd`, { uws: 'closed', http: 400 }],
      ['the same length twice', `${post(3, 'Content-Length: 3')}abc`, { uws: 'closed', http: 400 }],
      [
        'length and chunked',
        `${post(3, 'Transfer-Encoding: chunked')}0\r\n\r\n`,
        { uws: 'closed', http: 400 },
      ],
      [
        'coding and chunked',
        'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
        { uws: 'closed', http: 'closed' },
      ],
      [
        'coding not chunked',
        'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n',
        { uws: 'closed', http: 'closed' },
      ],
    ];

  test.each(rows)('%s', async (_what, bytes, expected) => {
    const seen: Exchange[] = [];
    const { port } = await opened.open(listen, (exchange) => {
      seen.push(exchange);
      return echo(exchange).catch((error) => {
        expect(error).toBeInstanceOf(ClientGone);
      });
    });
    const client = await connect(port);
    await client.send(bytes);
    const outcome = expected[name];
    if (outcome === 'ignored') {
      const other = await connect(port);
      await other.send(get('/other'));
      await other.answer();
      expect(seen.map(({ path }) => path)).toEqual(['/other']);
      expect([client.receivedBytes, client.closed]).toEqual([0, false]);
    } else if (outcome === 'closed') {
      await client.untilClosed();
      expect(client.receivedBytes).toBe(0);
    } else {
      expect((await client.answer()).status).toBe(outcome);
      if (outcome === 400) await client.untilClosed();
    }
    if (outcome !== 200 && outcome !== 'ignored') expect(seen.length).toBe(0);
  });

  test('a chunk size that is none breaks the request', async () => {
    let rejection: unknown;
    const { port } = await opened.open(listen, (exchange) => {
      exchange.readBody(1_000).catch((error) => {
        rejection = error;
      });
    });
    const client = await connect(port);
    await client.send(postChunked, '3\r\nabc\r\n', 'zz\r\nabc\r\n');
    await client.untilClosed();
    await eventually(() => rejection instanceof ClientGone, 'a rejection');
  });
});
