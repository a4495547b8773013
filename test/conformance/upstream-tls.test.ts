import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSecureServer } from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { expectSeenInTime, Harness } from '../support/upstream-harness.ts';
import { implementations } from '../support/upstream-implementations.ts';
import { eventually } from '../support/upstream-recorder.ts';
import { tlsCertificate, tlsKey } from '../support/upstream-tls.ts';

/** The law of upstreams: TLS, with and without HTTP/2. */
describe.each(implementations.filter(({ speaksTls }) => speaksTls))('upstream $name', (one) => {
  const h = new Harness(one);
  const { record, request } = h;

  describe('TLS', () => {
    const key = tlsKey;
    const cert = tlsCertificate;

    const portOf = (one: Server): number => (one.address() as AddressInfo).port;

    async function listening(one: Server): Promise<Server> {
      await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
      return one;
    }

    /** Trusts the fake instance's own certificate, in this process, for as long as `body` runs. */
    async function trusting(body: () => Promise<void>): Promise<void> {
      process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
      try {
        await body();
      } finally {
        delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      }
    }

    test('a certificate that nobody vouches for is refused', async () => {
      const secure = await listening(createTlsServer({ key, cert }));
      const recorder = record();
      h.upstream.send(request({ origin: `https://127.0.0.1:${portOf(secure)}` }), recorder);
      await recorder.ended;
      expect(recorder.fault?.code).toBe('connect_failed');
      expect(recorder.fault?.message).toMatch(/self.signed/);
      await new Promise((resolve) => secure.close(resolve));
    });

    test.each(['http/1.1', 'h2'])('%s: answers, back-pressure, cancel', async (protocol) => {
      const closed: number[] = [];
      const paths: string[] = [];
      const serve = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
        paths.push(`${incoming.httpVersion} ${incoming.headers['x-a']} ${incoming.url}`);
        outgoing.on('close', () => closed.push(performance.now()));
        incoming.resume();
        incoming.on('end', () => {
          outgoing.setHeader('x-b', '1');
          if (incoming.url === '/big') outgoing.end(Buffer.alloc(8_000_000, 7));
          else if (incoming.url === '/endless') outgoing.write('abc');
          else outgoing.end('ok');
        });
      };
      const secure =
        protocol === 'h2'
          ? createSecureServer({ key, cert }, serve as never)
          : createHttpsServer({ key, cert }, serve);
      await listening(secure);
      const origin = `https://127.0.0.1:${portOf(secure)}`;
      await trusting(async () => {
        const small = record();
        h.upstream.send(request({ origin, headers: ['x-a', 'v'] }), small);
        await small.ended;
        expect([small.status, small.body.toString(), small.header('x-b')]).toEqual([
          200,
          'ok',
          '1',
        ]);
        expect(paths[0]).toBe(`${protocol === 'h2' ? '2.0' : '1.1'} v /v1/chat/completions`);
        const big = record();
        const bigCall = h.upstream.send(request({ origin, path: '/big' }), big);
        big.dataListener = () => {
          bigCall.pause();
          setImmediate(() => bigCall.resume());
        };
        await big.ended;
        expect(big.body.equals(Buffer.alloc(8_000_000, 7))).toBe(true);
        await expectSeenInTime(async () => {
          const endless = record();
          const call = h.upstream.send(request({ origin, path: '/endless' }), endless);
          await eventually(() => endless.bodyBytesSeen === 3, 'body');
          const before = closed.length;
          endless.cancelled = true;
          const startMs = performance.now();
          call.cancel();
          await eventually(() => closed.length > before, 'close');
          return closed.at(-1)! - startMs;
        });
      });
      await h.upstream.close();
      await new Promise((resolve) => secure.close(resolve));
    });
  });
});
