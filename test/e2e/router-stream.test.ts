import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { HttpClient, isWholeStream } from '../support/e2e-client.ts';
import {
  type Act,
  answerChat,
  beginStream,
  chatEvent,
  doneEvent,
  type EngineCall,
} from '../support/e2e-engine.ts';
import { eventually, patterned, RawClient } from '../support/listen-client.ts';
import { frontEnds } from '../support/listen-server.ts';
import {
  chat,
  chatPath,
  endingsBecome,
  type RouterSetup,
  type RouterUnderTest,
  retriesOf,
  withRouter,
} from '../support/router.ts';

/** What a client sees of an answer, and when: nothing before the first token, then every byte. */

const comment = ': the engine is at work\n\n';
const streamed = JSON.stringify(chat('hello', { stream: true }));
const rawRequest =
  `POST ${chatPath} HTTP/1.1\r\nhost: router\r\ncontent-type: application/json\r\n` +
  `content-length: ${streamed.length}\r\n\r\n${streamed}`;

/** Sends the head and a comment, as an engine does whose prefill takes long. */
const beginAndHold: Act = (call) => {
  beginStream(call);
  call.response.write(comment);
};

const megabyte = 2 ** 20;
const pieces = 64;
const piece = patterned(megabyte);

/** 64 MB as fast as they are taken; `written` counts them. */
class Flood {
  written = 0;
  readonly act: Act = async ({ response }: EngineCall) => {
    for (let count = 0; count < pieces; count += 1) {
      const part = Buffer.concat([Buffer.from([count]), piece.subarray(1)]);
      if (!response.write(part)) await once(response, 'drain');
      this.written += part.byteLength;
    }
    response.end();
  };

  static sha256(): string {
    const hash = createHash('sha256');
    for (let count = 0; count < pieces; count += 1) {
      hash.update(Buffer.from([count])).update(piece.subarray(1));
    }
    return hash.digest('hex');
  }
}

/** Waits until a number has not changed for a while. */
async function untilStill(read: () => number): Promise<void> {
  let last = read();
  let sinceMs = performance.now();
  await eventually(() => {
    if (read() !== last) sinceMs = performance.now();
    last = read();
    return performance.now() - sinceMs > 400;
  }, 'a standstill');
}

describe.each(frontEnds)('behind the front end $name', ({ name, missing }) => {
  const it = test.skipIf(missing !== null);
  const run = (setup: RouterSetup, body: (parts: RouterUnderTest) => Promise<void>) =>
    withRouter({ ...setup, config: { ...setup.config, frontEnd: name } }, body);

  it('the client gets no byte before the first token, then all that was held', async () => {
    await run({ scripts: [beginAndHold] }, async ({ router, scripted, client }) => {
      const raw = await RawClient.connect(router.port);
      await raw.send(rawRequest);
      await eventually(() => scripted[0]!.calls.length === 1, 'the request');
      // While it waits the router answers others, so it has had time for these bytes too.
      for (let count = 0; count < 20; count += 1) await client.get('/health');
      expect(raw.receivedBytes).toBe(0);
      expect(router.state.load(0, 'prefilling').requests).toBe(1);
      const { response } = scripted[0]!.calls[0]!;
      response.write(`data: {"choices":[]}\n\n`);
      for (let count = 0; count < 5; count += 1) await client.get('/health');
      expect(raw.receivedBytes).toBe(0);
      response.write(chatEvent('first'));
      await eventually(() => raw.received.includes('first'), 'the first token');
      const decoding = () => router.state.load(0, 'decoding').requests;
      await eventually(() => decoding() === 1, 'the reservation to pass on');
      expect(router.state.load(0, 'prefilling').requests).toBe(0);
      response.end(doneEvent);
      const answer = await raw.answer();
      const sent = `${comment}data: {"choices":[]}\n\n${chatEvent('first')}${doneEvent}`;
      expect(answer.body.toString()).toBe(sent);
      raw.socket.destroy();
    });
  });

  it('an instance that dies in the prefill is replaced, unseen by the client', async () => {
    const scripts = [beginAndHold, beginAndHold];
    await run({ scripts }, async ({ router, scripted }) => {
      const raw = await RawClient.connect(router.port);
      await raw.send(rawRequest);
      const calls = () => scripted.map(({ calls: list }) => list.length);
      await eventually(() => calls().includes(1), 'the request');
      const [first, second] = calls()[0] === 1 ? scripted : [...scripted].reverse();
      second!.act = (call) => answerChat(call, 'from the second');
      await first!.close();
      const answer = await raw.answer();
      expect(answer.status).toBe(200);
      expect(answer.body.toString()).toBe(chatEvent('from the second') + doneEvent);
      expect(raw.received.toString()).not.toContain(comment);
      await endingsBecome(router, { completed: 1 });
      expect(retriesOf(router)).toBe(1);
      raw.socket.destroy();
    });
  });

  it('the answer is byte for byte what the engine sends', async () => {
    await run({ scripts: [(call) => answerChat(call, 'päx\u2028')] }, async (parts) => {
      const direct = new HttpClient(parts.scripted[0]!.url);
      for (const stream of [true, false]) {
        const routed = await parts.client.post(chatPath, chat('hello', { stream }));
        const wanted = await direct.post(chatPath, chat('hello', { stream }));
        expect(routed.body.equals(wanted.body)).toBe(true);
        expect(routed.headers['content-type']).toBe(wanted.headers['content-type']);
        expect(isWholeStream(routed)).toBe(stream);
      }
      direct.close();
    });
  });

  it.each([
    ['a stream', { 'content-type': 'text/event-stream' }],
    ['a long answer', { 'content-length': String(pieces * megabyte) }],
  ])(
    'a client that does not read %s stops the engine, and still gets it all',
    async (_, fields) => {
      const flood = new Flood();
      const act: Act = (call) => {
        call.response.writeHead(200, fields as Record<string, string>);
        // A stream's bytes are held until the first token.
        if ('content-type' in fields) call.response.write(chatEvent('first'));
        return flood.act(call);
      };
      await run({ scripts: [act] }, async ({ client, router }) => {
        const call = client.begin(chatPath, { body: chat('hello', { stream: true }) });
        await eventually(() => call.received.byteLength > 0, 'the beginning');
        call.pause();
        await untilStill(() => flood.written);
        // What the kernel holds for both connections, and no more.
        expect(flood.written).toBeLessThan((pieces / 2) * megabyte);
        // One client that is slow holds up nobody else.
        expect((await client.get('/health')).status).toBe(200);
        call.resume();
        const answer = await call.answer;
        expect(answer.complete).toBe(true);
        const begin = 'content-type' in fields ? Buffer.byteLength(chatEvent('first')) : 0;
        const hash = createHash('sha256').update(answer.body.subarray(begin)).digest('hex');
        expect(hash).toBe(Flood.sha256());
        await endingsBecome(router, { completed: 1 });
      });
    },
  );

  it('a client that leaves a stream it does not read frees the engine', async () => {
    const flood = new Flood();
    let closed = false;
    const act: Act = (call) => {
      call.response.on('close', () => {
        closed = true;
      });
      beginStream(call);
      call.response.write(chatEvent('first'));
      return flood.act(call);
    };
    await run({ scripts: [act] }, async ({ client, router }) => {
      const call = client.begin(chatPath, { body: chat('hello', { stream: true }) });
      await call.untilReceived('first');
      call.pause();
      await untilStill(() => flood.written);
      call.abort();
      await eventually(() => closed, 'the engine to be left');
      await endingsBecome(router, { clientGone: 1 });
    });
  });
});
