import { describe, expect, test } from 'vitest';
import { requestFaults } from '../../src/errors.ts';
import { errorOf, type HttpAnswer } from '../support/e2e-client.ts';
import { type Answer, chunkedBody, RawClient } from '../support/listen-client.ts';
import { frontEnds } from '../support/listen-server.ts';
import {
  chat,
  chatPath,
  endingsBecome,
  endingsOf,
  type RouterSetup,
  type RouterUnderTest,
  withRouter,
} from '../support/router.ts';

/**
 * Whatever a client sends: a clear fault in OpenAI's shape, a connection that goes on where HTTP
 * allows it, and no instance that hears of it.
 */

type Body = string | Buffer | object;
type FaultCase = readonly [
  what: string,
  path: string,
  body: Body,
  code: keyof typeof requestFaults,
  param?: string,
];

const chatOf = (fields: object) => chat('hello', fields);
const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const invalidUtf8 = Buffer.concat([
  Buffer.from('{"messages":[{"role":"user","content":"'),
  Buffer.from([0xc3, 0x28]),
  Buffer.from('"}]}'),
]);

const bodies: readonly FaultCase[] = [
  ['no body', chatPath, '', 'invalid_json'],
  ['an unfinished object', chatPath, '{"messages":', 'invalid_json'],
  ['an array', chatPath, '[1,2]', 'invalid_json'],
  ['a string', chatPath, '"hello"', 'invalid_json'],
  ['a second object', chatPath, '{"messages":[{"role":"user","content":"a"}]}{}', 'invalid_json'],
  ['invalid UTF-8', chatPath, invalidUtf8, 'invalid_json'],
  ['a megabyte of braces', chatPath, '{'.repeat(2 ** 20), 'invalid_json'],
  ['a megabyte of open objects', chatPath, '{"messages":'.repeat(2 ** 17), 'invalid_json'],
  ['messages that are text', chatPath, { messages: 'hello' }, 'invalid_type', 'messages'],
  ['a message that is text', chatPath, { messages: ['hello'] }, 'invalid_type', 'messages'],
  [
    'a message without a role',
    chatPath,
    { messages: [{ content: 'a' }] },
    'invalid_type',
    'messages',
  ],
  [
    'content that is a number',
    chatPath,
    { messages: [{ role: 'user', content: 7 }] },
    'invalid_type',
    'messages',
  ],
  ['a model that is a number', chatPath, chatOf({ model: 7 }), 'invalid_type', 'model'],
  ['stream as text', chatPath, chatOf({ stream: 'yes' }), 'invalid_type', 'stream'],
  ['tools that are an object', chatPath, chatOf({ tools: {} }), 'invalid_type', 'tools'],
  ['a prompt that is an object', '/v1/completions', { prompt: {} }, 'invalid_type', 'prompt'],
  ['a negative token id', '/v1/completions', { prompt: [1, -2] }, 'invalid_type', 'prompt'],
  ['an input that is a number', '/v1/embeddings', { input: 3 }, 'invalid_type', 'input'],
  ['no messages', chatPath, { model: 'emulated-7b' }, 'empty_prompt', 'messages'],
  ['an empty list of messages', chatPath, { messages: [] }, 'empty_prompt', 'messages'],
  ['an empty prompt', '/v1/completions', { prompt: '' }, 'empty_prompt', 'prompt'],
  ['a prompt that is null', '/v1/completions', { prompt: null }, 'empty_prompt', 'prompt'],
  ['an empty input', '/v1/embeddings', { input: [] }, 'empty_prompt', 'input'],
  [
    'a deep nest in what is hashed',
    chatPath,
    `{"messages":[{"role":"user","content":"a"}],"tools":${nested(200)}}`,
    'too_deep',
    'tools',
  ],
  ['an unknown model', chatPath, chatOf({ model: 'none' }), 'model_not_found', 'model'],
  ['an unknown model to tokenize', '/tokenize', { model: 'none' }, 'model_not_found', 'model'],
];

/** Paths that no instance may ever be asked for, and those that do not exist. */
const pathsRefused = [
  '/',
  '/nothing',
  '/v1',
  '/v1/',
  '/v1/chat/completions/',
  '/v2/chat/completions',
  '/flush_cache',
  '/reset_prefix_cache',
  '/sleep',
  '/wake_up',
  '/v1/load_lora_adapter',
  '/v1/unload_lora_adapter',
  '/v1/LOAD_LORA_ADAPTER',
  '/v1/../flush_cache',
  '/v1/./sleep',
  '/v1//sleep',
  '//sleep',
  '/v1/%2e%2e/sleep',
  '/v1/..%2fsleep',
  '/v1/chat/completions/../../../sleep',
  '/%66lush_cache',
  '/v1/models;/../../sleep',
  '/emulate/switches',
];

const methodsRefused = [
  ['GET', chatPath, 'POST'],
  ['DELETE', '/v1/completions', 'POST'],
  ['PUT', '/v1/embeddings', 'POST'],
  ['POST', '/v1/models', 'GET, HEAD'],
  ['POST', '/metrics', 'GET, HEAD'],
] as const;

