import { describe, expect, test } from 'vitest';
import type { EngineOptions } from '../../src/emulate/presets.ts';
import { type EmulatedEngine, startEngine } from '../../src/emulate/server.ts';
import { errorOf, eventsOf, type HttpAnswer, isWholeStream } from '../support/e2e-client.ts';
import {
  answerChat,
  beginStream,
  chatEvent,
  doneEvent,
  ScriptedEngine,
} from '../support/e2e-engine.ts';
import { eventually } from '../support/listen-client.ts';
import { frontEnds } from '../support/listen-server.ts';
import { expectNoneLost, more, underLoad } from '../support/load.ts';
import {
  chat,
  chatPath,
  countersAreZero,
  endingsBecome,
  type RouterUnderTest,
  withRouter,
} from '../support/router.ts';

/** `/workers` on a live router: instances join, are weighed anew, drain, leave and come back. */

interface Listed {
  readonly id: string;
  readonly url: string;
  readonly state: string;
  readonly weight: number;
  readonly ring_weight: number;
  readonly load: Readonly<Record<string, number>>;
}

type Client = RouterUnderTest['client'];

const json = <T>({ body }: HttpAnswer) => JSON.parse(body.toString()) as T;

async function list(client: Client): Promise<readonly Listed[]> {
  return json<{ workers: Listed[] }>(await client.get('/workers')).workers;
}

async function join(client: Client, fields: object, status = 201): Promise<Listed> {
  const answer = await client.post('/workers', fields);
  expect([answer.status, answer.body.toString()]).toEqual([status, expect.any(String)]);
  return json<Listed>(answer);
}

async function leave(client: Client, id: string): Promise<void> {
  const { status } = await client.begin(`/workers/${id}`, { method: 'DELETE' }).answer;
  expect(status).toBe(202);
}

async function becomes(client: Client, url: string, state: string | null): Promise<void> {
  const stateNow = async () => (await list(client)).find((one) => one.url === url)?.state ?? null;
  await expect.poll(stateNow, { timeout: 10_000, interval: 10 }).toBe(state);
}

const idOf = async (client: Client, url: string) =>
  (await list(client)).find((one) => one.url === url)!.id;

const quick: EngineOptions = { preset: 'paper-7b', timeScale: 50 };

async function withEngine(
  options: EngineOptions,
  body: (engine: EmulatedEngine) => Promise<void>,
): Promise<void> {
  const engine = await startEngine(options);
  try {
    await body(engine);
  } finally {
    await engine.close();
  }
}

let questions = 0;

/** One after the other on an idle fleet, each with a prefix of its own. */
async function askDifferently({ client }: RouterUnderTest, count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) {
    questions += 1;
    const { status } = await client.post(chatPath, chat(`${questions}: ${'why? '.repeat(200)}`));
    expect(status).toBe(200);
  }
}

test('8 -> 9 -> 8 under load: no request is lost, and the ninth had its share', async () => {
  const config = { ioThreads: 2, warmUpMs: 400 };
  await withEngine(quick, async (ninth) => {
    await withRouter({ engines: 8, config }, async (parts) => {
      const { client, router, urls } = parts;
      const answers = await underLoad(parts, { concurrency: 16 }, async (load) => {
        await more(load, 50);
        const { id } = await join(client, { url: ninth.url });
        await becomes(client, ninth.url, 'serving');
        await eventually(() => ninth.stats().served > 5, 'traffic on the ninth');
        const whole = async () => (await list(client))[8]!.ring_weight;
        await expect.poll(whole, { timeout: 5_000, interval: 10 }).toBe(1);
        await leave(client, id);
        await becomes(client, ninth.url, null);
        const { received } = ninth.stats();
        // One of the first eight goes too, while the others are at work.
        await leave(client, await idOf(client, urls[3]!));
        await becomes(client, urls[3]!, null);
        await more(load, 50);
        expect(ninth.stats().received).toBe(received);
      });
      expectNoneLost(answers);
      for (const { status, complete } of answers) expect([status, complete]).toEqual([200, true]);
      expect(await list(client)).toHaveLength(7);
      await countersAreZero(router, 9);
    });
  });
}, 60_000);

