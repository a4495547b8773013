import { expect } from 'vitest';
import { probePort } from '../../src/listen/choose.ts';
import { RawClient } from '../support/listen-client.ts';
import { echo, listenDefaults } from '../support/listen-server.ts';
import { Caught, eachFrontEnd, get } from '../support/listen-suite.ts';

eachFrontEnd('listener', ({ name, listen, opened, connect, test }) => {
  test('says which address it could not have', async () => {
    const { port } = await opened.open(listen, echo);
    const message = `127.0.0.1:${port}`;
    await expect(listen({ ...listenDefaults, port }, echo)).rejects.toThrow(message);
    await expect(probePort('127.0.0.1', port)).rejects.toThrow(message);
  });

  test('shares a port with threads where it can, and is found by the probe', async () => {
    const options = { shared: true, port: await probePort('127.0.0.1', 0) };
    if (name === 'http') {
      // on http: node:http has no SO_REUSEPORT on Node 20
      await expect(listen({ ...listenDefaults, ...options }, echo)).rejects.toThrow('share');
      return;
    }
    await opened.open(listen, echo, options);
    await opened.open(listen, echo, options);
    const where = `127.0.0.1:${options.port}`;
    await expect(probePort('127.0.0.1', options.port)).rejects.toThrow(where);
    await expect(
      listen({ ...options, ...listenDefaults, port: options.port }, echo),
    ).rejects.toThrow(where);
    const client = await connect(options.port);
    await client.send(get('/'));
    expect((await client.answer()).status).toBe(200);
  });

  test('frees its port', async () => {
    const { port } = await opened.open(listen, echo);
    await opened.closeAll();
    await probePort('127.0.0.1', port);
    await opened.open(listen, echo, { port });
  });

  test('takes no new connections once stopped, and finishes what it has', async () => {
    const caught = new Caught();
    const listener = await opened.open(listen, caught.handler);
    const client = await connect(listener.port);
    await client.send(get('/'));
    const exchange = await caught.next();
    listener.stop();
    listener.stop();
    await expect(RawClient.connect(listener.port)).rejects.toThrow('ECONNREFUSED');
    exchange.head(200, []);
    exchange.write(Buffer.from('a'));
    exchange.end(Buffer.from('b'));
    expect((await client.answer()).body.toString()).toBe('ab');
  });

  test('closes what is open', async () => {
    const caught = new Caught();
    const listener = await opened.open(listen, caught.handler);
    const idle = await connect(listener.port);
    const waiting = await connect(listener.port);
    await waiting.send(get('/'));
    const exchange = await caught.next();
    await listener.close();
    await Promise.all([idle.untilClosed(), waiting.untilClosed()]);
    expect(exchange.gone).toBe(true);
    await listener.close();
  });
});
