import { expect } from 'vitest';
import { ClientGone, type Exchange } from '../../src/listen/exchange.ts';
import { eventually, patterned } from '../support/listen-client.ts';
import { Caught, eachFrontEnd, get, post } from '../support/listen-suite.ts';

eachFrontEnd('slow clients', ({ listen, opened, connect, test }) => {
  const chunk = patterned(64 * 1024);
  const chunkCount = 400;

  /** Writes all chunks, stopping at `false` and going on at each drain. */
  const pour = (exchange: Exchange, bodyBytes: number | undefined) => {
    const state = { givenBytes: 0, stops: 0, drains: 0 };
    const go = () => {
      while (state.givenBytes < chunkCount * chunk.byteLength) {
        const goOn = exchange.write(chunk);
        state.givenBytes += chunk.byteLength;
        if (!goOn) {
          state.stops += 1;
          return;
        }
      }
      exchange.end();
    };
    exchange.head(200, [], bodyBytes);
    exchange.onDrain(() => {
      state.drains += 1;
      go();
    });
    go();
    return state;
  };

  test.each([undefined, chunkCount * chunk.byteLength])(
    'hold the answer up, and get all of it in order (length %s)',
    async (bodyBytes) => {
      const caught = new Caught();
      const { port } = await opened.open(listen, caught.handler);
      const client = await connect(port);
      client.socket.pause();
      await client.send(get('/'));
      const state = pour(await caught.next(), bodyBytes);
      expect(state.stops).toBe(1);

      // The client takes a little at a time: what waits for it must not grow from step to step.
      let waitingBytesMax = 0;
      for (let step = 0; step < 80; step += 1) {
        await client.take(100_000);
        waitingBytesMax = Math.max(waitingBytesMax, state.givenBytes - client.receivedBytes);
      }
      // The kernel's buffers on both sides, and two chunks.
      expect(waitingBytesMax).toBeLessThan(12_000_000);
      client.socket.resume();
      const answer = await client.answer();
      expect(state.drains).toBeGreaterThan(0);
      expect(answer.body.byteLength).toBe(chunkCount * chunk.byteLength);
      for (let index = 0; index < chunkCount; index += 1) {
        const at = index * chunk.byteLength;
        expect(answer.body.subarray(at, at + chunk.byteLength).equals(chunk)).toBe(true);
      }
      await client.send(get('/again'));
      (await caught.next(2)).destroy();
    },
  );

  test('are not taken for drained each time they read a little', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    const client = await connect(port);
    client.socket.pause();
    await client.send(get('/'));
    const exchange = await caught.next();
    let drains = 0;
    exchange.onDrain(() => {
      drains += 1;
      exchange.write(chunk);
    });
    exchange.head(200, []);
    expect(exchange.write(Buffer.alloc(40_000_000))).toBe(false);
    await client.take(20_000_000);
    // Once by mistake at most: uWS does not tell how much it holds, only a further write does.
    expect(drains).toBeLessThanOrEqual(1);
    client.socket.resume();
    await eventually(() => drains > 1, 'the real drain');
    exchange.end();
    expect((await client.answer()).body.byteLength).toBeGreaterThan(40_000_000);
  });

  test.each([undefined, 8_000_000])(
    'get what was ended while they waited (length %s)',
    async (bodyBytes) => {
      const caught = new Caught();
      const { port } = await opened.open(listen, caught.handler);
      const client = await connect(port);
      client.socket.pause();
      await client.send(get('/'));
      const exchange = await caught.next();
      const body = patterned(8_000_000);
      exchange.head(200, [], bodyBytes);
      expect(exchange.write(body.subarray(0, 7_000_000))).toBe(false);
      // Against the contract, and still kept.
      expect(exchange.write(body.subarray(7_000_000, 7_500_000))).toBe(false);
      exchange.end(body.subarray(7_500_000));
      client.socket.resume();
      expect((await client.answer()).body.equals(body)).toBe(true);
    },
  );

  test('that go away are noticed', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    const client = await connect(port);
    client.socket.pause();
    await client.send(get('/'));
    const exchange = await caught.next();
    pour(exchange, undefined);
    client.socket.destroy();
    await eventually(() => exchange.gone, 'gone', 1_000);
  });
});