test('a leaving instance finishes its stream, takes nothing new, and then is gone', async () => {
  const setup = { engines: 1, scripts: [answerChat] };
  await withRouter(setup, async (parts) => {
    const { client, router, scripted, urls } = parts;
    const [engine] = scripted;
    engine!.act = (call) => {
      beginStream(call);
      call.response.write(chatEvent('one'));
    };
    // Whatever names this model goes to the scripted engine.
    const body = chat('hello', { model: 'scripted', stream: true });
    const stream = client.begin(chatPath, { body });
    await stream.untilReceived('one');
    await leave(client, await idOf(client, urls[1]!));
    expect(router.state.state(1)).toBe('draining');
    await askDifferently(parts, 8);
    const lost = await client.post(chatPath, body);
    expect([lost.status, errorOf(lost).code]).toEqual([404, 'model_not_found']);
    expect(engine!.calls).toHaveLength(1);
    await becomes(client, urls[1]!, 'draining');
    engine!.calls[0]!.response.end(chatEvent('two') + doneEvent);
    const answer = await stream.answer;
    expect([isWholeStream(answer), eventsOf(answer.body).length]).toEqual([true, 3]);
    await becomes(client, urls[1]!, null);
    expect(router.state.state(1)).toBe('free');
  });
});

test('one that drains too long loses its streams, and what waits goes to others', async () => {
  const config = { drainTimeoutMs: 300 };
  await withRouter({ scripts: [beginStream, beginStream], config }, async (parts) => {
    const { client, router, scripted, urls } = parts;
    const say = (turn: number) => chat(`question ${turn}`, { stream: true });
    const calls = [0, 1, 2, 3, 4, 5, 6, 7].map((turn) =>
      client.begin(chatPath, { body: say(turn) }),
    );
    const callsOf = (index: number) => scripted[index]!.calls;
    await eventually(() => callsOf(0).length + callsOf(1).length === 8, 'all calls');
    const index = callsOf(0).length > callsOf(1).length ? 0 : 1;
    const [streaming, ...waiting] = [...callsOf(index)];
    streaming!.response.write(chatEvent('one'));
    await eventually(() => router.state.load(index, 'decoding').requests === 1, 'a first token');
    for (const engine of scripted) engine.act = answerChat;
    await leave(client, await idOf(client, urls[index]!));
    await becomes(client, urls[index]!, null);
    for (const { response } of callsOf(1 - index).slice(0, 8 - 1 - waiting.length)) {
      response.end(chatEvent('one') + doneEvent);
    }
    const answers = await Promise.all(calls.map((call) => call.answer));
    const broken = answers.filter((answer) => !isWholeStream(answer));
    expect(broken).toHaveLength(1);
    expect(eventsOf(broken[0]!.body).at(-1)).toContain('upstream_failed');
    expect(waiting.length).toBeGreaterThan(0);
    await endingsBecome(router, { completed: 7, failedAfterFirstToken: 1 });
  });
});

test('the weight of a running instance is changed by posting it again', async () => {
  await withRouter({ engines: 2 }, async (parts) => {
    const { client, engines, urls } = parts;
    const received = () => engines[0]!.stats().received;
    await askDifferently(parts, 40);
    const before = received();
    expect(before).toBeGreaterThan(8);
    expect(await join(client, { url: urls[0], weight: 0.02 }, 200)).toMatchObject({ weight: 0.02 });
    await askDifferently(parts, 40);
    expect(received() - before).toBeLessThan(before / 2);
    const { state, weight } = (await list(client))[0]!;
    expect([state, weight]).toEqual(['serving', 0.02]);
  });
});

test('a slot serves again after its instance has left, for another one', async () => {
  await withEngine(quick, async (third) => {
    await withRouter({ engines: 2, config: { instancesMax: 2, warmUpMs: 0 } }, async (parts) => {
      const { client, router, urls } = parts;
      await askDifferently(parts, 10);
      const full = await client.post('/workers', { url: third.url });
      expect([full.status, errorOf(full).code]).toEqual([409, 'fleet_full']);
      const generation = router.state.generation(1);
      await leave(client, await idOf(client, urls[1]!));
      await becomes(client, urls[1]!, null);
      await join(client, { url: third.url });
      await becomes(client, third.url, 'serving');
      expect(router.state.generation(1)).toBe(generation + 1);
      expect(router.state.total(1, 'requestsTotal')).toBe(0);
      await eventually(() => router.state.state(1) === 'serving', 'the slot');
      await askDifferently(parts, 20);
      expect(third.stats().served).toBeGreaterThan(0);
      expect(router.state.total(1, 'requestsTotal')).toBe(third.stats().received);
    });
  });
});

