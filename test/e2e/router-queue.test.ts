import { describe, expect, test } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { errorOf, type HttpAnswer, type HttpCall, isWholeStream } from '../support/e2e-client.ts';
import { answerChat, type ScriptedEngine } from '../support/e2e-engine.ts';
import { eventually } from '../support/listen-client.ts';
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

/**
 * Requests that wait in the router. Engines are scripted: they take one request at a time, and hold
 * it until the test lets it go; so nothing here depends on how fast anything is.
 */

const oneAtATime: Partial<Config> = {
  queueMode: 'router',
  prefillWindowTokens: 1,
  explain: true,
};

const hold = () => undefined;

/** Lets go what the engine holds, and holds nothing from now on. */
function release(engine: ScriptedEngine): void {
  engine.act = answerChat;
  for (const call of engine.calls) if (!call.response.headersSent) answerChat(call);
}

const standing = ({ router, urls }: RouterUnderTest) =>
  urls.map((_url, slot) => router.state.standing(slot));

/** A stream: its room comes back with its first token, and not at an estimate. */
const begin = ({ client }: RouterUnderTest, content: string, headers = {}, more = {}) =>
  client.begin(chatPath, { body: chat(content, { stream: true, ...more }), headers });

/** A request that an engine holds; from now on that has no room. */
async function keepBusy(parts: RouterUnderTest, calls = 1): Promise<HttpCall> {
  const call = begin(parts, `busy ${calls}`);
  const held = () => parts.scripted.reduce((sum, engine) => sum + engine.calls.length, 0);
  await eventually(() => held() === calls, 'the engine to have it');
  return call;
}

/** A request that waits; it is in the queues when this returns. */
async function wait(parts: RouterUnderTest, content: string, headers = {}, more = {}) {
  const sum = () => standing(parts).reduce((total, one) => total + one, 0);
  const before = sum();
  const call = begin(parts, content, headers, more);
  await eventually(() => sum() > before, `${content} to wait`);
  return call;
}

function expectRefused(answer: HttpAnswer, status: number, code: string): void {
  expect([answer.status, errorOf(answer).code]).toEqual([status, code]);
  expect(answer.headers['retry-after']).toBe('1');
}

const field = ({ headers }: HttpAnswer, name: string) => String(headers[`x-dualmap-${name}`]);