describe.each(frontEnds)('behind the front end $name', ({ name, missing }) => {
  const it = test.skipIf(missing !== null);
  const run = (setup: RouterSetup, body: (parts: RouterUnderTest) => Promise<void>) =>
    withRouter({ ...setup, config: { ...setup.config, frontEnd: name } }, body);

  it('bad bodies on one connection: each its fault, none at an instance', async () => {
    await run({ engines: 1 }, async ({ router, engines }) => {
      const client = await RawClient.connect(router.port);
      for (const [index, [what, path, body, code, param]] of bodies.entries()) {
        await client.send(...rawRequest('POST', path, body));
        const answer = (await client.answers(index + 1)).at(-1)!;
        const error = faultOf(answer);
        expect([what, answer.status, error.code]).toEqual([what, requestFaults[code].status, code]);
        if (param !== undefined) expect([what, error.param]).toEqual([what, param]);
      }
      await client.send(...rawRequest('POST', chatPath, chat('and now a good one')));
      const last = (await client.answers(bodies.length + 1)).at(-1)!;
      expect(last.status).toBe(200);
      expect(engines[0]!.stats().received).toBe(1);
      await endingsBecome(router, { completed: 1 });
      client.socket.destroy();
    });
  });

  it('unknown routes, control routes and wrong methods never reach an instance', async () => {
    await run({ engines: 1 }, async ({ router, engines }) => {
      const client = await RawClient.connect(router.port);
      let count = 0;
      const answerTo = async (method: string, path: string) => {
        await client.send(...rawRequest(method, path, method === 'GET' ? '' : '{"level":1}'));
        count += 1;
        return (await client.answers(count)).at(-1)!;
      };
      for (const path of pathsRefused) {
        for (const method of ['POST', 'GET']) {
          const answer = await answerTo(method, path);
          expect([method, path, answer.status]).toEqual([method, path, 404]);
          expect(faultOf(answer).code).toBe('unknown_route');
        }
      }
      for (const [method, path, allowed] of methodsRefused) {
        const answer = await answerTo(method, path);
        expect([path, answer.status, answer.headers.get('allow')]).toEqual([path, 405, allowed]);
        expect(faultOf(answer).code).toBe('method_not_allowed');
      }
      expect((await answerTo('GET', '/health')).status).toBe(200);
      expect(engines[0]!.stats()).toMatchObject({ received: 0, controlCalls: 0 });
      expect(endingsOf(router)).toEqual({});
      client.socket.destroy();
    });
  });

  it('a body over the limit is 413, and the connection goes on', async () => {
    await run({ engines: 1, config: { bodyBytesMax: 65_536 } }, async ({ router, engines }) => {
      const body = Buffer.from(JSON.stringify(chat('x'.repeat(100_000))));
      const head = `POST ${chatPath} HTTP/1.1\r\nhost: router\r\n`;
      const counted = Buffer.from(`${head}content-length: ${body.byteLength}\r\n\r\n`);
      const chunked = Buffer.from(`${head}transfer-encoding: chunked\r\n\r\n`);
      for (const request of [
        Buffer.concat([counted, body]),
        Buffer.concat([chunked, chunkedBody(body, [4_096])]),
      ]) {
        const client = await RawClient.connect(router.port);
        await client.send(request);
        const refused = await client.answer();
        expect([refused.status, faultOf(refused).code]).toEqual([413, 'body_too_large']);
        await client.send(...rawRequest('POST', chatPath, chat('smaller')));
        const [, next] = await client.answers(2);
        expect(next?.status).toBe(200);
        client.socket.destroy();
      }
      expect(engines[0]!.stats().received).toBe(2);
    });
  });

  it('100 MB of braces: refused by size, or by content where the limit allows them', async () => {
    const braces = Buffer.alloc(100 * 2 ** 20, '{');
    await run({ engines: 1 }, async ({ router, client }) => {
      const announcing = await RawClient.connect(router.port);
      const head = `POST ${chatPath} HTTP/1.1\r\nhost: router\r\n`;
      await announcing.send(`${head}content-length: ${braces.byteLength}\r\n\r\n`);
      expect(faultOf(await announcing.answer()).code).toBe('body_too_large');
      announcing.socket.destroy();
      expect((await client.post(chatPath, chat('still here'))).status).toBe(200);
    });
    await run({ engines: 1, config: { bodyBytesMax: 2 ** 27 } }, async ({ client, engines }) => {
      const refused = await client.begin(chatPath, { body: braces }).answer;
      expect([refused.status, errorOf(refused).code]).toEqual([400, 'invalid_json']);
      expect((await client.post(chatPath, chat('still here'))).status).toBe(200);
      expect(engines[0]!.stats().received).toBe(1);
    });
  });

  it('what the router does not read is for the engine to judge', async () => {
    await run({ engines: 1 }, async ({ client, engines }) => {
      const deep = `{"messages":[{"role":"user","content":"a"}],"x":${nested(5_000)}}`;
      const answers: HttpAnswer[] = [
        await client.begin(chatPath, { body: deep }).answer,
        await client.post(chatPath, chat('a', { temperature: 'hot', n: 2 })),
        await client.post(chatPath, chat('a', { max_tokens: 0 })),
        await client.begin('/tokenize', { body: 'not JSON at all' }).answer,
      ];
      expect(answers.map(({ status }) => status)).toEqual([200, 400, 400, 400]);
      expect(engines[0]!.stats().received).toBe(3);
    });
  });
});

function rawRequest(method: string, path: string, body: Body): [Buffer] {
  const isBytes = typeof body === 'string' || Buffer.isBuffer(body);
  const bytes = isBytes ? Buffer.from(body as string) : Buffer.from(JSON.stringify(body));
  const head = [
    `${method} ${path} HTTP/1.1`,
    'host: router',
    'content-type: application/json',
    `content-length: ${bytes.byteLength}`,
  ];
  return [Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), bytes])];
}

function faultOf({ status, headers, body }: Answer) {
  expect(headers.get('x-request-id')).toMatch(/.+/);
  const fields = Object.fromEntries(headers);
  return errorOf({ status, headers: fields, body, complete: true, firstByteMs: null });
}
