import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { answerOk, Harness, reply } from '../support/upstream-harness.ts';
import { implementations } from '../support/upstream-implementations.ts';
import { eventually } from '../support/upstream-recorder.ts';

/** The law of upstreams: requests reach the instance byte for byte. */
describe.each(implementations)('upstream $name', (implementation) => {
  const h = new Harness(implementation);
  const { create, record, request, ask } = h;

  describe('requests', () => {
    test('go out byte for byte, with host and content-length written by the client', async () => {
      const body = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 256));
      const headers = ['x-a', '1', 'x-b', '', 'x-a', 'caf\u00e9', 'authorization', 'Bearer k'];
      await ask(reply(answerOk), { headers, body, path: '/v1/x?q=%20a&b' });
      const seen = h.server.requests[0]!;
      expect(seen.body.equals(body)).toBe(true);
      const lines = seen.head.split('\r\n');
      expect(lines.shift()).toBe('POST /v1/x?q=%20a&b HTTP/1.1');
      const names = lines.map((line) => line.split(':')[0]!.toLowerCase());
      const own = ['host', 'connection', 'content-length', ''];
      const passed = lines.filter((_, index) => !own.includes(names[index]!));
      const expected = ['x-a: 1', 'x-b: ', 'x-a: caf\u00e9', 'authorization: Bearer k'];
      expect(passed).toEqual(expected);
      expect(lines).toContain(`host: 127.0.0.1:${h.server.port}`);
      expect(lines).toContain(`content-length: ${body.length}`);
      expect(names.filter((name) => name === 'host')).toHaveLength(1);
      expect(names.filter((name) => name === 'content-length')).toHaveLength(1);
      expect(names).not.toContain('transfer-encoding');
    });

    test('leave out a field that HTTP cannot carry: it is no fault of the instance', async () => {
      const headers = ['x-del', 'a\x7fb', 'x(y)', '1', 'x-line', 'a\nb', '', '1', 'x-ok', '1'];
      expect((await ask(reply(answerOk), { headers })).status).toBe(200);
      const { head } = h.server.requests[0]!;
      expect(head).toMatch(/\r\nx-ok: 1\r\n/);
      expect(head).not.toMatch(/x-del|x\(y\)|x-line|\r\n:/);
    });

    test('without a body carry none', async () => {
      await ask(reply(answerOk), { method: 'GET', body: null, headers: [] });
      expect(h.server.requests[0]!.head).toMatch(/^GET /);
      expect(h.server.requests[0]!.head).not.toMatch(/content-length|transfer-encoding/i);
      expect(h.server.requests[0]!.body).toHaveLength(0);
    });

    test('are not kept after the end, a fault or a cancel', async () => {
      setFlagsFromString('--expose-gc');
      const collectGarbage = runInNewContext('gc') as () => void;
      const narrow = create({ connectionsPerInstanceMax: 1 });
      const bodies: WeakRef<Uint8Array>[] = [];
      const recorders = [record(), record(), record()];
      const calls = recorders.map((recorder) => {
        const body = new Uint8Array(1_000);
        bodies.push(new WeakRef(body));
        return narrow.send(request({ body }), recorder);
      });
      h.server.answer = () => undefined;
      await eventually(() => h.server.requests.length === 1, 'first request');
      recorders[2]!.cancelled = true;
      calls[2]!.cancel();
      const isHeld = (index: number) => bodies[index]!.deref() !== undefined;
      await eventually(() => {
        collectGarbage();
        return !isHeld(2);
      }, 'body of the cancelled request to go');
      await h.server.connections[0]!.send(answerOk);
      await recorders[0]!.ended;
      await eventually(() => h.server.requests.length === 2, 'second request');
      h.server.requests[1]!.connection.reset();
      await eventually(() => h.server.requests.length === 3, 'retry');
      h.server.requests[2]!.connection.reset();
      await recorders[1]!.ended;
      // An error holds what was on the stack at its birth, until its stack is read.
      recorders[1]!.fault = null;
      await eventually(() => {
        collectGarbage();
        return !isHeld(0) && !isHeld(1);
      }, 'bodies of the ended requests to go');
      expect(calls).toHaveLength(3);
      await narrow.close();
    });

    test('can be views into a larger buffer, and are not changed', async () => {
      const whole = Buffer.from('xxxx{"a":1}yyyy');
      await ask(reply(answerOk), { body: whole.subarray(4, 11) });
      expect(h.server.requests[0]!.body.toString()).toBe('{"a":1}');
      expect(whole.toString()).toBe('xxxx{"a":1}yyyy');
    });
  });
});
