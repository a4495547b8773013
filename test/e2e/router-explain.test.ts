import { describe, expect, test } from 'vitest';
import { policyNames } from '../../src/core/native.ts';
import { errorOf, type HttpAnswer, type HttpClient } from '../support/e2e-client.ts';
import {
  chat,
  chatPath,
  countersAreZero,
  endingsOf,
  reservations,
  withRouter,
} from '../support/router.ts';

/** `POST /debug/explain` tells what the next request would meet, and leaves no trace. */

const path = '/debug/explain';
const field = ({ headers }: HttpAnswer, name: string) => String(headers[`x-dualmap-${name}`]);

interface Candidate {
  readonly instance: string;
  readonly cached_tokens: number;
  readonly pending_tokens: number;
  readonly estimated_ttft_ms: number;
}

async function ask(client: HttpClient, body: object, query = '') {
  const answer = await client.post(path + query, body);
  expect(answer.status).toBe(200);
  return JSON.parse(answer.body.toString()) as {
    route: string;
    model: string;
    prompt: object;
    key: object;
    instance: string;
    reason: string;
    estimated_ttft_ms: number;
    candidates: Candidate[];
  };
}

const question = (index: number) => chat(`Question ${index}: ${'tell me more. '.repeat(100)}`);

describe.each(policyNames)('with %s', (policy) => {
  test('the next request is decided as it says', async () => {
    const config = { explain: true, policy };
    await withRouter({ engines: 4, engineOptions: { blockTokens: 128 }, config }, async (parts) => {
      for (let count = 0; count < 24; count += 1) {
        const body = question(count % 8);
        await countersAreZero(parts.router, parts.urls.length);
        const told = await ask(parts.client, body);
        expect(await ask(parts.client, body)).toEqual(told);
        const answer = await parts.client.post(chatPath, body);
        expect(told.instance).toBe(field(answer, 'instance'));
        expect(told.reason).toBe(field(answer, 'reason'));
        expect(told.candidates[0]!.instance).toBe(told.instance);
        expect(new Set(told.candidates.map(({ instance }) => instance))).toEqual(
          new Set(field(answer, 'candidates').split(', ')),
        );
        expect(String(told.candidates[0]!.cached_tokens)).toBe(field(answer, 'cached-tokens'));
        expect(told.estimated_ttft_ms.toFixed(1)).toBe(field(answer, 'estimated-ttft-ms'));
      }
    });
  });
});

test('nothing is reserved, counted or sent', async () => {
  await withRouter({ engines: 3, config: { explain: true } }, async (parts) => {
    const { client, engines, router, urls } = parts;
    const { candidates, ...told } = await ask(client, question(0));
    for (let count = 0; count < 300; count += 1) await ask(client, question(0));
    expect(reservations(router, urls.length)).toEqual([]);
    expect(endingsOf(router)).toEqual({});
    expect(engines.map((engine) => engine.stats().received)).toEqual([0, 0, 0]);
    for (const slot of urls.keys()) {
      expect(router.state.total(slot, 'requestsTotal')).toBe(0);
      expect(router.state.total(slot, 'promptTokensTotal')).toBe(0);
    }
    // Asked 300 times, sent never: neither hot nor cached.
    expect(candidates.map((candidate) => candidate.cached_tokens)).toEqual([0, 0]);
    expect(await ask(client, question(0))).toEqual({ ...told, candidates });
    expect(told).toMatchObject({ key: { level: 0 }, reason: 'equal_hit_less_loaded' });
  });
});

test('both candidates are told of, with what is pending there', async () => {
  const setup = { engines: 2, engineOptions: { timeScale: 1 } };
  await withRouter(setup, async ({ client, router }) => {
    const long = client.begin(chatPath, { body: chat('x'.repeat(400_000)) });
    await expect.poll(() => reservations(router, 2).length).toBe(2);
    const { candidates, prompt, key, model, route } = await ask(client, question(1));
    const busy = candidates.map(({ pending_tokens }) => pending_tokens).sort((a, b) => a - b);
    expect(busy).toEqual([0, 100_002]);
    // The idle one first.
    expect(candidates[0]).toMatchObject({
      state: 'serving',
      suspect: false,
      cached_tokens: 0,
      pending_tokens: 0,
      engine: null,
    });
    expect(candidates[1]!.estimated_ttft_ms).toBeGreaterThan(16_000);
    expect(candidates[1]).toMatchObject({ prefilling: { requests: 1, tokens: 100_002 } });
    expect(prompt).toEqual({ bytes: 1_422, tokens: 355, blocks: 2 });
    expect([model, route]).toEqual(['', 'chat']);
    expect(key).toEqual({ level: 0, hash: expect.stringMatching(/^0x[0-9a-f]{16}$/) });
    long.abort();
  });
});

test('the route is that of the query, or of what the body holds', async () => {
  await withRouter({ engines: 1 }, async ({ client }) => {
    const both = { model: 'emulated-7b', prompt: 'a prompt', messages: [] as object[] };
    expect(await ask(client, both)).toMatchObject({ route: 'completion', model: 'emulated-7b' });
    const messages = [{ role: 'user', content: 'a message' }];
    expect((await ask(client, { ...both, messages })).route).toBe('chat');
    expect((await ask(client, { ...both, messages }, '?route=completion')).route).toBe(
      'completion',
    );
    const refused = await client.post(`${path}?route=chat`, both);
    expect([refused.status, errorOf(refused).code]).toEqual([400, 'empty_prompt']);
  });
});

test('a body that could not be placed is answered as the request would be', async () => {
  await withRouter({ engines: 1, config: { apiKey: 'secret' } }, async ({ client }) => {
    const headers = { authorization: 'Bearer secret' };
    const cases: [string, number, string][] = [
      ['{', 400, 'invalid_json'],
      ['{"messages":7}', 400, 'invalid_type'],
      ['{}', 400, 'empty_prompt'],
      ['{"model":"absent","prompt":"x"}', 404, 'model_not_found'],
    ];
    for (const [body, status, code] of cases) {
      const answer = await client.begin(path, { body, headers }).answer;
      expect([body, answer.status, errorOf(answer).code]).toEqual([body, status, code]);
    }
    expect((await client.begin(path, { body: '{"prompt":"x"}', headers }).answer).status).toBe(200);
    const stranger = await client.begin(path, { body: '{"prompt":"x"}' }).answer;
    expect([stranger.status, errorOf(stranger).code]).toEqual([401, 'unauthorized']);
    expect((await client.get(path)).status).toBe(405);
  });
});