describe.each(frontEnds)('behind the front end $name', ({ name, missing }) => {
  const it = test.skipIf(missing !== null);
  const run = (
    config: Partial<Config>,
    body: (parts: RouterUnderTest, engine: ScriptedEngine) => Promise<void>,
    setup: RouterSetup = {},
  ) =>
    withRouter(
      { scripts: [hold], ...setup, config: { ...oneAtATime, ...config, frontEnd: name } },
      (parts) => body(parts, parts.scripted[0]!),
    );

  it('a full queue refuses at once', async () => {
    await run({ queueSize: 2 }, async (parts, engine) => {
      const taken = [await keepBusy(parts), await wait(parts, 'one'), await wait(parts, 'two')];
      expectRefused(await begin(parts, 'three').answer, 429, 'queue_full');
      expect(engine.calls).toHaveLength(1);
      release(engine);
      for (const call of taken) expect(isWholeStream(await call.answer)).toBe(true);
      // There is room again, and nothing left that would take it.
      expect((await begin(parts, 'four').answer).status).toBe(200);
      await endingsBecome(parts.router, { completed: 4, shed: 1 });
    });
  });

  it('who has waited too long is told so, and the engine is not', async () => {
    await run({ queueTimeoutMs: 100 }, async (parts, engine) => {
      const busy = await keepBusy(parts);
      const startMs = performance.now();
      const waiting = await wait(parts, 'waits');
      expectRefused(await waiting.answer, 504, 'queue_timeout');
      expect(performance.now() - startMs).toBeGreaterThan(95);
      expect(standing(parts)).toEqual([0]);
      release(engine);
      await busy.answer;
      expect(engine.calls).toHaveLength(1);
      await endingsBecome(parts.router, { completed: 1, deadline: 1 });
    });
  });

  it('what cannot be in time any more is shed before a byte is sent, if configured', async () => {
    await run({ policy: 'dualmap', latePolicy: 'shed' }, async (parts, engine) => {
      const busy = await keepBusy(parts);
      const patient = await wait(parts, 'patient', { 'x-slo-ttft-ms': '999999999999' });
      const shed = begin(parts, 'in a hurry', { 'x-slo-ttft-ms': '80' });
      expectRefused(await shed.answer, 429, 'shed');
      // Late as soon as it came.
      const hopeless = begin(parts, 'x'.repeat(40_000), { 'x-slo-ttft-ms': '80' });
      expectRefused(await hopeless.answer, 429, 'shed');
      expect(standing(parts)).toEqual([1]);
      release(engine);
      for (const call of [busy, patient]) expect(isWholeStream(await call.answer)).toBe(true);
      expect(engine.calls).toHaveLength(2);
      await endingsBecome(parts.router, { completed: 2, shed: 2 });
    });
  });

  it('a client that leaves is gone from every queue', async () => {
    const setup = { scripts: [hold, hold] };
    const config = { policy: 'dualmap' } as const;
    const leave = async (parts: RouterUnderTest) => {
      const busy = [await keepBusy(parts, 1), await keepBusy(parts, 2)];
      const leaving = await wait(parts, 'leaves');
      const staying = await wait(parts, 'stays');
      await eventually(() => String(standing(parts)) === '2,2', 'both in both queues');
      leaving.abort();
      await eventually(() => String(standing(parts)) === '1,1', 'it to be gone');
      await endingsBecome(parts.router, { clientGone: 1 });
      for (const engine of parts.scripted) release(engine);
      for (const call of [...busy, staying]) expect((await call.answer).status).toBe(200);
      const bodies = parts.scripted.flatMap(({ calls }) => calls.map(({ body }) => String(body)));
      expect(bodies.some((body) => body.includes('leaves'))).toBe(false);
      const metrics = String((await parts.client.get('/metrics')).body);
      const queued = metrics.match(/^dualmap_instance_queued_requests\{.*\} \d+$/gm)!;
      expect(queued.map((line) => line.split(' ').at(-1))).toEqual(['0', '0']);
    };
    await run(config, leave, setup);
  });
});

/** The order in which one engine gets what waits for it. */
async function orderOf(parts: RouterUnderTest, names: readonly string[]): Promise<string[]> {
  const [engine] = parts.scripted;
  for (let count = 1; count <= names.length; count += 1) {
    answerChat(engine!.calls[count - 1]!);
    await eventually(() => engine!.calls.length > count, 'the next one');
    expect(engine!.calls).toHaveLength(count + 1);
  }
  answerChat(engine!.calls.at(-1)!);
  const bodies = engine!.calls.slice(1).map(({ body }) => String(body));
  return bodies.map((body) => names.find((name) => body.includes(name))!);
}

test('the more important one goes first, whoever says so', async () => {
  await withRouter({ scripts: [hold], config: oneAtATime }, async (parts) => {
    const calls = [
      await keepBusy(parts),
      await wait(parts, 'default'),
      await wait(parts, 'behind', { 'x-smg-priority': 'bulk' }),
      await wait(parts, 'urgent', { 'x-smg-priority': 'system' }),
      await wait(parts, 'by its body', {}, { priority: -1 }),
    ];
    const order = await orderOf(parts, ['default', 'behind', 'urgent', 'by its body']);
    expect(order).toEqual(['urgent', 'by its body', 'default', 'behind']);
    for (const call of calls) expect((await call.answer).status).toBe(200);
  });
});

