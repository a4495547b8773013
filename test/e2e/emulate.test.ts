import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import OpenAI from 'openai';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import type { EngineOptions } from '../../src/emulate/presets.ts';
import { type EmulatedEngine, startEngine } from '../../src/emulate/server.ts';

const engines: EmulatedEngine[] = [];
const sockets: Socket[] = [];

async function start(options: Partial<EngineOptions> = {}): Promise<EmulatedEngine> {
  const engine = await startEngine({ preset: 'paper-7b', timeScale: 100, ...options });
  engines.push(engine);
  return engine;
}

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});
afterAll(() => Promise.all(engines.map((engine) => engine.close())));

function post(engine: EmulatedEngine, path: string, body: object | string): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return fetch(engine.url + path, { method: 'POST', body: text });
}

/** A client on a bare socket; `text()` is all it has received. */
async function dial(engine: EmulatedEngine, path: string, body: object) {
  const socket = connect(engine.port, '127.0.0.1');
  sockets.push(socket);
  let received = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    received += chunk;
  });
  await once(socket, 'connect');
  const json = JSON.stringify(body);
  socket.write(
    `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`,
  );
  return { socket, text: () => received };
}

const eventually = (check: () => void): Promise<void> =>
  vi.waitFor(check, { timeout: 10_000, interval: 5 });

const chat = (content: string, more: object = {}) => ({
  model: 'emulated-7b',
  messages: [{ role: 'user', content }],
  ...more,
});

function eventsOf(text: string): string[] {
  return text.split('\n\n').filter((event) => event !== '');
}

// At time scale 1 the prefill of this takes 16 s: longer than a test.
const endless = 'x'.repeat(400_000);

describe('answers', () => {
  test('chat without a stream, and its usage', async () => {
    const engine = await start();
    const response = await post(engine, '/v1/chat/completions', chat('hello', { max_tokens: 3 }));
    expect(response.status).toBe(200);
    // <|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n: 56 bytes.
    expect(await response.json()).toMatchObject({
      object: 'chat.completion',
      model: 'emulated-7b',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: ' token token token' },
          finish_reason: 'length',
        },
      ],
      usage: {
        prompt_tokens: 14,
        completion_tokens: 3,
        total_tokens: 17,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    });
  });

  test('completion without a stream, default output', async () => {
    const engine = await start();
    const response = await post(engine, '/v1/completions', { prompt: 'x'.repeat(10) });
    expect(await response.json()).toMatchObject({
      object: 'text_completion',
      choices: [{ text: ' token'.repeat(16), finish_reason: 'length' }],
      usage: { prompt_tokens: 3, completion_tokens: 16, total_tokens: 19 },
    });
  });

  test('cached tokens: whole blocks of the same beginning, once prefilled', async () => {
    const engine = await start();
    const prefix = 'p'.repeat(2_048 * 3);
    const cached = async (prompt: string) => {
      const response = await post(engine, '/v1/completions', { prompt, max_tokens: 1 });
      const { usage } = (await response.json()) as OpenAI.Completion;
      return usage?.prompt_tokens_details?.cached_tokens;
    };
    expect(await cached(`${prefix}one`)).toBe(0);
    expect(await cached(`${prefix}other`)).toBe(3 * 512);
    expect(await cached(prefix)).toBe(2 * 512);
    expect(await cached(`q${prefix}`)).toBe(0);
    expect(engine.stats()).toMatchObject({ served: 4, cachedTokens: 5 * 512 });
  });

  test('the stream of a completion is one event a token, and its end', async () => {
    const engine = await start();
    const body = { prompt: 'hello', max_tokens: 4, stream: true };
    const response = await post(engine, '/v1/completions', body);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const events = eventsOf(await response.text());
    expect(events).toHaveLength(5);
    expect(events[4]).toBe('data: [DONE]');
    const chunks = events.slice(0, 4).map((event) => JSON.parse(event.slice(6)));
    expect(chunks.map((chunk) => chunk.choices[0].text)).toEqual(Array(4).fill(' token'));
    expect(chunks.map((chunk) => chunk.choices[0].finish_reason)).toEqual([
      null,
      null,
      null,
      'length',
    ]);
    expect(chunks.every((chunk) => !('usage' in chunk))).toBe(true);
  });

  test('include_usage adds a last chunk without choices', async () => {
    const engine = await start();
    const body = chat('hello', {
      max_tokens: 2,
      stream: true,
      stream_options: { include_usage: true },
    });
    const events = eventsOf(await (await post(engine, '/v1/chat/completions', body)).text());
    expect(events).toHaveLength(5);
    expect(JSON.parse(events[0]!.slice(6)).choices[0].delta).toEqual({
      role: 'assistant',
      content: '',
    });
    expect(JSON.parse(events[3]!.slice(6))).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 14, completion_tokens: 2, total_tokens: 16 },
    });
    expect(events[4]).toBe('data: [DONE]');
  });

  test('the openai client: stream, whole, embeddings, models, faults', async () => {
    const engine = await start();
    const client = new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: 'none', maxRetries: 0 });
    const messages = [{ role: 'user' as const, content: 'hello' }];
    const stream = await client.chat.completions.create({
      model: 'emulated-7b',
      messages,
      stream: true,
      max_completion_tokens: 5,
    });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe(' token'.repeat(5));

    const vectors = await client.embeddings.create({ model: 'emulated-7b', input: ['a', 'b'] });
    expect(vectors.data.map((item) => item.embedding.length)).toEqual([8, 8]);
    expect(vectors.data[0]?.embedding[0]).toBeCloseTo(Math.sin(2), 5);
    expect((await client.models.list()).data.map((model) => model.id)).toEqual(['emulated-7b']);
    await expect(client.chat.completions.create({ model: 'gpt-0', messages })).rejects.toThrow(
      OpenAI.NotFoundError,
    );
  });

  test('thousands of tokens a second', async () => {
    const engine = await start({ timeScale: 1_000 });
    const bodies = Array.from({ length: 20 }, (_, i) =>
      post(engine, '/v1/completions', { prompt: `${i}`, max_tokens: 500, stream: true }),
    );
    const texts = await Promise.all((await Promise.all(bodies)).map((answer) => answer.text()));
    for (const text of texts) expect(eventsOf(text)).toHaveLength(501);
  });
});

