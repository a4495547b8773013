import { createServer } from 'node:net';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { addon } from '../../src/core/native.ts';
import { createNativeUpstream, type NativeUpstreamOptions } from '../../src/dispatch/native.ts';
import {
  type Upstream,
  type UpstreamRequest,
  upstreamDefaults,
} from '../../src/dispatch/upstream.ts';
import { answerOk, Harness, reply, settle, statusOk } from '../support/upstream-harness.ts';
import { implementations } from '../support/upstream-implementations.ts';
import { eventually, type Recorder } from '../support/upstream-recorder.ts';

/** Addresses and connections of the native upstream, beyond what test/conformance holds. */

const harness = new Harness(implementations.find(({ name }) => name === 'native')!);
const { ask, record, request } = harness;
const opened: Upstream[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});

function create(options: Partial<NativeUpstreamOptions>): Upstream {
  const made = createNativeUpstream(addon, { ...upstreamDefaults, ...options });
  opened.push(made);
  return made;
}

async function askOf(upstream: Upstream, change: Partial<UpstreamRequest> = {}): Promise<Recorder> {
  const recorder = record();
  upstream.send(request(change), recorder);
  await recorder.ended;
  return recorder;
}

/** No name is as long: the call fails before anything is looked up. */
const failingOrigin = `http://${'a'.repeat(300)}`;

describe('addresses', () => {
  const hasIpv6 = new Promise<boolean>((resolve) => {
    const probe = createServer().on('error', () => resolve(false));
    probe.listen(0, '::1', () => probe.close(() => resolve(true)));
  });

  test('IPv6', async ({ skip }) => {
    if (!(await hasIpv6)) skip('this machine has no ::1');
    let head = '';
    const six = createServer((socket) => {
      socket.on('data', (bytes) => {
        head += bytes;
        socket.end(answerOk);
      });
    });
    await new Promise<void>((resolve) => six.listen(0, '::1', resolve));
    const { port } = six.address() as { port: number };
    const answer = await askOf(harness.upstream, { origin: `http://[::1]:${port}` });
    expect(answer.status).toBe(200);
    expect(head).toContain(`\r\nhost: [::1]:${port}\r\n`);
    six.close();
  });

  test('a name is looked up again behind its back', async () => {
    const origin = `http://localhost:${harness.server.port}`;
    const forgetful = create({ addressTtlMs: 0 });
    harness.server.answer = reply(answerOk);
    for (let count = 0; count < 5; count += 1) {
      expect((await askOf(forgetful, { origin })).status).toBe(200);
    }
    expect(harness.server.connections).toHaveLength(1);
    await harness.server.stop();
    expect((await askOf(forgetful, { origin })).fault?.code).toBe('connect_failed');
  });

  test('a name that can be none, a path that is too long', async () => {
    for (const origin of [failingOrigin, `unix:/${'a'.repeat(300)}`]) {
      const { fault } = await askOf(harness.upstream, { origin });
      expect(fault?.code).toBe('connect_failed');
    }
  });

  test.each(['outside', 'inside'])(
    'thousands that fail at once, sent %s a callback',
    async (where) => {
      // More than a batch holds.
      const failed = Array.from({ length: 5_000 }, record);
      const sendAll = () => {
        for (const recorder of failed) {
          harness.upstream.send(request({ origin: failingOrigin }), recorder);
        }
        expect(failed.every((recorder) => recorder.events.length === 0)).toBe(true);
      };
      if (where === 'outside') {
        sendAll();
      } else {
        const outer = record();
        outer.headListener = sendAll;
        harness.server.answer = reply(answerOk);
        harness.upstream.send(request(), outer);
        await outer.ended;
      }
      await Promise.all(failed.map((recorder) => recorder.ended));
      expect((await ask(reply(answerOk))).status).toBe(200);
    },
  );
});

