import { afterAll, describe, expect, it } from 'vitest';
import { eventually, RawClient } from '../support/listen-client.ts';
import { echo, frontEnds, OpenListeners } from '../support/listen-server.ts';
import { Caught, get, post } from '../support/listen-suite.ts';

/** Writes until a client that reads nothing stops it, or as often as told, then lets it read. */
async function fill(port: number, caught: Caught, request: number, piecesMax = Infinity) {
  const client = await RawClient.connect(port);
  client.socket.pause();
  await client.send(get('/full'));
  const exchange = await caught.next(request);
  exchange.head(200, []);
  const piece = Buffer.alloc(8_000);
  let pieces = 0;
  while (pieces < piecesMax && exchange.write(piece)) pieces += 1;
  client.socket.resume();
  await eventually(() => client.receivedBytes >= pieces * piece.byteLength, 'all pieces');
  return { client, pieces };
}

/** Takes as long as the longest idle limit, so both front ends do it at the same time. */
describe('outlasting the idle limits of uWebSockets.js', () => {
  const opened = new OpenListeners();
  afterAll(() => opened.closeAll());

  for (const { name, listen, missing } of frontEnds) {
    const test = missing === null ? it.concurrent : it.skip;
    test(`front end ${name}: silent answers, slow uploads`, async () => {
      const caught = new Caught();
      const { port } = await opened.open(listen, (exchange) => {
        if (exchange.method === 'POST') return echo(exchange);
        caught.handler(exchange);
      });
      const idle = await RawClient.connect(port);
      await idle.send(post(1), 'x');
      await idle.answer();
      const silent = await RawClient.connect(port);
      await silent.send(get('/silent'));
      await caught.next(1);
      const streaming = await RawClient.connect(port);
      await streaming.send(get('/streaming'));
      const second = await caught.next(2);
      second.head(200, []);
      second.write(Buffer.from('a'));
      const slow = await RawClient.connect(port);
      slow.socket.pause();
      await slow.send(get('/slow'));
      const third = await caught.next(3);
      third.head(200, []);
      expect(third.write(Buffer.alloc(8_000_000))).toBe(false);
      let drained = false;
      third.onDrain(() => {
        drained = true;
      });
      await slow.take(8_000_000);
      slow.socket.resume();
      await eventually(() => drained, 'the slow client');

      // The last piece that is taken for sent may be the first that the kernel has no room for.
      const probe = await fill(port, caught, 4);
      const full = await fill(port, caught, 5, probe.pieces);

      const upload = await RawClient.connect(port);
      await upload.send(post(140));
      const start = performance.now();
      for (let sent = 0; sent < 140; sent += 1) {
        await upload.send('x');
        await eventually(() => performance.now() - start > sent * 100, 'the next piece');
      }
      expect((await upload.answer()).body.byteLength).toBe(140);
      // An idle connection, in contrast, is closed.
      expect([idle.closed, silent.closed]).toEqual([true, false]);
      expect(caught.exchanges.map(({ gone }) => gone)).toEqual(Array(5).fill(false));
      caught.exchanges[0]!.head(200, []);
      for (const exchange of caught.exchanges) exchange.end(Buffer.from('z'));
      for (const client of [silent, streaming, slow, probe.client, full.client]) {
        const { body, complete } = await client.answer();
        expect([complete, body.toString().at(-1)]).toEqual([true, 'z']);
        client.socket.destroy();
      }
      upload.socket.destroy();
    });
  }
});
