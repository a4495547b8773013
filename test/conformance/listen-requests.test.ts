import { expect } from 'vitest';
import { bodyPadding } from '../../src/listen/exchange.ts';
import { chunkedBody, cut, eventually, patterned } from '../support/listen-client.ts';
import { echo } from '../support/listen-server.ts';
import { Caught, eachFrontEnd, get, post, postChunked } from '../support/listen-suite.ts';

eachFrontEnd('requests', ({ name, listen, opened, connect, test }) => {
  test('gives method, path, query and fields as sent', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    const client = await connect(port);
    await client.send(get('/v1/a?x=1&y=%20', 'X-One: a', 'x-one:  b ', 'X-Empty:'));
    const exchange = await caught.next();
    expect(exchange.method).toBe('GET');
    expect(exchange.path).toBe('/v1/a');
    expect(exchange.query).toBe('x=1&y=%20');
    expect(exchange.headers).toEqual(['host', 'x', 'x-one', 'a', 'x-one', 'b', 'x-empty', '']);
    expect(exchange.header('x-one')).toBe('a');
    expect(exchange.header('x-two')).toBeUndefined();
    expect(exchange.remoteAddress).toBe('127.0.0.1');
    expect(exchange.gone).toBe(false);
  });

  test('has an empty query if there is none', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    await (await connect(port)).send(get('/a'));
    expect((await caught.next()).query).toBe('');
  });

  test.each([0, 1, 4_096, 1_048_576])(
    'reads a body of %i bytes in awkward pieces',
    async (size) => {
      const { port } = await opened.open(listen, echo);
      const body = patterned(size);
      const client = await connect(port);
      await client.send(...cut(Buffer.concat([Buffer.from(post(size)), body]), [40, 1, 65_536, 3]));
      const answer = await client.answer();
      expect(answer.body.equals(body)).toBe(true);
    },
  );

  test.each([1, 4_096, 1_048_576])('reads a chunked body of %i bytes', async (size) => {
    const { port } = await opened.open(listen, echo);
    const body = patterned(size);
    const client = await connect(port);
    const framed = chunkedBody(body, [1, 4_000, 17, 100_000]);
    await client.send(postChunked, ...cut(framed, [2, 50_000, 1]));
    const answer = await client.answer();
    expect(answer.body.equals(body)).toBe(true);
  });

  test('leaves room behind the body in the same buffer', async () => {
    const rooms: number[] = [];
    const { port } = await opened.open(listen, async (exchange) => {
      const body = await exchange.readBody(1_000_000);
      rooms.push(body.buffer.byteLength - body.byteOffset - body.byteLength);
      exchange.head(204, []);
      exchange.end();
    });
    const client = await connect(port);
    for (const size of [0, 1, 4_096, 300_000]) {
      await client.send(post(size), ...cut(patterned(size), [100_000]));
      await eventually(() => client.closed || rooms.length > 0, 'an answer');
      expect(rooms.pop()).toBeGreaterThanOrEqual(bodyPadding);
    }
    await client.send(postChunked, chunkedBody(patterned(4_096), [4_096]));
    await eventually(() => rooms.length > 0, 'the chunked body');
    expect(rooms.pop()).toBeGreaterThanOrEqual(bodyPadding);
  });

  test('reads a body once, and only before the handler first waits', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, (exchange) => {
      if (exchange.path === '/twice') {
        exchange.readBody(10).then(() => caught.handler(exchange));
        expect(() => exchange.readBody(10)).toThrow('readBody');
      } else caught.handler(exchange);
    });
    await (await connect(port)).send(get('/twice'));
    await caught.next(1);
    await (await connect(port)).send(get('/late'));
    const late = await caught.next(2);
    expect(() => late.readBody(10)).toThrow('readBody');
  });

  test('goes on with a body that nobody read', async () => {
    const { port } = await opened.open(listen, (exchange) => {
      exchange.head(200, []);
      exchange.end(exchange.method);
    });
    const client = await connect(port);
    await client.send(post(500_000), ...cut(patterned(500_000), [90_000]), get('/'));
    const answers = await client.answers(2);
    expect(answers.map(({ body }) => body.toString())).toEqual(['POST', 'GET']);
  });

  test('sends 100 Continue to a client that waits for it', async () => {
    const { port } = await opened.open(listen, echo);
    const client = await connect(port);
    await client.send(post(3, 'Expect: 100-continue'));
    await eventually(() => client.received.toString().startsWith('HTTP/1.1 100 '), '100');
    await client.send('abc');
    expect((await client.answer()).body.toString()).toBe('abc');
  });

  test('takes header text as bytes', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    await (await connect(port)).send(Buffer.from(get('/', 'X-A: aéb', 'X-B: é', 'X-C: ☃.')));
    const exchange = await caught.next();
    const bytes = (text: string) => Buffer.from(text).toString('latin1');
    expect(exchange.header('x-a')).toBe(bytes('aéb'));
    if (name === 'uws') {
      // on uws: bytes above 0x7f are trimmed from both ends of a value, like blanks
      expect(exchange.header('x-b')).toBe('');
      expect(exchange.header('x-c')).toBe('.');
    } else {
      expect(exchange.header('x-b')).toBe(bytes('é'));
      expect(exchange.header('x-c')).toBe(bytes('☃.'));
    }
  });

  test('takes header bytes that are not UTF-8', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    await (await connect(port)).send(get('/', 'X-A: a\xe9b'));
    // on uws: replaced by the bytes of U+FFFD
    const expected = name === 'uws' ? 'a\xef\xbf\xbdb' : 'a\xe9b';
    expect((await caught.next()).header('x-a')).toBe(expected);
  });

  test('ignores an offer to upgrade, and an expectation it does not know', async () => {
    const { port } = await opened.open(listen, echo);
    const client = await connect(port);
    await client.send(get('/', 'Connection: Upgrade', 'Upgrade: h2c', 'Expect: more'));
    expect((await client.answer()).status).toBe(200);
  });
});

