import { describe, expect, test } from 'vitest';
import { answerOk, Harness, reply, settle, statusOk } from '../support/upstream-harness.ts';
import { implementations } from '../support/upstream-implementations.ts';
import { eventually } from '../support/upstream-recorder.ts';
import type { RawAnswer } from '../support/upstream-server.ts';

/** The law of upstreams: a paused answer stays with the instance. */
describe.each(implementations)('upstream $name', (implementation) => {
  const h = new Harness(implementation);
  const { record, request } = h;

  describe('back-pressure', () => {
    const blockBytes = 65_536;
    const blockCount = 512;

    /** Writes a 32 MB answer as fast as it is taken; counts what the kernel took. */
    const bigAnswer = (progress: { bytes: number }): RawAnswer => {
      return async ({ connection }) => {
        await connection.send(`${statusOk}content-length: ${blockBytes * blockCount}\r\n\r\n`);
        for (let block = 0; block < blockCount; block += 1) {
          if (connection.closedAtMs !== null) return;
          await connection.send(Buffer.alloc(blockBytes, block));
          progress.bytes += blockBytes;
        }
      };
    };

    /** The instance can write no more: it has begun, and then got nowhere for 20 looks. */
    async function stalled(progress: { bytes: number }): Promise<void> {
      let before = 0;
      let looksStill = 0;
      await eventually(() => {
        looksStill = before > 0 && before === progress.bytes ? looksStill + 1 : 0;
        before = progress.bytes;
        return looksStill >= 20;
      }, 'the writer to stall');
    }

    test('pause stops reading, resume goes on, nothing is lost', async () => {
      const recorder = record();
      const progress = { bytes: 0 };
      h.server.answer = bigAnswer(progress);
      const call = h.upstream.send(request(), recorder);
      recorder.dataListener = () => {
        recorder.dataListener = () => undefined;
        call.pause();
      };
      await eventually(() => recorder.bodyBytesSeen > 0, 'first bytes');
      await stalled(progress);
      const seenPaused = recorder.bodyBytesSeen;
      // What was already read may still arrive: one read, and what the parser still held of it.
      expect(seenPaused).toBeLessThanOrEqual(4 * blockBytes);
      expect(progress.bytes).toBeLessThan((blockBytes * blockCount) / 2);
      call.resume();
      await recorder.ended;
      expect(recorder.events).toEqual(['head', 'data', 'end']);
      expect(recorder.bodyBytesSeen).toBe(blockBytes * blockCount);
      const { body } = recorder;
      for (let block = 0; block < blockCount; block += 1) {
        expect(body[block * blockBytes]).toBe(block % 256);
      }
    });

    test('pause in the turn of sending holds the body back', async () => {
      const recorder = record();
      recorder.keepsBody = false;
      const progress = { bytes: 0 };
      h.server.answer = bigAnswer(progress);
      const call = h.upstream.send(request(), recorder);
      call.pause();
      await stalled(progress);
      expect(recorder.bodyBytesSeen).toBeLessThanOrEqual(4 * blockBytes);
      call.resume();
      await recorder.ended;
      expect(recorder.bodyBytesSeen).toBe(blockBytes * blockCount);
    });

    test('pausing at every chunk loses nothing', async () => {
      const recorder = record();
      recorder.keepsBody = false;
      h.server.answer = bigAnswer({ bytes: 0 });
      const call = h.upstream.send(request(), recorder);
      recorder.dataListener = () => {
        call.pause();
        setImmediate(() => call.resume());
      };
      await recorder.ended;
      expect(recorder.bodyBytesSeen).toBe(blockBytes * blockCount);
    });

    test('resume with nothing to read gives no empty chunk', async () => {
      const recorder = record();
      h.server.answer = reply(`${statusOk}content-length: 6\r\n\r\nabc`);
      const call = h.upstream.send(request(), recorder);
      recorder.dataListener = () => call.pause();
      await eventually(() => recorder.bodyBytesSeen === 3, 'first half');
      call.resume();
      await settle();
      recorder.dataListener = () => undefined;
      await h.server.connections[0]!.send('def');
      await recorder.ended;
      expect(recorder.chunks.map(String)).toEqual(['abc', 'def']);
    });

    test('pause before the head, and again and again, is harmless', async () => {
      const recorder = record();
      h.server.answer = reply(answerOk);
      const call = h.upstream.send(request(), recorder);
      call.pause();
      call.pause();
      await eventually(() => h.server.requests.length === 1, 'request');
      call.resume();
      call.resume();
      call.pause();
      call.resume();
      await recorder.ended;
      expect(recorder.body.toString()).toBe('ok');
      call.pause();
      call.resume();
    });

    test('cancel while paused closes, and a reset while paused is a fault', async () => {
      for (const head of [`${statusOk}content-length: 9\r\n`, `${statusOk}connection: close\r\n`]) {
        const recorder = record();
        h.server.answer = reply(`${head}\r\nhello`);
        const call = h.upstream.send(request(), recorder);
        recorder.dataListener = () => call.pause();
        await eventually(() => recorder.bodyBytesSeen === 5, 'body');
        h.server.connections.at(-1)!.reset();
        await settle();
        call.resume();
        await recorder.ended;
        expect(recorder.fault?.code).toBe('reset');
      }
      const recorder = record();
      h.server.answer = reply(`${statusOk}content-length: 9\r\n\r\nhello`);
      const call = h.upstream.send(request(), recorder);
      recorder.dataListener = () => call.pause();
      await eventually(() => recorder.bodyBytesSeen === 5, 'body');
      recorder.cancelled = true;
      call.cancel();
      await eventually(() => h.server.usedCount === 0, 'close');
    });
  });
});
