import { createOpenAI } from '@ai-sdk/openai';
import { generateText, streamText } from 'ai';
import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from 'openai';
import { describe, expect, test } from 'vitest';
import { answerChat, sendJson } from '../support/e2e-engine.ts';
import { eventually } from '../support/listen-client.ts';
import { frontEnds } from '../support/listen-server.ts';
import {
  endingsBecome,
  type RouterSetup,
  type RouterUnderTest,
  withRouter,
} from '../support/router.ts';

/**
 * The clients that people have, unchanged, against the router: only the base URL is another one.
 */

const model = 'emulated-7b';
const messages = [{ role: 'user' as const, content: 'Why do two candidates balance so well?' }];

describe.each(frontEnds)('behind the front end $name', ({ name, missing }) => {
  const it = test.skipIf(missing !== null);
  const run = (setup: RouterSetup, body: (parts: Parts) => Promise<void>) =>
    withRouter({ ...setup, config: { ...setup.config, frontEnd: name } }, (parts) => {
      const baseURL = `${parts.router.url}/v1`;
      const openai = new OpenAI({ baseURL, apiKey: 'key-of-the-client', maxRetries: 0 });
      return body({ ...parts, openai, baseURL });
    });

  it('openai: chat, streamed and not', async () => {
    await run({ engines: 2 }, async ({ openai, engines }) => {
      const whole = await openai.chat.completions.create({ model, messages, max_tokens: 5 });
      expect(whole.choices[0]?.message.content).toBe(' token'.repeat(5));
      expect(whole.usage?.completion_tokens).toBe(5);

      const stream = await openai.chat.completions.create({
        model,
        messages,
        max_tokens: 5,
        stream: true,
        stream_options: { include_usage: true },
      });
      let text = '';
      let usage = null;
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? '';
        usage = chunk.usage ?? usage;
      }
      expect(text).toBe(' token'.repeat(5));
      expect(usage).toMatchObject({ completion_tokens: 5 });
      expect(engines.reduce((sum, engine) => sum + engine.stats().served, 0)).toBe(2);
    });
  });

  it('openai: completions, streamed and not, embeddings, models', async () => {
    await run({ engines: 2 }, async ({ openai }) => {
      const prompt = 'Once upon a time';
      const whole = await openai.completions.create({ model, prompt, max_tokens: 3 });
      expect(whole.choices[0]?.text).toBe(' token'.repeat(3));

      const stream = await openai.completions.create({
        model,
        prompt,
        max_tokens: 3,
        stream: true,
      });
      let text = '';
      for await (const chunk of stream) text += chunk.choices[0]?.text ?? '';
      expect(text).toBe(' token'.repeat(3));

      const { data } = await openai.embeddings.create({ model, input: ['one', 'two'] });
      expect(data.map(({ embedding }) => embedding.length)).toEqual([8, 8]);

      const models = await openai.models.list();
      expect(models.data.map(({ id }) => id)).toEqual([model]);
    });
  });

  it('openai: a stream that is aborted ends the work of the engine at once', async () => {
    const setup = { engines: 1, engineOptions: { timeScale: 1 } };
    await run(setup, async ({ openai, engines, router }) => {
      const controller = new AbortController();
      const stream = await openai.chat.completions.create(
        { model, messages, max_tokens: 10_000, stream: true },
        { signal: controller.signal },
      );
      let chunks = 0;
      let abortedAtMs = 0;
      for await (const _chunk of stream) {
        chunks += 1;
        if (chunks !== 3) continue;
        abortedAtMs = performance.now();
        controller.abort();
      }
      await eventually(() => engines[0]!.stats().aborted === 1, 'the engine to stop');
      // The budget is 50 ms; the rest is for a test machine that is busy with other tests.
      expect(performance.now() - abortedAtMs).toBeLessThan(200);
      await endingsBecome(router, { clientGone: 1 });
    });
  });

  it('openai: a request that is aborted in its prefill ends the work of the engine', async () => {
    const setup = { engines: 1, engineOptions: { timeScale: 0.01 } };
    await run(setup, async ({ openai, engines, router }) => {
      const controller = new AbortController();
      const answer = openai.chat.completions.create(
        { model, messages },
        { signal: controller.signal },
      );
      const failed = expect(answer).rejects.toThrow(/abort/i);
      await eventually(() => engines[0]!.stats().running === 1, 'the prefill');
      controller.abort();
      await failed;
      await eventually(() => engines[0]!.stats().aborted === 1, 'the engine to stop');
      await endingsBecome(router, { clientGone: 1 });
    });
  });

  it('openai: faults are the errors its users expect', async () => {
    await run({ engines: 1 }, async ({ openai }) => {
      const fault = (request: object) =>
        openai.chat.completions.create({ model, messages, ...request }).then(
          () => null,
          (error: unknown) => error,
        );
      const empty = await fault({ messages: [] });
      expect(empty).toBeInstanceOf(BadRequestError);
      expect(empty).toMatchObject({
        status: 400,
        code: 'empty_prompt',
        param: 'messages',
        type: 'invalid_request_error',
      });
      const unknown = await fault({ model: 'no-such-model' });
      expect(unknown).toBeInstanceOf(NotFoundError);
      expect(unknown).toMatchObject({ code: 'model_not_found', param: 'model' });
      expect((unknown as Error).message).toContain('no-such-model');
      // Refused by the engine: passed on as it says it.
      const engine = await fault({ max_tokens: -1 });
      expect(engine).toBeInstanceOf(BadRequestError);
      expect(engine).toMatchObject({ param: 'max_tokens', type: 'BadRequestError' });
    });
  });

  it('openai: a wrong API key is an authentication error', async () => {
    await run({ engines: 1, config: { apiKey: 'right' } }, async ({ openai, engines, router }) => {
      const request = openai.chat.completions.create({ model, messages });
      await expect(request).rejects.toBeInstanceOf(AuthenticationError);
      await expect(openai.models.list()).rejects.toBeInstanceOf(AuthenticationError);
      expect(engines[0]!.stats().received).toBe(0);
      const right = new OpenAI({ baseURL: `${router.url}/v1`, apiKey: 'right', maxRetries: 0 });
      await expect(right.chat.completions.create({ model, messages })).resolves.toBeTruthy();
    });
  });

  it('header fields go both ways, hop-by-hop fields do not', async () => {
    const scripts = [answerChat];
    await run({ scripts }, async ({ openai, scripted, client }) => {
      const headers = { 'x-request-id': 'turn-7', 'x-session-id': 'abc' };
      const { response } = await openai.chat.completions
        .create({ model: 'scripted', messages }, { headers })
        .withResponse();
      expect(response.headers.get('x-request-id')).toBe('turn-7');
      expect(scripted[0]!.calls[0]!.request.headers).toMatchObject({
        authorization: 'Bearer key-of-the-client',
        'x-request-id': 'turn-7',
        'x-session-id': 'abc',
      });

      scripted[0]!.act = ({ response: answer }) => {
        answer.setHeader('x-from-the-engine', 'yes');
        answer.setHeader('x-request-id', 'of the engine');
        sendJson(answer, 200, { choices: [] });
      };
      const body = { messages };
      const more = { connection: 'x-private, keep-alive', 'x-private': '1', te: 'trailers' };
      const answer = await client.post('/v1/chat/completions?beta=1', body, more);
      expect(answer.headers['x-from-the-engine']).toBe('yes');
      expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f]{18}-\d+$/);
      const { request, url } = scripted[0]!.calls[1]!;
      expect(url).toBe('/v1/chat/completions?beta=1');
      expect(request.headers['x-request-id']).toBe(answer.headers['x-request-id']);
      for (const field of ['x-private', 'te']) expect(request.headers).not.toHaveProperty(field);
    });
  });

  it('ai SDK: generateText and streamText', async () => {
    await run({ engines: 2 }, async ({ baseURL }) => {
      const chatModel = createOpenAI({ baseURL, apiKey: 'key' }).chat(model);
      const call = { model: chatModel, prompt: 'Say something.', maxOutputTokens: 6 };
      const whole = await generateText(call);
      expect(whole.text).toBe(' token'.repeat(6));
      expect(whole.usage.outputTokens).toBe(6);

      const stream = streamText(call);
      let text = '';
      for await (const part of stream.textStream) text += part;
      expect(text).toBe(' token'.repeat(6));
      expect(await stream.finishReason).toBe('length');
      expect((await stream.usage).outputTokens).toBe(6);
    });
  });
});

interface Parts extends RouterUnderTest {
  readonly openai: OpenAI;
  readonly baseURL: string;
}