test.each([
  ['deadline', 'auto', ['cheap', 'dear']],
  ['fcfs', 'fcfs', ['dear', 'cheap']],
] as const)('order %s: the cheap one and the dear one', async (_name, queueOrder, expected) => {
  const config = { ...oneAtATime, policy: 'dualmap', queueOrder } as const;
  await withRouter({ scripts: [hold], config }, async (parts) => {
    const calls = [
      await keepBusy(parts),
      await wait(parts, `dear ${'x'.repeat(20_000)}`),
      await wait(parts, 'cheap'),
    ];
    expect(await orderOf(parts, ['cheap', 'dear'])).toEqual(expected);
    for (const call of calls) expect((await call.answer).status).toBe(200);
  });
});

test('what one I/O thread gives back wakes those that wait on the other', async () => {
  const config = { ...oneAtATime, ioThreads: 2 };
  await withRouter({ scripts: [hold], config }, async (parts) => {
    const { router, scripted } = parts;
    const busy = await keepBusy(parts);
    const calls = Array.from({ length: 24 }, (_, index) => begin(parts, `waits ${index}`));
    await eventually(() => standing(parts)[0] === 24, 'all of them to wait');
    const perThread = router.stats.map((stats) => stats.counter('requests'));
    expect(perThread.filter((count) => count > 1)).toHaveLength(2);
    release(scripted[0]!);
    for (const call of [busy, ...calls]) expect(isWholeStream(await call.answer)).toBe(true);
    await endingsBecome(router, { completed: 25 });
  });
});

test.each(['dualmap', 'dualmap-paper'] as const)(
  '%s: many of every kind through a narrow window, on two I/O threads',
  async (policy) => {
    const config = { ...oneAtATime, policy, ioThreads: 2 };
    await withRouter({ engines: 3, config }, async ({ client, router, urls }) => {
      const answers = await Promise.all(
        Array.from({ length: 240 }, (_, index) => {
          const content = `${index % 24} ${'context '.repeat(50 * (index % 12))} ${index}`;
          if (index % 6 === 0) return client.post('/v1/embeddings', { input: content });
          return client.post(chatPath, chat(content, { stream: index % 2 === 0 }));
        }),
      );
      for (const { status, complete } of answers) expect([status, complete]).toEqual([200, true]);
      const waited = answers.filter((answer) => Number(field(answer, 'queue-ms')) > 0);
      expect(waited.length).toBeGreaterThan(100);
      expect(Math.max(...answers.map(({ firstByteMs }) => firstByteMs!))).toBeLessThan(10_000);
      await endingsBecome(router, { completed: 240 });
      // Each engine had its share.
      for (const slot of urls.keys()) {
        expect(router.state.total(slot, 'requestsTotal')).toBeGreaterThan(24);
      }
    });
  },
);

test.each(['dualmap', 'dualmap-paper'] as const)(
  '%s: what waits for an instance that dies goes to the other one',
  async (policy) => {
    const config = { ...oneAtATime, policy };
    await withRouter({ scripts: [hold, hold], config }, async (parts) => {
      const { router, scripted, urls } = parts;
      const busy = [await keepBusy(parts, 1), await keepBusy(parts, 2)];
      const waiting = await wait(parts, 'waits');
      const dies = urls.findIndex((_url, slot) => router.state.load(slot, 'queued').requests > 0);
      scripted[dies]!.isHealthy = false;
      await eventually(() => router.state.state(dies) === 'dead', 'the health check to notice');
      release(scripted[1 - dies]!);
      const answer = await waiting.answer;
      expect(isWholeStream(answer)).toBe(true);
      expect(field(answer, 'instance')).toBe(urls[1 - dies]);
      expect(Number(field(answer, 'queue-ms'))).toBeGreaterThan(100);
      for (const call of busy) expect(isWholeStream(await call.answer)).toBe(true);
      expect(scripted[dies]!.calls).toHaveLength(1);
      await endingsBecome(router, { completed: 3 });
      expect(standing(parts)).toEqual([0, 0]);
    });
  },
);

