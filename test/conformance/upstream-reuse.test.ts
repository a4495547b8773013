import { describe, expect, test } from 'vitest';
import type { UpstreamCall } from '../../src/dispatch/upstream.ts';
import { answerOk, Harness, reply, replyAndClose, settle } from '../support/upstream-harness.ts';
import { implementations } from '../support/upstream-implementations.ts';
import { eventually } from '../support/upstream-recorder.ts';

/**
 * The law of upstreams: connections are kept, shared by none, and replaced when the instance has
 * closed them.
 */
describe.each(implementations)('upstream $name', (implementation) => {
  const h = new Harness(implementation);
  const { create, record, request, ask } = h;

  describe('kept-alive connections', () => {
    test('serve one request after the other', async () => {
      for (let count = 0; count < 5; count += 1) {
        await ask(reply(answerOk));
        await settle();
      }
      expect(h.server.connections).toHaveLength(1);
      expect(h.server.connections[0]!.requestCount).toBe(5);
    });

    test('serve one request at a time', async () => {
      h.server.answer = () => undefined;
      const calls = [1, 2, 3].map(() => h.upstream.send(request(), record()));
      await eventually(() => h.server.requests.length === 3, 'requests');
      expect(h.server.connections).toHaveLength(3);
      for (const call of calls) call.cancel();
    });

    test('are never more than the limit; what waits is sent when one is free', async () => {
      const narrow = create({ connectionsPerInstanceMax: 2 });
      h.server.answer = () => undefined;
      const waiting = [1, 2, 3, 4].map(() => record());
      const calls = waiting.map((recorder) => narrow.send(request(), recorder));
      await eventually(() => h.server.requests.length === 2, 'two requests');
      waiting[3]!.cancelled = true;
      calls[3]!.cancel();
      await settle();
      expect(h.server.requests).toHaveLength(2);
      h.server.answer = reply(answerOk);
      for (const { connection } of h.server.requests.slice(0, 2)) await connection.send(answerOk);
      await Promise.all(waiting.slice(0, 3).map((recorder) => recorder.ended));
      await settle();
      expect(h.server.requests).toHaveLength(3);
      expect(h.server.connections).toHaveLength(2);
      await narrow.close();
    });

    test('closed by the instance while idle are replaced', async () => {
      await ask(replyAndClose(answerOk));
      await eventually(() => h.server.usedCount === 0, 'close');
      expect((await ask(reply(answerOk))).status).toBe(200);
      expect(h.server.connections).toHaveLength(2);
    });

    test.each(['end', 'reset'] as const)(
      'that %s as the request is sent are no fault',
      async (die) => {
        for (let count = 0; count < 5; count += 1) {
          await ask(reply(answerOk));
          await settle();
          h.server.connections.at(-1)![die]();
          const answer = await ask(reply(answerOk));
          expect([answer.events, answer.status]).toEqual([['head', 'data', 'end'], 200]);
          await settle();
        }
      },
    );

    test('a retry takes no other kept-alive connection, which may be as dead', async () => {
      const first = record();
      h.server.answer = () => undefined;
      h.upstream.send(request(), first);
      await eventually(() => h.server.requests.length === 1, 'request');
      await ask(reply(answerOk));
      await settle();
      // Now the first connection becomes idle too, after the second has been chosen.
      const answer = await ask(async ({ connection }) => {
        if (connection.requestCount === 1) return connection.send(answerOk);
        const other = h.server.connections[0]!;
        if (connection !== other) await other.send(answerOk);
        await settle();
        connection.reset();
      });
      expect([answer.status, first.status]).toEqual([200, 200]);
      expect(h.server.requests.map(({ connection }) => connection.index)).toEqual([0, 1, 1, 2]);
    });

    test('dying before a byte of the answer cost one retry, on a new connection', async () => {
      for (const die of ['end', 'reset'] as const) {
        await ask(reply(answerOk));
        await settle();
        const before = h.server.requests.length;
        const answer = await ask(({ connection }) => {
          if (h.server.requests.length === before + 1) connection[die]();
          else void connection.send(answerOk);
        });
        expect([answer.events, answer.status]).toEqual([['head', 'data', 'end'], 200]);
        const [stale, fresh] = h.server.requests.slice(before);
        expect(fresh!.connection).not.toBe(stale!.connection);
        expect(fresh!.connection.requestCount).toBe(1);
        expect(fresh!.body.equals(stale!.body)).toBe(true);
        expect(h.server.requests).toHaveLength(before + 2);
      }
    });

    test('dying twice are a fault: one retry, no more', async () => {
      await ask(reply(answerOk));
      await settle();
      const answer = await ask(({ connection }) => connection.reset());
      expect(answer.fault?.code).toBe('reset');
      expect(h.server.requests).toHaveLength(3);
    });

    test('a new connection that dies is not retried', async () => {
      const answer = await ask(({ connection }) => connection.reset());
      expect(answer.fault?.code).toBe('reset');
      expect(h.server.requests).toHaveLength(1);
    });

    test('a new connection in the place of an old one that dies is not retried', async () => {
      // One request stays open, so that the pool and its two places do.
      const open = record();
      h.server.answer = () => undefined;
      const call = h.upstream.send(request(), open);
      await eventually(() => h.server.requests.length === 1, 'request');
      await ask(replyAndClose(answerOk));
      await eventually(() => h.server.usedCount === 1, 'close');
      const answer = await ask(({ connection }) => connection.reset());
      expect(answer.fault?.code).toBe('reset');
      expect(h.server.requests).toHaveLength(3);
      open.cancelled = true;
      call.cancel();
    });

    test('dying after a byte of the answer are not retried', async () => {
      await ask(reply(answerOk));
      await settle();
      const answer = await ask(replyAndClose('HTTP'));
      expect(answer.fault?.code).toBe('reset');
      expect(h.server.requests).toHaveLength(2);
    });

    test('cancel before the retry is sent', async () => {
      await ask(reply(answerOk));
      await settle();
      const recorder = record();
      let call: UpstreamCall | null = null;
      h.server.answer = ({ connection }) => {
        connection.reset();
        recorder.cancelled = true;
        call?.cancel();
      };
      call = h.upstream.send(request(), recorder);
      await eventually(() => recorder.cancelled, 'request');
      await settle();
      expect(h.server.requests).toHaveLength(2);
    });
  });
});