eachFrontEnd('connections', ({ name, listen, opened, connect, test }) => {
  test('are used again', async () => {
    const { port } = await opened.open(listen, echo);
    const client = await connect(port);
    for (const [index, size] of [3, 0, 70_000, 1].entries()) {
      await client.send(post(size), patterned(size, index));
      const answers = await client.answers(index + 1);
      expect(answers[index]!.body.equals(patterned(size, index))).toBe(true);
    }
  });

  test('close after the answer if the client asks', async () => {
    const { port } = await opened.open(listen, echo);
    const client = await connect(port);
    await client.send(get('/', 'Connection: close'));
    expect((await client.answer()).complete).toBe(true);
    await client.untilClosed();
  });

  test('carry pipelined requests that are answered at once', async () => {
    const { port } = await opened.open(listen, (exchange) => {
      exchange.head(200, []);
      exchange.end(exchange.path);
    });
    const client = await connect(port);
    await client.send(get('/1') + get('/2') + get('/3'));
    const answers = await client.answers(3);
    expect(answers.map(({ body }) => body.toString())).toEqual(['/1', '/2', '/3']);
  });

  test('carry a pipelined request behind an answer that takes time, or close', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    const client = await connect(port);
    await client.send(get('/1') + get('/2'));
    if (name === 'uws') {
      // on uws: the connection closes, which is no more than RFC 9112 section 9.3.2 allows
      await client.untilClosed();
      expect((await caught.next()).gone).toBe(true);
      return;
    }
    await caught.next(2);
    for (const exchange of caught.exchanges.reverse()) {
      exchange.head(200, []);
      exchange.end(exchange.path);
    }
    const answers = await client.answers(2);
    expect(answers.map(({ body }) => body.toString())).toEqual(['/1', '/2']);
  });
});