test('an instance that is idle takes nothing of a model that it does not serve', async () => {
  const config = { ...oneAtATime, policy: 'dualmap' } as const;
  await withRouter({ scripts: [hold, hold], config }, async (parts) => {
    const { router, scripted } = parts;
    const [engine, other] = scripted as [ScriptedEngine, ScriptedEngine];
    other.models = ['another'];
    const listed = async () => String((await parts.client.get('/v1/models')).body);
    await expect.poll(listed, { timeout: 5_000 }).toContain('another');
    const ask = (content: string) => begin(parts, content, {}, { model: 'scripted' });
    const calls = [ask('busy')];
    await eventually(() => engine.calls.length === 1, 'the engine to have it');
    for (let count = 1; count <= 3; count += 1) calls.push(ask(`waits ${count}`));
    await eventually(() => router.state.standing(0) === 3, 'three to wait');
    // It has room, and had it again.
    const free = begin(parts, 'free', {}, { model: 'another' });
    await eventually(() => other.calls.length === 1, 'the other engine to have it');
    release(other);
    expect(isWholeStream(await free.answer)).toBe(true);
    release(engine);
    for (const call of calls) expect(isWholeStream(await call.answer)).toBe(true);
    expect([engine.calls.length, other.calls.length]).toEqual([4, 1]);
    await endingsBecome(router, { completed: 5 });
  });
});

test('a claim by the colder instance is told of, and counted', async () => {
  const config = { ...oneAtATime, policy: 'dualmap' } as const;
  await withRouter({ scripts: [answerChat, answerChat], config }, async (parts) => {
    const { client, router, scripted, urls } = parts;
    const prompt = chat('a long conversation '.repeat(1_000), { stream: true });
    const first = await client.post(chatPath, prompt);
    const warm = urls.indexOf(field(first, 'instance'));
    scripted[warm]!.act = hold;
    // Each of them may go to the other, which answers.
    let tries = 0;
    const held: HttpCall[] = [];
    while (scripted[warm]!.calls.length < 2) {
      const before = scripted[1 - warm]!.calls.length;
      held.push(begin(parts, `${tries} ${'x'.repeat(300_000)}`));
      tries += 1;
      const came = () =>
        scripted[warm]!.calls.length === 2 || scripted[1 - warm]!.calls.length > before;
      await eventually(came, 'one of them to have it');
      if (scripted[warm]!.calls.length < 2) await held.at(-1)!.answer;
    }
    const second = await client.post(chatPath, prompt);
    expect(field(second, 'instance')).toBe(urls[1 - warm]);
    expect(field(second, 'reason')).toBe('cold_claim');
    expect(router.state.total(1 - warm, 'coldClaimsTotal')).toBe(1);
    release(scripted[warm]!);
    for (const call of held) expect((await call.answer).status).toBe(200);
  });
});

test('a request that was claimed and then failed is sent to the other candidate', async () => {
  const config = { ...oneAtATime, policy: 'dualmap' } as const;
  await withRouter({ scripts: [hold, hold], config }, async (parts) => {
    const { router, scripted } = parts;
    const [engine, other] = scripted as [ScriptedEngine, ScriptedEngine];
    const busy = [await keepBusy(parts, 1), await keepBusy(parts, 2)];
    const waiting = await wait(parts, 'fails first');
    const [call] = engine.calls;
    engine.act = ({ response }) => void response.destroy();
    answerChat(call!);
    await eventually(() => other.calls.length === 2, 'the other one to have it');
    expect(String(engine.calls[1]!.body)).toBe(String(other.calls[1]!.body));
    release(other);
    const answer = await waiting.answer;
    expect(isWholeStream(answer)).toBe(true);
    expect(field(answer, 'reason')).toBe('retry_other');
    for (const one of busy) expect(isWholeStream(await one.answer)).toBe(true);
    expect(retriesOf(router)).toBe(1);
    await endingsBecome(router, { completed: 3 });
  });
});