describe('the head', () => {
  test('comes at once, events only when prefill is done', async () => {
    const engine = await start({ timeScale: 1 });
    const body = { prompt: endless, stream: true };
    const { text } = await dial(engine, '/v1/completions', body);
    await eventually(() => expect(text()).toContain('\r\n\r\n'));
    expect(text()).toMatch(/^HTTP\/1\.1 200 OK\r\ncontent-type: text\/event-stream/);
    expect(text()).not.toContain('data:');
    expect(engine.stats()).toMatchObject({ running: 1, served: 0 });
  });

  test('without a stream it comes with the answer', async () => {
    const engine = await start({ timeScale: 1 });
    const { text } = await dial(engine, '/v1/completions', { prompt: 'x'.repeat(4_000) });
    await eventually(() => expect(engine.stats().running).toBe(1));
    expect(text()).toBe('');
    await eventually(() => expect(text()).toContain('"usage"'));
  });
});

describe('a client that goes away', () => {
  test.each([
    ['destroys', (socket: Socket) => socket.destroy()],
    ['resets', (socket: Socket) => socket.resetAndDestroy()],
    ['half-closes', (socket: Socket) => socket.end()],
  ])('frees its place in prefill and in the queue (%s)', async (_name, leave) => {
    const engine = await start({ timeScale: 1 });
    const running = await dial(engine, '/v1/completions', { prompt: endless, stream: true });
    await eventually(() => expect(engine.stats().running).toBe(1));
    const waiting = await dial(engine, '/v1/completions', { prompt: endless });
    await dial(engine, '/v1/completions', { prompt: 'short', stream: true, max_tokens: 1 });
    await eventually(() => expect(engine.stats().waiting).toBe(2));
    leave(waiting.socket);
    await eventually(() => expect(engine.stats()).toMatchObject({ waiting: 1, aborted: 1 }));
    leave(running.socket);
    await eventually(() =>
      expect(engine.stats()).toMatchObject({ waiting: 0, running: 0, aborted: 2, served: 1 }),
    );
  });

  test('frees its place while it decodes', async () => {
    const engine = await start({ timeScale: 10 });
    const body = { prompt: 'short', stream: true, max_tokens: 100_000 };
    const { socket, text } = await dial(engine, '/v1/completions', body);
    await eventually(() => expect(text()).toContain('data:'));
    socket.destroy();
    await eventually(() => expect(engine.stats()).toMatchObject({ running: 0, aborted: 1 }));
  });
});