describe('connections', () => {
  test('unused ones are closed after a while', async () => {
    const tidy = create({ pooledMs: 30 });
    harness.server.answer = reply(answerOk);
    await askOf(tidy);
    expect(harness.server.openCount).toBe(1);
    await eventually(() => harness.server.openCount === 0, 'close');
    expect((await askOf(tidy)).status).toBe(200);
    expect(harness.server.connections).toHaveLength(2);
  });

  test('calls that wait for one learn that the instance is gone', async () => {
    const narrow = create({ connectionsPerInstanceMax: 1 });
    const { server } = harness;
    const recorders = Array.from({ length: 50 }, record);
    for (const recorder of recorders) narrow.send(request(), recorder);
    await eventually(() => server.requests.length === 1, 'request');
    const { connection } = server.requests[0]!;
    await server.stop();
    connection.reset();
    await Promise.all(recorders.map((recorder) => recorder.ended));
    const codes = recorders.map((recorder) => recorder.fault?.code);
    expect(codes).toEqual(['reset', ...Array(49).fill('connect_failed')]);
  });

  test('an answer that overtook its request leaves no usable connection', async () => {
    const { server, upstream } = harness;
    server.reads = false;
    const early = record();
    upstream.send(request({ body: Buffer.alloc(16_000_000) }), early);
    await eventually(() => server.connections.length === 1, 'connection');
    await server.connections[0]!.send(answerOk);
    await early.ended;
    expect(early.status).toBe(200);
    server.reads = true;
    expect((await ask(reply(answerOk))).status).toBe(200);
    expect(server.connections).toHaveLength(2);
  });

  test('tells when nothing reads the request body any more', async () => {
    const { server, upstream } = harness;
    const freeAtHead: boolean[] = [];
    const send = (body: Uint8Array) => {
      const recorder = record();
      const call = upstream.send(request({ body }), recorder);
      recorder.headListener = () => freeAtHead.push(call.isBodyFree);
      expect(call.isBodyFree).toBe(false);
      return { call, recorder };
    };
    server.reads = false;
    const early = send(Buffer.alloc(16_000_000));
    await eventually(() => server.connections.length === 1, 'connection');
    await server.connections[0]!.send(answerOk);
    await early.recorder.ended;
    server.reads = true;
    server.answer = reply(answerOk);
    const whole = send(Buffer.alloc(10));
    await whole.recorder.ended;
    expect(freeAtHead).toEqual([false, true]);
    expect([whole.call.isBodyFree, early.call.isBodyFree]).toEqual([true, true]);
    const cancelled = send(Buffer.alloc(16_000_000));
    cancelled.call.cancel();
    expect(cancelled.call.isBodyFree).toBe(true);
  });

  test('an instance that refuses the rest of a request still has its answer read', async () => {
    const { server, upstream } = harness;
    server.reads = false;
    const content = 'x'.repeat(100_000);
    const recorder = record();
    const call = upstream.send(request({ body: Buffer.alloc(16_000_000) }), recorder);
    await eventually(() => server.connections.length === 1, 'connection');
    call.pause();
    const connection = server.connections[0]!;
    await connection.send(`${statusOk}content-length: ${content.length}\r\n\r\n${content}`);
    // Unread request bytes make this a reset: writing fails while the answer waits to be read.
    connection.socket.destroy();
    await settle();
    call.resume();
    await recorder.ended;
    expect([recorder.fault, recorder.bodyBytesSeen]).toEqual([null, content.length]);
  });

  test('a busy loop does not take an answer that waits in the socket for silence', async () => {
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads');
       const server = require('node:net').createServer((socket) => {
         socket.on('data', () => socket.write(${JSON.stringify(answerOk)}));
       });
       server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`,
      { eval: true },
    );
    const port = await new Promise<number>((resolve) => worker.once('message', resolve));
    const impatient = create({ firstByteTimeoutMs: 40, connectTimeoutMs: 1_000 });
    const origin = `http://127.0.0.1:${port}`;
    const recorder = record();
    for (let attempt = 0; attempt < 5; attempt += 1) {
      // A busy machine may keep the other thread from its first answer.
      const warm = await askOf(impatient, { origin });
      if (warm.fault === null) break;
    }
    // A request is written at the end of the turn in which it was sent.
    setImmediate(() => {
      const busyUntilMs = performance.now() + 3;
      setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250), 1);
      impatient.send(request({ origin }), recorder);
      while (performance.now() < busyUntilMs);
    });
    await recorder.ended;
    expect([recorder.status, recorder.fault]).toEqual([200, null]);
    await impatient.close();
    await worker.terminate();
  });

  test('close from inside a callback', async () => {
    const { server, upstream } = harness;
    const recorder = record();
    let closed: Promise<void> | null = null;
    recorder.headListener = () => {
      recorder.cancelled = true;
      closed = upstream.close();
    };
    server.answer = reply(answerOk);
    upstream.send(request(), recorder);
    await eventually(() => closed !== null, 'head');
    await closed;
    await eventually(() => server.openCount === 0, 'close');
  });
});