test('an engine restarted under the same URL comes back, with an empty cache', async () => {
  const config = { explain: true, warmUpMs: 0, healthFailureThreshold: 1 };
  await withRouter({ urls: ['http://127.0.0.1:9'], config }, async ({ client }) => {
    const engine = await startEngine(quick);
    const { id } = await join(client, { url: engine.url });
    await becomes(client, engine.url, 'serving');
    const question = chat('why? '.repeat(1_000));
    const cached = ({ headers }: HttpAnswer) => Number(headers['x-dualmap-cached-tokens']);
    await client.post(chatPath, question);
    expect(cached(await client.post(chatPath, question))).toBeGreaterThan(0);
    // Left, restarted, back.
    await leave(client, id);
    await becomes(client, engine.url, null);
    await engine.close();
    await withEngine({ ...quick, port: engine.port }, async () => {
      expect(await join(client, { url: engine.url })).toMatchObject({ id });
      await becomes(client, engine.url, 'serving');
      expect(cached(await client.post(chatPath, question))).toBe(0);
    });
    // Died, and restarted without a word.
    await becomes(client, engine.url, 'dead');
    await withEngine({ ...quick, port: engine.port }, async () => {
      await becomes(client, engine.url, 'serving');
      expect(cached(await client.post(chatPath, question))).toBe(0);
    });
  });
});

test('one that does not answer joins when it does', async () => {
  const late = await ScriptedEngine.start(answerChat);
  late.isHealthy = false;
  try {
    await withRouter({ engines: 1, config: { warmUpMs: 0 } }, async ({ client }) => {
      expect((await join(client, { url: late.url })).state).toBe('joining');
      const model = { model: 'scripted' };
      expect((await client.post(chatPath, chat('hello', model))).status).toBe(404);
      late.isHealthy = true;
      await becomes(client, late.url, 'serving');
      expect((await client.post(chatPath, chat('hello', model))).status).toBe(200);
    });
  } finally {
    await late.close();
  }
});

describe.each(frontEnds)('behind the front end $name', ({ name, missing }) => {
  const it = test.skipIf(missing !== null);

  it('refusals are OpenAI errors that say what is wrong', async () => {
    await withRouter({ engines: 1, config: { frontEnd: name } }, async ({ client, urls }) => {
      const send = async (method: string, path: string, body?: string) => {
        const answer = await client.begin(path, body === undefined ? { method } : { method, body })
          .answer;
        return [answer.status, errorOf(answer).code, errorOf(answer).param];
      };
      const post = (body: string) => send('POST', '/workers', body);
      expect(await post('{"url"')).toEqual([400, 'invalid_json', null]);
      expect(await post('{"weight":1}')).toEqual([400, 'invalid_type', 'url']);
      expect(await post('{"url":"ftp://a"}')).toEqual([400, 'invalid_value', 'url']);
      const heavy = `{"url":"${urls[0]}","weight":101}`;
      expect(await post(heavy)).toEqual([400, 'invalid_value', 'weight']);
      expect(await post(`{"url":"${'x'.repeat(70_000)}"}`)).toEqual([413, 'body_too_large', null]);
      expect(await send('DELETE', '/workers/0')).toEqual([404, 'unknown_instance', null]);
      expect(await send('GET', '/workers/0')).toEqual([404, 'unknown_instance', null]);
      expect(await send('DELETE', '/workers')).toEqual([405, 'method_not_allowed', null]);
      expect(await send('POST', '/workers/0', '{}')).toEqual([405, 'method_not_allowed', null]);
      expect(await send('GET', '/workers/0/1')).toEqual([404, 'unknown_route', null]);
      expect((await list(client)).map(({ url }) => url)).toEqual(urls);
    });
  });

  it('is closed to whoever lacks the key', async () => {
    const config = { frontEnd: name, apiKey: 'secret' };
    await withRouter({ engines: 1, config }, async ({ client, urls, router }) => {
      const authorized = { authorization: 'Bearer secret' };
      const { body } = await client.begin('/workers', { headers: authorized }).answer;
      const [{ id }] = (JSON.parse(body.toString()) as { workers: [Listed] }).workers;
      for (const headers of [{}, { authorization: 'Bearer wrong!' }]) {
        const answers = [
          await client.begin('/workers', { headers }).answer,
          await client.post('/workers', { url: 'http://127.0.0.1:9' }, headers),
          await client.begin(`/workers/${id}`, { method: 'DELETE', headers }).answer,
        ];
        for (const answer of answers) {
          expect([answer.status, errorOf(answer).code]).toEqual([401, 'unauthorized']);
        }
      }
      expect(router.state.state(0)).toBe('serving');
      const again = await client.post('/workers', { url: urls[0] }, authorized);
      expect(again.status).toBe(200);
    });
  });
});