describe('other routes', () => {
  test('metrics under vLLM names', async () => {
    const engine = await start({ timeScale: 1, model: 'a"b', cacheBlocksMax: 7 });
    const prompt = 'p'.repeat(2_048 + 4);
    for (let i = 0; i < 2; i++) {
      const answer = await post(engine, '/v1/completions', { prompt, max_tokens: 1 });
      await answer.text();
    }
    await dial(engine, '/v1/completions', { prompt: endless });
    await eventually(() => expect(engine.stats().running).toBe(1));
    await dial(engine, '/v1/completions', { prompt: 'waits' });
    await eventually(() => expect(engine.stats().waiting).toBe(1));
    const response = await fetch(`${engine.url}/metrics`);
    expect(response.headers.get('content-type')).toContain('text/plain');
    const lines = (await response.text()).split('\n');
    const labels = '{engine="0",model_name="a\\"b"}';
    expect(lines).toContain(`vllm:num_requests_running${labels} 1`);
    expect(lines).toContain(`vllm:num_requests_waiting${labels} 1`);
    expect(lines).toContain(`vllm:kv_cache_usage_perc${labels} 1`);
    expect(lines).toContain(`vllm:prefix_cache_queries_total${labels} ${2 * 513 + 100_000}`);
    expect(lines).toContain(`vllm:prefix_cache_hits_total${labels} 512`);
    expect(lines).toContain(
      'vllm:cache_config_info{block_size="512",engine="0",num_gpu_blocks="7"} 1',
    );
  });

  test('tokenize and detokenize', async () => {
    const engine = await start();
    const answer = (await (await post(engine, '/tokenize', { prompt: 'grüße' })).json()) as {
      count: number;
      tokens: number[];
    };
    expect(answer.count).toBe(2);
    const back = await post(engine, '/detokenize', { tokens: answer.tokens });
    expect(await back.json()).toEqual({ prompt: 'grüße' });
  });

  test('control routes work and are counted', async () => {
    const engine = await start();
    const body = { prompt: 'p'.repeat(5_000), max_tokens: 1 };
    await (await post(engine, '/v1/completions', body)).text();
    expect(engine.stats().cachedBlocks).toBe(2);
    for (const path of ['/flush_cache', '/sleep', '/v1/load_lora_adapter']) {
      expect((await post(engine, path, {})).status).toBe(200);
    }
    expect(engine.stats()).toMatchObject({ controlCalls: 3, cachedBlocks: 0 });
    expect(await (await fetch(`${engine.url}/emulate/stats`)).json()).toEqual(engine.stats());
  });

  test('faults in the shape of vLLM', async () => {
    const engine = await start();
    const cases: [Promise<Response>, number, string][] = [
      [post(engine, '/v1/chat/completions', '{'), 400, 'BadRequestError'],
      [post(engine, '/v1/completions', { prompt: 'x', model: 'y' }), 404, 'NotFoundError'],
      [post(engine, '/nowhere', {}), 404, 'NotFoundError'],
      [fetch(`${engine.url}/v1/completions`), 405, 'MethodNotAllowedError'],
    ];
    for (const [answer, status, type] of cases) {
      const response = await answer;
      expect(response.status).toBe(status);
      expect(await response.json()).toMatchObject({
        error: { message: expect.any(String), type, code: status },
      });
    }
    expect(engine.stats()).toMatchObject({ received: 2, running: 0, waiting: 0 });
  });
});
