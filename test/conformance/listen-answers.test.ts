import { expect } from 'vitest';
import type { Exchange } from '../../src/listen/exchange.ts';
import { eventually, patterned } from '../support/listen-client.ts';
import { echo, nextUncaught } from '../support/listen-server.ts';
import { Caught, eachFrontEnd, get } from '../support/listen-suite.ts';

eachFrontEnd('answers', ({ listen, opened, connect, test }) => {
  const answerTo = async (handler: (exchange: Exchange) => void, method = 'GET') => {
    const { port } = await opened.open(listen, handler);
    const client = await connect(port);
    await client.send(`${method} / HTTP/1.1\r\nHost: x\r\n\r\n`);
    return { answer: await client.answer(method), client };
  };

  test('carry status, fields and date, each once', async () => {
    const { answer } = await answerTo((exchange) => {
      const fields = ['x-a', '1', 'date', 'never', 'connection', 'close', 'content-length', '9'];
      exchange.head(429, ['content-type', 'text/x', ...fields, 'transfer-encoding', 'x']);
      exchange.end('ab');
    });
    expect(answer.status).toBe(429);
    expect(answer.headers.get('x-a')).toBe('1');
    expect(answer.headers.get('content-type')).toBe('text/x');
    expect(answer.headers.get('content-length')).toBe('2');
    expect(Date.parse(answer.headers.get('date')!)).not.toBeNaN();
    expect(answer.headers.has('uwebsockets')).toBe(false);
  });

  test('send header text as bytes', async () => {
    const { answer } = await answerTo((exchange) => {
      exchange.head(200, ['x-a', 'a\xe9b']);
      exchange.end('ok');
    });
    expect(answer.headers.get('x-a')).toBe('a\xe9b');
  });

  test('of one call have their length', async () => {
    const { answer } = await answerTo((exchange) => {
      exchange.head(200, []);
      exchange.end('héllo');
    });
    expect(answer.headers.get('content-length')).toBe('6');
    expect(answer.body.toString()).toBe('héllo');
  });

  test('of known length keep it over several writes', async () => {
    const { answer } = await answerTo((exchange) => {
      exchange.head(200, [], 9);
      expect(exchange.write(Buffer.from('abc'))).toBe(true);
      setImmediate(() => {
        exchange.write(Buffer.from('def'));
        setImmediate(() => exchange.end(Buffer.from('ghi')));
      });
    });
    expect(answer.headers.get('content-length')).toBe('9');
    expect(answer.headers.has('transfer-encoding')).toBe(false);
    expect(answer.body.toString()).toBe('abcdefghi');
  });

  test('of unknown length are chunked', async () => {
    const { answer } = await answerTo((exchange) => {
      exchange.head(200, []);
      exchange.write(Buffer.from('abc'));
      setImmediate(() => {
        exchange.write(Buffer.alloc(0));
        exchange.write(Buffer.from('def'));
        exchange.end();
      });
    });
    expect(answer.headers.get('transfer-encoding')).toBe('chunked');
    expect(answer.headers.has('content-length')).toBe(false);
    expect(answer.body.toString()).toBe('abcdef');
  });

  test('may be empty', async () => {
    const { answer } = await answerTo((exchange) => {
      exchange.head(200, [], 0);
      exchange.end();
    });
    expect(answer.headers.get('content-length')).toBe('0');
  });

  test('may be larger than a socket takes at once', async () => {
    const body = patterned(6_000_000);
    const { answer } = await answerTo((exchange) => {
      exchange.head(200, [], body.byteLength);
      exchange.end(body);
    });
    expect(answer.body.equals(body)).toBe(true);
  });

  test.each([undefined, 8_000_000])(
    'do not change with a chunk used again (length %s)',
    async (bodyBytes) => {
      const caught = new Caught();
      const { port } = await opened.open(listen, caught.handler);
      const client = await connect(port);
      client.socket.pause();
      await client.send(get('/'));
      const exchange = await caught.next();
      const chunk = Buffer.alloc(400_000);
      exchange.head(200, [], bodyBytes);
      for (let turn = 0; turn < 20; turn += 1) {
        chunk.fill('a');
        exchange.write(chunk);
        chunk.fill('b');
      }
      exchange.end();
      client.socket.resume();
      const answer = await client.answer();
      expect(answer.body.byteLength).toBe(8_000_000);
      expect(answer.body.includes('b')).toBe(false);
    },
  );

  test.each([
    { status: 200, bodyBytes: 5, length: '5', method: 'HEAD' },
    { status: 200, bodyBytes: undefined, length: undefined, method: 'HEAD' },
    { status: 204, bodyBytes: undefined, length: undefined, method: 'GET' },
    { status: 304, bodyBytes: 5, length: undefined, method: 'GET' },
  ])('$status to $method has no body (length $bodyBytes)', async (row) => {
    const { port } = await opened.open(listen, (exchange) => {
      exchange.head(row.status, ['x-a', '1'], row.bodyBytes);
      if (row.bodyBytes !== undefined) exchange.write(Buffer.from('abcde'));
      exchange.end();
    });
    const client = await connect(port);
    const request = `${row.method} / HTTP/1.1\r\nHost: x\r\n\r\n`;
    await client.send(request);
    const answer = await client.answer(row.method);
    expect(answer.headers.get('content-length')).toBe(row.length);
    expect(answer.headers.has('transfer-encoding')).toBe(false);
    // Nothing of a body is left in the way of the next answer.
    await client.send(request);
    const answers = await client.answers(2, row.method);
    expect(answers.map(({ status }) => status)).toEqual([row.status, row.status]);
  });

  test('end by string, to HEAD too', async () => {
    const { answer } = await answerTo((exchange) => {
      exchange.head(404, []);
      exchange.end('abc');
    }, 'HEAD');
    expect(answer.headers.get('content-length')).toBe('3');
  });

  test('begin with the first write, not with the head', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, (exchange) => {
      if (exchange.path === '/other') echo(exchange);
      else caught.handler(exchange);
    });
    const client = await connect(port);
    await client.send(get('/'));
    const exchange = await caught.next();
    exchange.head(200, ['x-a', '1']);
    // Another exchange from end to end: what the first one sent would have arrived.
    const other = await connect(port);
    await other.send(get('/other'));
    await other.answer();
    expect(client.receivedBytes).toBe(0);
    exchange.head(502, ['x-a', '2']);
    exchange.end('late');
    const answer = await client.answer();
    expect([answer.status, answer.headers.get('x-a')]).toEqual([502, '2']);
  });

  test('are gathered by corks, nested ones too', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    const client = await connect(port);
    await client.send(get('/'));
    const exchange = await caught.next();
    exchange.cork(() => {
      exchange.head(200, ['x-a', '1']);
      for (const text of ['a', 'b', 'c', 'd']) exchange.write(Buffer.from(text));
      exchange.cork(() => exchange.write(Buffer.from('e')));
      exchange.end(Buffer.from('f'));
    });
    expect((await client.answer()).body.toString()).toBe('abcdef');
  });

  test('leave at once when not corked', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    const client = await connect(port);
    await client.send(get('/'));
    const exchange = await caught.next();
    exchange.head(200, []);
    for (let turn = 1; turn <= 3; turn += 1) {
      exchange.write(Buffer.from('tick'));
      await eventually(() => client.received.toString().split('tick').length > turn, 'a tick');
    }
    exchange.end();
    expect((await client.answer()).complete).toBe(true);
  });

  test('pass an error out of a cork', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    await (await connect(port)).send(get('/'));
    const exchange = await caught.next();
    expect(() =>
      exchange.cork(() => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
  });
});

