import { expect, test } from 'vitest';
import { errorOf, type HttpClient } from '../support/e2e-client.ts';
import { beginStream, chatEvent, doneEvent, type EngineCall } from '../support/e2e-engine.ts';
import { chat, chatPath, withRouter } from '../support/router.ts';

/** What the router learns of its instances while requests go through it. */

const timeScale = 4;
/** Of the preset `paper-7b`, which knows no other term. */
const trueMsPerToken = 0.16 / timeScale;

async function gauge(client: HttpClient, name: string, labels: string): Promise<number> {
  const text = (await client.get('/metrics')).body.toString();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name}{${labels}}`));
  return Number(line?.split(' ')[1]);
}

test.each([0.1, 10])('a stated speed %f times the true one is corrected', async (factor) => {
  const config = {
    estimate: 'fitted',
    prefillUsPerToken: trueMsPerToken * 1_000 * factor,
  } as const;
  const setup = { engines: 1, engineOptions: { timeScale }, config };
  await withRouter(setup, async ({ client, router, urls }) => {
    const textOf = (count: number) => `${count} `.repeat(500 + 900 * (count % 7));
    const ask = (count: number) => client.post(chatPath, chat(textOf(count), { stream: true }));
    // In threes, so that there are tokens ahead as well.
    for (let count = 0; count < 45; count += 3) {
      await Promise.all([ask(count), ask(count + 1), ask(count + 2)]);
    }
    // Alone, and timed here as well: on a busy machine an engine is late, and so is the truth.
    const alone: { tokens: number; ttftMs: number }[] = [];
    for (let count = 100; count < 115; count += 1) {
      const { firstByteMs } = await ask(count);
      alone.push({ tokens: textOf(count).length / 4, ttftMs: firstByteMs! });
    }
    const estimate = (tokens: number) => {
      const { baseMs, perTokenMs, perTokenContextMs } = router.state.speed(0);
      return baseMs + perTokenMs * tokens + (perTokenContextMs * tokens * tokens) / 2;
    };
    const typicalOff = () => {
      const off = alone.map(({ tokens, ttftMs }) => Math.abs(estimate(tokens) / ttftMs - 1));
      return off.sort((left, right) => left - right)[7]!;
    };
    await expect.poll(typicalOff, { timeout: 8_000 }).toBeLessThan(0.25);
    const instance = `instance="${urls[0]}"`;
    const perToken = await gauge(client, 'dualmap_instance_ttft_per_token_seconds', instance);
    expect(perToken).toBeCloseTo(router.state.speed(0).perTokenMs / 1_000, 9);
    const error = await gauge(client, 'dualmap_instance_ttft_estimate_error_seconds', instance);
    const bias = await gauge(client, 'dualmap_instance_ttft_estimate_bias_seconds', instance);
    expect(error).toBeGreaterThan(0);
    expect(Math.abs(bias)).toBeLessThanOrEqual(error);
    expect(Math.sign(bias)).toBe(Math.sign(factor - 1));
  });
});

test('the published rule keeps the stated speed, and its error is known all the same', async () => {
  const setup = {
    engines: 1,
    engineOptions: { timeScale: 20 },
    config: { policy: 'dualmap-paper' },
  };
  await withRouter(setup as object, async ({ client, router, urls }) => {
    for (let count = 0; count < 20; count += 1) {
      await client.post(chatPath, chat(`${count} `.repeat(800), { stream: true }));
    }
    const error = () =>
      gauge(client, 'dualmap_instance_ttft_estimate_error_seconds', `instance="${urls[0]}"`);
    await expect.poll(error, { timeout: 8_000 }).toBeGreaterThan(0);
    const published = { baseMs: 0, perTokenMs: 0.16, perTokenContextMs: 0, perRunningMs: 0 };
    expect(router.state.speed(0)).toEqual(published);
  });
});

/** An engine whose tokens are two bytes long. */
function shortTokens(call: EngineCall): void {
  const { messages } = JSON.parse(call.body.toString()) as { messages: { content: string }[] };
  const usage = { prompt_tokens: messages[0]!.content.length / 2, completion_tokens: 1 };
  beginStream(call);
  const last = `data: ${JSON.stringify({ choices: [], usage })}\n\n`;
  call.response.end(chatEvent('a') + last + doneEvent);
}

test('the length of a token is learnt from what the engine reports', async () => {
  const config = { explain: true };
  await withRouter({ scripts: [shortTokens], config }, async ({ client }) => {
    const body = (text: string) => chat(text, { stream: true, model: 'scripted' });
    const learnt = () => gauge(client, 'dualmap_model_bytes_per_token', 'model="scripted"');
    expect(await learnt()).toBe(4);
    for (let count = 0; count < 12; count += 1) {
      await client.post(chatPath, body(`${count} `.repeat(2_000)));
    }
    await expect.poll(learnt, { timeout: 5_000 }).toBeLessThan(2.1);
    expect(await learnt()).toBeGreaterThan(1.9);
    // A prompt that is held is counted in those tokens, too.
    const repeated = body('again '.repeat(1_000));
    await client.post(chatPath, repeated);
    const { headers } = await client.post(chatPath, repeated);
    expect(Number(headers['x-dualmap-cached-tokens'])).toBeGreaterThan(2_500);
  });
});

test('an objective that is none is refused by the name of its field', async () => {
  await withRouter({ engines: 1 }, async ({ client, engines }) => {
    const ask = (headers: Record<string, string>) => client.post(chatPath, chat('hello'), headers);
    const refused = await ask({ 'x-llm-d-slo-ttft-ms': 'soon' });
    expect(refused.status).toBe(400);
    expect(errorOf(refused)).toMatchObject({
      code: 'invalid_header',
      param: 'x-llm-d-slo-ttft-ms',
    });
    expect(engines[0]!.stats().received).toBe(0);
    expect((await ask({ 'x-slo-ttft-ms': '250', 'x-smg-priority': 'bulk' })).status).toBe(200);
  });
});
