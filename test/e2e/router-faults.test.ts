import { describe, expect, test } from 'vitest';
import type { Switches } from '../../src/emulate/switches.ts';
import { errorOf, eventsOf, isWholeStream } from '../support/e2e-client.ts';
import { eventually } from '../support/listen-client.ts';
import { frontEnds } from '../support/listen-server.ts';
import { expectNoneLost, more, underLoad } from '../support/load.ts';
import {
  chat,
  chatPath,
  endingsBecome,
  endingsOf,
  type RouterSetup,
  type RouterUnderTest,
  retriesOf,
  withRouter,
} from '../support/router.ts';

/**
 * An instance fails while requests come in. The promise: no request that had no first token is lost
 * while another instance serves.
 */

const faults: readonly (Partial<Switches> & { readonly name: string })[] = [
  { name: 'reset', reset: true },
  { name: 'garbage', garbage: true },
  { name: 'unavailable', unavailable: true },
  { name: 'reset before the first event', resetAfterEvents: 0 },
];

describe('under load', () => {
  test.each(faults)(
    'an instance that answers with $name loses nothing, and comes back',
    async ({ name: _name, ...fault }) => {
      // Back-off 50, 100, 200, 400, 800 ms: it grows, and yet the instance is soon found again.
      const config = { suspectBackoffMaxMs: 800, ioThreads: 2 };
      await withRouter({ engines: 3, config }, async (parts) => {
        const { engines, router } = parts;
        const broken = engines[0]!;
        const concurrency = 8;
        const unary = fault.resetAfterEvents === undefined;
        const answers = await underLoad(parts, { concurrency, unary }, async () => {
          await eventually(() => broken.stats().received > 0, 'traffic on every instance');
          broken.setSwitches(fault);
          const before = broken.stats().received;
          const failures = () => router.state.failures(0);
          await eventually(() => failures() >= 4, 'trials that fail');
          // It fails faster than the others answer, and yet it does not swallow the traffic: only
          // what was on its way when it began to fail, then one trial for each time of back-off.
          const took = broken.stats().received - before;
          expect(took).toBeLessThanOrEqual(concurrency + 2 * failures());
          expect(router.state.total(0, 'failuresTotal')).toBeGreaterThanOrEqual(4);

          broken.setSwitches(Object.fromEntries(Object.keys(fault).map((key) => [key, off(key)])));
          const { served } = broken.stats();
          await eventually(() => broken.stats().served >= served + 20, 'traffic again', 15_000);
          expect(failures()).toBe(0);
        });
        expectNoneLost(answers);
        for (const { status, complete } of answers) expect([status, complete]).toEqual([200, true]);
        await eventually(() => endingsOf(router).completed === answers.length, 'every ending');
        expect(retriesOf(router)).toBeGreaterThan(0);
      });
    },
  );

  test('an instance killed under load loses nothing that had no first token', async () => {
    await withRouter({ engines: 3, engineOptions: { timeScale: 10 } }, async (parts) => {
      const { engines, router } = parts;
      const answers = await underLoad(parts, { concurrency: 12 }, async (load) => {
        const victim = engines[0]!;
        await eventually(() => victim.stats().running > 1, 'requests on the victim');
        await victim.close();
        await eventually(() => router.state.state(0) === 'dead', 'the health check to notice');
        await more(load, 24);
      });
      expectNoneLost(answers);
      expect(answers.filter(({ complete }) => complete).length).toBeGreaterThan(24);
      const broken = answers.filter(({ complete }) => !complete).length;
      await eventually(() => (endingsOf(router).failedAfterFirstToken ?? 0) === broken, 'endings');
      expect(endingsOf(router).failedBeforeFirstToken).toBeUndefined();
    });
  });

  test('an instance that hangs, health checks too, gives its requests to the others', async () => {
    const config = { healthCheckTimeoutMs: 500, ioThreads: 2 };
    await withRouter({ engines: 3, config }, async (parts) => {
      const { engines, router } = parts;
      const answers = await underLoad(parts, { concurrency: 12 }, async (load) => {
        await more(load, 12);
        engines[1]!.setSwitches({ hang: true });
        await eventually(() => router.state.state(1) === 'dead', 'the health check to notice');
        await more(load, 24);
        const { received } = engines[1]!.stats();
        await more(load, 24);
        expect(engines[1]!.stats().received).toBe(received);
        engines[1]!.setSwitches({ hang: false });
        await eventually(() => engines[1]!.stats().received > received + 5, 'traffic again');
      });
      expectNoneLost(answers);
      expect(retriesOf(router)).toBeGreaterThan(0);
      await endingsBecome(router, { completed: answers.length });
    });
  });

  test('an instance that refuses connections from the start is not waited for', async () => {
    const urls = ['http://127.0.0.1:9'];
    await withRouter({ engines: 2, urls }, async (parts) => {
      const answers = await underLoad(parts, { concurrency: 4 }, (load) => more(load, 40));
      for (const { status, complete } of answers) expect([status, complete]).toEqual([200, true]);
      expect(parts.router.state.state(2)).toBe('joining');
      expect(parts.router.state.total(2, 'requestsTotal')).toBe(0);
    });
  });

  test('an engine that closes its connections between requests costs no request', async () => {
    const setup = { engines: 1, engineOptions: { switches: { closeKeepAlive: true } } };
    await withRouter(setup, async (parts) => {
      const answers = await underLoad(parts, { concurrency: 4 }, (load) => more(load, 60));
      for (const answer of answers) {
        expect([answer.status, answer.complete]).toEqual([200, true]);
      }
      expect(answers.filter(isWholeStream).length).toBeGreaterThan(20);
    });
  });
});