eachFrontEnd('broken answers', ({ listen, opened, connect, test }) => {
  test.each([undefined, 1_000])('destroy is seen as one (length %s)', async (bodyBytes) => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    const client = await connect(port);
    await client.send(get('/'));
    const exchange = await caught.next();
    let goneCalls = 0;
    exchange.onGone(() => {
      goneCalls += 1;
    });
    exchange.head(200, [], bodyBytes);
    exchange.write(Buffer.from('abc'));
    await eventually(() => client.received.toString().includes('abc'), 'the first bytes');
    exchange.destroy();
    await client.untilClosed();
    const [answer] = await client.answers(1);
    expect(answer!.complete).toBe(false);
    expect(answer!.body.toString()).toBe('abc');
    // The router did it: the client did not go.
    expect([exchange.gone, goneCalls]).toEqual([false, 0]);
    expect(exchange.write(Buffer.from('x'))).toBe(true);
    exchange.end();
  });

  test('an answer shorter than announced is one', async () => {
    const { port } = await opened.open(listen, (exchange) => {
      exchange.head(200, [], 10);
      exchange.write(Buffer.from('abc'));
      setImmediate(() => exchange.end());
    });
    const client = await connect(port);
    await client.send(get('/'));
    await client.untilClosed();
    expect((await client.answers(1)).some(({ complete }) => complete)).toBe(false);
  });

  test('an answer longer than announced is a broken invariant', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    await (await connect(port)).send(get('/'));
    const exchange = await caught.next();
    exchange.head(200, [], 2);
    expect(() => exchange.write(Buffer.from('abc'))).toThrow('2 bytes');
  });

  test.each(['a\r\nb', 'a\nb', 'a\0b', '☃'])(
    'a field value %j is a broken invariant',
    async (value) => {
      const caught = new Caught();
      const { port } = await opened.open(listen, caught.handler);
      await (await connect(port)).send(get('/'));
      const exchange = await caught.next();
      exchange.head(200, ['x-a', value]);
      expect(() => exchange.end('x')).toThrow('forbidden byte');
    },
  );

  test('a head after the head, and an answer without one, are broken invariants', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    const client = await connect(port);
    await client.send(get('/'));
    const exchange = await caught.next();
    expect(() => exchange.write(Buffer.from('x'))).toThrow('without a head');
    exchange.head(200, []);
    exchange.write(Buffer.from('x'));
    expect(() => exchange.head(200, [])).toThrow('after the head');
  });

  test.each(['throws', 'rejects'])('a handler that %s is not silent', async (how) => {
    const { port } = await opened.open(listen, (exchange) => {
      const error = new Error(`handler ${exchange.path}`);
      if (how === 'throws') throw error;
      return Promise.reject(error);
    });
    const uncaught = nextUncaught();
    const client = await connect(port);
    await client.send(get('/broken'));
    expect((await uncaught).message).toBe('handler /broken');
    await client.untilClosed();
    expect(client.receivedBytes).toBe(0);
  });
});