eachFrontEnd('clients that go away', ({ listen, opened, connect, test }) => {
  test('before the head is complete: no request', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    const client = await connect(port);
    await client.send('GET / HTTP/1.1\r\nHost');
    client.socket.destroy();
    const other = await connect(port);
    await other.send(get('/other'));
    expect((await caught.next()).path).toBe('/other');
    expect(caught.exchanges.length).toBe(1);
  });

  test('while they send the body: ClientGone', async () => {
    let rejection: unknown;
    const caught = new Caught();
    const { port } = await opened.open(listen, (exchange) => {
      exchange.readBody(1_000).catch((error) => {
        rejection = error;
      });
      caught.handler(exchange);
    });
    const client = await connect(port);
    await client.send(post(500), patterned(100));
    const exchange = await caught.next();
    client.socket.destroy();
    await eventually(() => rejection !== undefined, 'a rejection', 1_000);
    expect(rejection).toBeInstanceOf(ClientGone);
    expect(exchange.gone).toBe(true);
  });

  test.each(['reset', 'close', 'half-close'])(
    'while they wait, by %s: told at once, once',
    async (how) => {
      const caught = new Caught();
      const { port } = await opened.open(listen, async (exchange) => {
        await exchange.readBody(10);
        caught.handler(exchange);
      });
      const client = await connect(port);
      await client.send(get('/'));
      const exchange = await caught.next();
      let calls = 0;
      exchange.onGone(() => {
        calls += 1;
      });
      if (how === 'reset') client.socket.resetAndDestroy();
      else if (how === 'close') client.socket.destroy();
      else client.socket.end();
      await eventually(() => calls > 0, 'onGone', 1_000);
      expect(exchange.gone).toBe(true);
      // Whatever comes after is for nobody.
      let late = 0;
      exchange.onGone(() => {
        late += 1;
      });
      exchange.cork(() => {
        exchange.head(200, ['x-a', '1']);
        expect(exchange.write(Buffer.from('x'))).toBe(true);
      });
      exchange.end('y');
      exchange.destroy();
      await eventually(() => late === 1, 'the late listener');
      expect(calls).toBe(1);
    },
  );

  test('with a body that nobody reads on its way: told', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    const client = await connect(port);
    await client.send(post(8_000_000));
    const exchange = await caught.next();
    client.socket.write(patterned(2_000_000));
    await eventually(() => client.socket.writableLength === 0, 'the body to be read');
    client.socket.destroy();
    await eventually(() => exchange.gone, 'gone', 1_000);
  });

  test('in the middle of an answer: told', async () => {
    const caught = new Caught();
    const { port } = await opened.open(listen, caught.handler);
    const client = await connect(port);
    await client.send(get('/'));
    const exchange = await caught.next();
    let calls = 0;
    exchange.onGone(() => {
      calls += 1;
    });
    exchange.head(200, []);
    exchange.write(Buffer.from('data: 1\n\n'));
    await eventually(() => client.receivedBytes > 0, 'the first event');
    client.socket.destroy();
    await eventually(() => calls === 1, 'onGone', 1_000);
    exchange.write(Buffer.from('data: 2\n\n'));
    exchange.end();
    expect(exchange.gone).toBe(true);
  });

  test('after the answer: nothing to tell', async () => {
    const caught = new Caught();
    let calls = 0;
    const { port } = await opened.open(listen, (exchange) => {
      exchange.onGone(() => {
        calls += 1;
      });
      exchange.head(200, []);
      exchange.end('x');
      caught.handler(exchange);
    });
    const client = await connect(port);
    await client.send(get('/'));
    await client.answer();
    client.socket.destroy();
    const other = await connect(port);
    await other.send(get('/'));
    await other.answer();
    expect(calls).toBe(0);
    expect(caught.exchanges[0]!.gone).toBe(false);
  });
});
