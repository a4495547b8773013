import { describe, expect, test } from 'vitest';
import {
  Harness,
  reply,
  replyAndClose,
  replyAndReset,
  settle,
  statusOk,
} from '../support/upstream-harness.ts';
import { implementations } from '../support/upstream-implementations.ts';
import { eventually } from '../support/upstream-recorder.ts';
import { FullPort } from '../support/upstream-server.ts';

/** The law of upstreams: everything that can break, and the code it gets. */
describe.each(implementations)('upstream $name', (implementation) => {
  const h = new Harness(implementation);
  const { create, record, request, ask } = h;

  describe('faults', () => {
    test('nothing listens', async () => {
      const { origin } = h.server;
      await h.server.stop();
      const recorder = record();
      h.upstream.send(request({ origin }), recorder);
      expect(recorder.events).toEqual([]);
      await recorder.ended;
      expect([recorder.events, recorder.fault?.code]).toEqual([['fault'], 'connect_failed']);
      expect(recorder.fault?.message).toMatch(/ECONNREFUSED/);
    });

    test('an origin that is none', async () => {
      for (const origin of ['nonsense', 'ftp://127.0.0.1:1', 'http://127.0.0.1:1/base']) {
        const recorder = record();
        h.upstream.send(request({ origin }), recorder);
        expect(recorder.events).toEqual([]);
        await recorder.ended;
        expect(recorder.fault?.code).toBe('connect_failed');
      }
    });

    test('connecting takes too long', async () => {
      const full = await FullPort.start();
      const impatient = create({ connectTimeoutMs: 100 });
      const recorder = record();
      impatient.send(request({ origin: `http://127.0.0.1:${full.port}` }), recorder);
      await recorder.ended;
      expect([recorder.events, recorder.fault?.code]).toEqual([['fault'], 'connect_timeout']);
      await impatient.close();
      await full.stop();
    });

    const chunkedHead = `${statusOk}transfer-encoding: chunked\r\n\r\n`;
    const lengthHead = `${statusOk}content-length: 9\r\n\r\n`;
    const closeHead = `${statusOk}connection: close\r\n`;
    const breaks: [string, string, number][] = [
      ['before the head', '', 0],
      ['inside the status line', 'HTTP/1.1 20', 0],
      ['inside the head', `${statusOk}x-a: b`, 0],
      ['after the head', chunkedHead, 0],
      ['inside a chunk', `${chunkedHead}5\r\nhel`, 3],
      ['between chunks', `${chunkedHead}5\r\nhello\r\n`, 5],
      ['inside the last chunk', `${chunkedHead}5\r\nhello\r\n0\r\n`, 5],
      ['inside a body with content-length', `${lengthHead}hello`, 5],
      [
        'inside such a body with connection: close',
        `${closeHead}content-length: 9\r\n\r\nhello`,
        5,
      ],
      [
        'inside a chunk with connection: close',
        `${closeHead}transfer-encoding: chunked\r\n\r\n5\r\nhel`,
        3,
      ],
    ];

    describe.each(breaks)('%s', (_name, bytes, bodyBytesSeen) => {
      const headSeen = /\r\n\r\n/.test(bytes);

      test('the instance closes', async () => {
        const answer = await ask(replyAndClose(bytes));
        expect(answer.fault?.code).toBe('reset');
        expect(answer.events.includes('head')).toBe(headSeen);
        expect(answer.bodyBytesSeen).toBe(bodyBytesSeen);
      });

      test('the instance resets', async () => {
        const recorder = record();
        const progressed = () =>
          bytes === '' || !headSeen
            ? settle()
            : eventually(
                () => recorder.events.length > 0 && recorder.bodyBytesSeen === bodyBytesSeen,
                'what was sent',
              );
        h.server.answer = replyAndReset(bytes, progressed);
        h.upstream.send(request(), recorder);
        await recorder.ended;
        expect(recorder.fault?.code).toBe('reset');
        expect(recorder.events.includes('head')).toBe(headSeen);
      });
    });

    test('a reset is no end, not even of an answer delimited by the end', async () => {
      const recorder = record();
      const seen = () => eventually(() => recorder.bodyBytesSeen === 5, 'body');
      h.server.answer = replyAndReset(`${statusOk}x-a: b\r\n\r\nhello`, seen);
      h.upstream.send(request(), recorder);
      await recorder.ended;
      expect(recorder.fault?.code).toBe('reset');
    });

    test('a head beyond the limit', async () => {
      const strict = create({ headBytesMax: 2_000 });
      const recorder = record();
      const fields = `x-a: ${'a'.repeat(500)}\r\n`.repeat(5);
      h.server.answer = reply(`${statusOk}${fields}content-length: 2\r\n\r\nok`);
      strict.send(request(), recorder);
      await recorder.ended;
      expect([recorder.events, recorder.fault?.code]).toEqual([['fault'], 'headers_too_large']);
      await eventually(() => h.server.usedCount === 0, 'close');
      const within = record();
      h.server.answer = reply(
        `${statusOk}x-a: ${'a'.repeat(1_500)}\r\ncontent-length: 2\r\n\r\nok`,
      );
      strict.send(request(), within);
      await within.ended;
      expect(within.status).toBe(200);
      await strict.close();
    });

    test('no first body byte in time: before and after the head', async () => {
      const impatient = create({ firstByteTimeoutMs: 60 });
      for (const bytes of ['', chunkedHead]) {
        const recorder = record();
        h.server.answer = bytes === '' ? () => undefined : reply(bytes);
        impatient.send(request(), recorder);
        await recorder.ended;
        expect(recorder.fault?.code).toBe('first_token_timeout');
        await eventually(() => h.server.usedCount === 0, 'close');
      }
      await impatient.close();
    });

    test('the idle limit counts from the last byte', async () => {
      const patient = create({ idleTimeoutMs: 400, firstByteTimeoutMs: 400 });
      const recorder = record();
      h.server.answer = async ({ connection }) => {
        await connection.send(chunkedHead);
        for (let count = 0; count < 6; count += 1) {
          await connection.send('1\r\na\r\n');
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        await connection.send('0\r\n\r\n');
      };
      patient.send(request(), recorder);
      await recorder.ended;
      expect([recorder.fault, recorder.body.toString()]).toEqual([null, 'aaaaaa']);
      await patient.close();
    });

    test('no first byte seen in pause is no idle time', async () => {
      const impatient = create({ idleTimeoutMs: 60 });
      const recorder = record();
      h.server.answer = reply(chunkedHead);
      const call = impatient.send(request(), recorder);
      await eventually(() => recorder.events.length === 1, 'head');
      call.pause();
      await h.server.connections[0]!.send('3\r\nabc\r\n');
      await new Promise((resolve) => setTimeout(resolve, 120));
      expect(recorder.fault).toBe(null);
      call.resume();
      await recorder.ended;
      expect([recorder.fault?.code, recorder.bodyBytesSeen]).toEqual(['idle_timeout', 3]);
      await impatient.close();
    });

    test('no further body byte in time; time in pause does not count', async () => {
      const impatient = create({ idleTimeoutMs: 60, firstByteTimeoutMs: 2_000 });
      const recorder = record();
      h.server.answer = reply(`${chunkedHead}3\r\nabc\r\n`);
      const call = impatient.send(request(), recorder);
      recorder.dataListener = () => call.pause();
      await eventually(() => recorder.bodyBytesSeen === 3, 'body');
      await new Promise((resolve) => setTimeout(resolve, 120));
      expect(recorder.fault).toBe(null);
      call.resume();
      await recorder.ended;
      expect(recorder.fault?.code).toBe('idle_timeout');
      await eventually(() => h.server.usedCount === 0, 'close');
      await impatient.close();
    });

    test('after the upstream was closed', async () => {
      await h.upstream.close();
      const recorder = record();
      h.upstream.send(request(), recorder);
      expect(recorder.events).toEqual([]);
      await recorder.ended;
      expect(recorder.fault?.code).toBe('connect_failed');
    });
  });
});