describe.each(frontEnds)('behind the front end $name', ({ name, missing }) => {
  const it = test.skipIf(missing !== null);
  const run = (setup: RouterSetup, body: (parts: RouterUnderTest) => Promise<void>) =>
    withRouter({ ...setup, config: { ...setup.config, frontEnd: name } }, body);

  it('502 only when every serving instance was tried, each once', async () => {
    await run({ engines: 4 }, async ({ client, engines, router }) => {
      for (const engine of engines) engine.setSwitches({ reset: true });
      const answer = await client.post(chatPath, chat('hello'));
      expect([answer.status, errorOf(answer).code]).toEqual([502, 'upstream_failed']);
      expect(errorOf(answer).type).toBe('server_error');
      expect(engines.map((engine) => engine.stats().received)).toEqual([1, 1, 1, 1]);
      expect(retriesOf(router)).toBe(3);
      await endingsBecome(router, { failedBeforeFirstToken: 1 });
      // All are suspect; one of them works again, and is tried whatever its back-off.
      engines[2]!.setSwitches({ reset: false });
      expect((await client.post(chatPath, chat('hello'))).status).toBe(200);
    });
  });

  it('503 with Retry-After when no instance serves', async () => {
    await run({ engines: 2 }, async ({ client, engines, router }) => {
      for (const engine of engines) engine.setSwitches({ refuseHealth: true });
      const states = () => [router.state.state(0), router.state.state(1)].join();
      await eventually(() => states() === 'dead,dead', 'both to be dead');
      const answer = await client.post(chatPath, chat('hello'));
      expect([answer.status, errorOf(answer).code]).toEqual([503, 'no_instance']);
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
      const passed = await client.begin('/tokenize', { body: { prompt: 'a' } }).answer;
      expect([passed.status, errorOf(passed).code]).toEqual([503, 'no_instance']);
      expect(endingsOf(router)).toEqual({});
      for (const engine of engines) engine.setSwitches({ refuseHealth: false });
      await eventually(() => states() === 'serving,serving', 'both to serve');
      expect((await client.post(chatPath, chat('hello'))).status).toBe(200);
    });
  });

  it('429 with Retry-After above the limit of requests in flight', async () => {
    const setup = { engines: 1, engineOptions: { timeScale: 0.01 } };
    await run({ ...setup, config: { requestsInFlightMax: 2 } }, async (parts) => {
      const { client, engines, router } = parts;
      const slow = [1, 2].map(() => client.begin(chatPath, { body: chat('hello '.repeat(500)) }));
      await eventually(() => engines[0]!.stats().received === 2, 'two in flight');
      const answer = await client.post(chatPath, chat('hello'));
      expect([answer.status, errorOf(answer).code]).toEqual([429, 'overloaded']);
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
      expect((await client.get('/health')).status).toBe(200);
      for (const call of slow) call.abort();
      await endingsBecome(router, { clientGone: 2, shed: 1 });
      expect(engines[0]!.stats().received).toBe(2);
    });
  });

  it('a 503 that no other instance mends is passed on, and the back-off grows', async () => {
    await run({ engines: 1, config: { suspectBackoffMs: 1 } }, async (parts) => {
      const { client, engines, router } = parts;
      engines[0]!.setSwitches({ unavailable: true });
      const deadlineMs = performance.now() + 5_000;
      while (router.state.failures(0) < 4) {
        const answer = await client.post(chatPath, chat('hello'));
        expect([answer.status, errorOf(answer).type]).toEqual([503, 'ServiceUnavailableError']);
        expect(performance.now()).toBeLessThan(deadlineMs);
      }
      engines[0]!.setSwitches({ unavailable: false });
      expect((await client.post(chatPath, chat('hello'))).status).toBe(200);
      await eventually(() => router.state.failures(0) === 0, 'an end of all suspicion');
      expect(retriesOf(router)).toBe(0);
    });
  });

  it('a stream that breaks after its first token ends in an error event, no retry', async () => {
    await run({ engines: 2 }, async ({ client, engines, router }) => {
      for (const engine of engines) engine.setSwitches({ resetAfterEvents: 3 });
      const body = chat('hello', { stream: true, max_tokens: 50 });
      const answer = await client.post(chatPath, body);
      expect([answer.status, answer.complete]).toEqual([200, false]);
      const events = eventsOf(answer.body);
      expect(events).toHaveLength(4);
      for (const event of events.slice(0, 3)) expect(event).toContain('"choices":[{');
      expect(JSON.parse(events[3]!).error).toMatchObject({
        type: 'server_error',
        code: 'upstream_failed',
      });
      await endingsBecome(router, { failedAfterFirstToken: 1 });
      expect(retriesOf(router)).toBe(0);
      expect(engines.reduce((sum, engine) => sum + engine.stats().received, 0)).toBe(1);
    });
  });

  it('no first token in time is 504, and the engine stops', async () => {
    const setup = { engines: 1, engineOptions: { timeScale: 0.01 } };
    const config = { firstTokenTimeoutMs: 300 };
    await run({ ...setup, config }, async ({ client, engines, router }) => {
      const answer = await client.post(chatPath, chat('hello '.repeat(500), { stream: true }));
      expect([answer.status, errorOf(answer).code]).toEqual([504, 'first_token_timeout']);
      await eventually(() => engines[0]!.stats().aborted === 1, 'the engine to stop');
      await endingsBecome(router, { deadline: 1 });
    });
  });
});

function off(key: string): false | null {
  return key === 'resetAfterEvents' ? null : false;
}
