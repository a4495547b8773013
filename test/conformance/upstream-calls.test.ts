import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { answerOk, Harness, reply, settle, statusOk } from '../support/upstream-harness.ts';
import { implementations } from '../support/upstream-implementations.ts';
import { eventually } from '../support/upstream-recorder.ts';
import { RawServer } from '../support/upstream-server.ts';

/** The law of upstreams: Unix sockets, calls from callbacks, errors of handlers, closing. */
describe.each(implementations)('upstream $name', (implementation) => {
  const h = new Harness(implementation);
  const { create, record, request, ask } = h;

  test('Unix sockets', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'upstream-'));
    const path = join(folder, 'engine.sock');
    const local = await RawServer.start(reply(answerOk), path);
    for (let count = 0; count < 2; count += 1) {
      const recorder = record();
      h.upstream.send(request({ origin: `unix:${path}` }), recorder);
      await recorder.ended;
      expect([recorder.status, recorder.body.toString()]).toEqual([200, 'ok']);
      await settle();
    }
    expect(local.connections).toHaveLength(1);
    expect(local.requests[0]!.head).toMatch(/\r\nhost: localhost\r\n/i);
    await h.upstream.close();
    await local.stop();
    const recorder = record();
    const later = create();
    later.send(request({ origin: `unix:${path}` }), recorder);
    await recorder.ended;
    expect(recorder.fault?.code).toBe('connect_failed');
    await later.close();
    rmSync(folder, { recursive: true });
  });

  describe('callbacks may call back', () => {
    test('what is sent and cancelled inside a callback opens no connection', async () => {
      const outer = record();
      const unsent = record();
      outer.dataListener = () => {
        unsent.cancelled = true;
        h.upstream.send(request(), unsent).cancel();
      };
      h.server.answer = reply(answerOk);
      h.upstream.send(request(), outer);
      await outer.ended;
      await settle();
      expect(h.server.connections).toHaveLength(1);
    });

    test('send, resume and cancel of other calls from inside a callback', async () => {
      const paused = record();
      const victim = record();
      h.server.answer = reply(
        `${statusOk}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n`,
      );
      const pausedCall = h.upstream.send(request(), paused);
      paused.dataListener = () => pausedCall.pause();
      const victimCall = h.upstream.send(request(), victim);
      await eventually(() => paused.bodyBytesSeen > 0 && victim.bodyBytesSeen === 6, 'bodies');
      const nested = record();
      const outer = record();
      outer.dataListener = () => {
        paused.dataListener = () => undefined;
        pausedCall.resume();
        victim.cancelled = true;
        victimCall.cancel();
        h.upstream.send(request(), nested);
        expect(nested.events).toEqual([]);
        const unsent = record();
        unsent.cancelled = true;
        h.upstream.send(request(), unsent).cancel();
      };
      h.server.answer = reply(answerOk);
      h.upstream.send(request(), outer);
      await Promise.all([outer.ended, nested.ended]);
      await eventually(() => paused.bodyBytesSeen === 6, 'rest of the paused body');
      expect(nested.body.toString()).toBe('ok');
      await settle();
      expect(h.server.requests).toHaveLength(4);
      paused.cancelled = true;
      pausedCall.cancel();
    });
  });

  test("what a handler throws is nobody else's fault: it is uncaught", async () => {
    const former = process.listeners('uncaughtException');
    const uncaught: unknown[] = [];
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => uncaught.push(error));
    try {
      const broken = new Error('a broken invariant');
      const recorder = record();
      h.server.answer = reply(`${statusOk}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n`);
      recorder.dataListener = () => {
        throw broken;
      };
      const call = h.upstream.send(request(), recorder);
      await eventually(() => uncaught.length > 0, 'uncaught error');
      expect([uncaught, recorder.events]).toEqual([[broken], ['head', 'data']]);
      recorder.cancelled = true;
      call.cancel();
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of former) process.on('uncaughtException', listener);
    }
  });

  test('close cancels calls in flight and closes idle connections', async () => {
    await ask(reply(answerOk));
    const recorder = record();
    h.server.answer = () => undefined;
    h.upstream.send(request(), recorder);
    await eventually(() => h.server.requests.length === 2, 'request');
    recorder.cancelled = true;
    await h.upstream.close();
    await eventually(() => h.server.openCount === 0, 'close');
    await h.upstream.close();
  });
});
