import { describe, expect, test } from 'vitest';
import { answerOk, Harness, reply, replyAndClose, statusOk } from '../support/upstream-harness.ts';
import { implementations } from '../support/upstream-implementations.ts';
import { eventually } from '../support/upstream-recorder.ts';

/** The law of upstreams: answers of every framing come out as they were meant. */
describe.each(implementations)('upstream $name', (implementation) => {
  const h = new Harness(implementation);
  const { record, request, ask } = h;

  describe('answers', () => {
    test('with content-length', async () => {
      const answer = await ask(reply(`${statusOk}Content-Length: 5\r\nX-Thing: A\r\n\r\nhello`));
      expect(answer.events).toEqual(['head', 'data', 'end']);
      expect([answer.status, answer.bodyBytes, answer.body.toString()]).toEqual([200, 5, 'hello']);
      expect(answer.headers).toEqual(['x-thing', 'A']);
    });

    test('with content-length 0', async () => {
      const answer = await ask(reply(`${statusOk}content-length: 0\r\n\r\n`));
      expect([answer.events, answer.bodyBytes]).toEqual([['head', 'end'], 0]);
    });

    test('chunked, with extensions and trailers', async () => {
      const chunks = '5;a=b\r\nhello\r\n6;c="d"\r\n world\r\n0\r\nx-trailer: 1\r\n\r\n';
      const answer = await ask(reply(`${statusOk}transfer-encoding: chunked\r\n\r\n${chunks}`));
      expect(answer.body.toString()).toBe('hello world');
      expect([answer.events.at(-1), answer.bodyBytes, answer.headers]).toEqual(['end', -1, []]);
    });

    test('delimited by the end of the connection', async () => {
      const answer = await ask(replyAndClose(`${statusOk}x-a: b\r\n\r\nhello`));
      expect(answer.events).toEqual(['head', 'data', 'end']);
      expect([answer.bodyBytes, answer.body.toString()]).toEqual([-1, 'hello']);
    });

    test.each([
      ['204', 'POST', 'HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n', -1],
      ['304 with a length', 'GET', 'HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n', 9],
      ['HEAD with a length', 'HEAD', `${statusOk}content-length: 9\r\n\r\n`, 9],
      ['HEAD chunked', 'HEAD', `${statusOk}transfer-encoding: chunked\r\n\r\n`, -1],
    ])('%s has no body', async (_name, method, bytes, bodyBytes) => {
      const body = method === 'POST' ? Buffer.from('{}') : null;
      const answer = await ask(reply(bytes), { method, body });
      expect(answer.events).toEqual(['head', 'end']);
      expect(answer.bodyBytes).toBe(bodyBytes);
      expect((await ask(reply(answerOk))).body.toString()).toBe('ok');
    });

    test('swallow 103 and 102 before the final head', async () => {
      const early = 'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n';
      const answer = await ask(reply(early + answerOk));
      expect(answer.events).toEqual(['head', 'data', 'end']);
      expect([answer.status, answer.headers]).toEqual([200, []]);
    });

    test(`an unasked 100 Continue is ${implementation.continueUnasked}`, async () => {
      const answer = await ask(reply(`HTTP/1.1 100 Continue\r\n\r\n${answerOk}`));
      if (implementation.continueUnasked === 'swallowed') expect(answer.status).toBe(200);
      else expect(answer.fault?.code).toBe('garbage');
    });

    test('lose hop-by-hop fields and keep the rest in order, repeated ones repeated', async () => {
      const fields = [
        'Set-Cookie: a=1',
        'Connection: keep-alive, X-Hop',
        'Keep-Alive: timeout=50',
        'X-Hop: 1',
        'Transfer-Encoding: chunked',
        'Trailer: x',
        'Upgrade: h2c',
        'Proxy-Connection: keep-alive',
        'Content-Type: text/event-stream',
        'Set-Cookie: b=2',
      ];
      const bytes = `${statusOk}${fields.join('\r\n')}\r\n\r\n0\r\n\r\n`;
      const { headers } = await ask(reply(bytes));
      const kept = ['set-cookie', 'a=1', 'content-type', 'text/event-stream', 'set-cookie', 'b=2'];
      expect(headers).toEqual(kept);
    });

    test('give the same result split at every byte', async () => {
      const chunked = 'HTTP/1.1 200 OK\r\nx-a: b c \r\nTransfer-Encoding: chunked\r\n\r\n';
      const bytes = `${chunked}6;x\r\ndata: \r\nA\r\n{"a":1}\r\n\n\r\n0\r\nt: u\r\n\r\n`;
      for (let cut = 1; cut < bytes.length; cut += 1) {
        const pieces = [bytes.slice(0, cut), bytes.slice(cut)];
        const answer = await ask(({ connection }) => connection.sendPieces(pieces));
        expect([cut, answer.body.toString()]).toEqual([cut, 'data: {"a":1}\r\n\n']);
        expect(answer.headers).toEqual(['x-a', 'b c']);
      }
      const single = await ask(({ connection }) => connection.sendPieces(bytes));
      expect(single.body.toString()).toBe('data: {"a":1}\r\n\n');
    });

    test('arrive chunk by chunk, not gathered', async () => {
      const recorder = record();
      let next: () => void = () => undefined;
      h.server.answer = async ({ connection }) => {
        await connection.send(`${statusOk}transfer-encoding: chunked\r\n\r\n`);
        for (const text of ['a', 'b', 'c']) {
          await new Promise<void>((resolve) => {
            next = resolve;
          });
          await connection.send(`1\r\n${text}\r\n`);
        }
        await connection.send('0\r\n\r\n');
      };
      h.upstream.send(request(), recorder);
      for (const body of ['', 'a', 'ab', 'abc']) {
        const arrived = () => recorder.events.length > 0 && recorder.body.toString() === body;
        await eventually(arrived, `body ${body}`);
        next();
      }
      await recorder.ended;
      expect(recorder.chunks).toHaveLength(3);
    });

    test('to a request whose body the instance never reads', async () => {
      h.server.reads = false;
      const recorder = record();
      h.upstream.send(request({ body: Buffer.alloc(16_000_000) }), recorder);
      await eventually(() => h.server.connections.length === 1, 'connection');
      await h.server.connections[0]!.send(answerOk);
      await recorder.ended;
      expect([recorder.status, recorder.body.toString()]).toEqual([200, 'ok']);
      const { socket } = h.server.connections[0]!;
      let bytesRead = 0;
      socket.on('data', (chunk) => {
        bytesRead += chunk.length;
      });
      await eventually(() => h.server.connections[0]!.closedAtMs !== null, 'close');
      expect(bytesRead).toBeLessThan(16_000_000);
    });
  });
});
