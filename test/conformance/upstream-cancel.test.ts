import { describe, expect, test } from 'vitest';
import {
  answerOk,
  expectSeenInTime,
  Harness,
  reply,
  settle,
  statusOk,
} from '../support/upstream-harness.ts';
import { implementations } from '../support/upstream-implementations.ts';
import { eventually, type Recorder } from '../support/upstream-recorder.ts';

/** The law of upstreams: a cancelled request is closed at once and heard of no more. */
describe.each(implementations)('upstream $name', (implementation) => {
  const h = new Harness(implementation);
  const { record, request, ask } = h;

  describe('cancel', () => {
    /** Cancels once `isReached`, and tells after how long the instance saw it. */
    async function closeSeenMs(isReached: (recorder: Recorder) => boolean): Promise<number> {
      const recorder = record();
      const before = h.server.requests.length;
      const call = h.upstream.send(request(), recorder);
      await eventually(() => h.server.requests.length > before, 'request');
      await eventually(() => isReached(recorder), 'moment');
      const { connection } = h.server.requests[before]!;
      recorder.cancelled = true;
      const startMs = performance.now();
      call.cancel();
      call.cancel();
      await eventually(() => connection.closedAtMs !== null, 'close');
      return connection.closedAtMs! - startMs;
    }

    test('before the head', async () => {
      await expectSeenInTime(() => closeSeenMs(() => true));
    });

    test('after the head', async () => {
      h.server.answer = reply(`${statusOk}transfer-encoding: chunked\r\n\r\n`);
      await expectSeenInTime(() => closeSeenMs((recorder) => recorder.events.length === 1));
    });

    test('in the middle of the body, while the instance keeps sending', async () => {
      h.server.answer = async ({ connection }) => {
        await connection.send(`${statusOk}transfer-encoding: chunked\r\n\r\n`);
        while (connection.closedAtMs === null) await connection.sendPieces(['3\r\nabc\r\n']);
      };
      await expectSeenInTime(() => closeSeenMs((recorder) => recorder.bodyBytesSeen > 10));
    });

    test.each(['onHead', 'onData'])('from inside %s', async (where) => {
      const recorder = record();
      h.server.answer = reply(
        `${statusOk}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\nabc\r\n`,
      );
      const call = h.upstream.send(request(), recorder);
      const listener = () => {
        recorder.cancelled = true;
        call.cancel();
      };
      if (where === 'onHead') recorder.headListener = listener;
      else recorder.dataListener = listener;
      await eventually(() => recorder.cancelled, 'callback');
      await eventually(() => h.server.usedCount === 0, 'close');
    });

    test('in the turn of sending: no request reaches the instance', async () => {
      const recorder = record();
      recorder.cancelled = true;
      h.upstream.send(request(), recorder).cancel();
      // A later request goes through, so the first had every chance to.
      expect((await ask(reply(answerOk))).status).toBe(200);
      expect(h.server.requests).toHaveLength(1);
    });

    test('after the end is nothing, and the connection stays in use', async () => {
      const recorder = record();
      h.server.answer = reply(answerOk);
      const call = h.upstream.send(request(), recorder);
      await recorder.ended;
      recorder.cancelled = true;
      call.cancel();
      await settle();
      await ask(reply(answerOk));
      expect(h.server.connections).toHaveLength(1);
    });
  });
});
