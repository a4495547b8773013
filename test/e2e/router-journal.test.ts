import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readTrace } from '../../src/replay/trace.ts';
import { startRouter } from '../../src/serve.ts';
import { eventsOf, type HttpClient, isWholeStream } from '../support/e2e-client.ts';
import { chat, chatPath, configFor, endingsBecome, withRouter } from '../support/router.ts';

/** The journal of requests that really happened, read back as a trace. */

let folder = '';
let journalFile = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'router-journal-'));
  journalFile = join(folder, 'journal.jsonl');
});
afterEach(() => rm(folder, { recursive: true }));

interface Line {
  readonly [field: string]: unknown;
  readonly hash_ids: string[];
}

async function lines(): Promise<Line[]> {
  const text = await readFile(journalFile, 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

async function counted(client: HttpClient, result: 'written' | 'lost'): Promise<number> {
  const metrics = (await client.get('/metrics')).body.toString();
  const sample = new RegExp(`^dualmap_journal_lines_total\\{result="${result}"\\} (\\d+)$`, 'm');
  return Number(sample.exec(metrics)?.[1]);
}

const secret = 'the words of the prompt. ';

test('a line a request, readable as a trace, without a word of the prompt', async () => {
  const config = { journalFile, ioThreads: 2 };
  const setup = { engines: 2, engineOptions: { blockTokens: 128 }, config };
  let urls: readonly string[] = [];
  const startMs = Date.now();
  await withRouter(setup, async (parts) => {
    const { client, engines, router } = parts;
    urls = parts.urls;
    const stream = { stream: true, stream_options: { include_usage: true }, max_tokens: 5 };
    const first = secret.repeat(200);
    const headers = { 'x-request-id': 'mine' };
    const model = { model: 'emulated-7b' };
    const body = chat(first, { ...stream, ...model });
    expect(isWholeStream(await client.post(chatPath, body, headers))).toBe(true);
    expect((await client.post(chatPath, chat(`${first} And more.`))).status).toBe(200);
    const prompt = secret.repeat(200);
    expect((await client.post('/v1/completions', { prompt, max_tokens: 1 })).status).toBe(200);
    expect((await client.post('/v1/embeddings', { input: 'short' })).status).toBe(200);
    // Neither of these has a prompt that was placed.
    await client.post(chatPath, { messages: [] });
    await client.post('/tokenize', { prompt });
    for (const engine of engines) engine.setSwitches({ reset: true });
    expect((await client.post(chatPath, chat(first))).status).toBe(502);
    await endingsBecome(router, { completed: 5, failedBeforeFirstToken: 1 });
    await expect.poll(() => counted(client, 'written'), { timeout: 5_000 }).toBe(5);
    expect(await counted(client, 'lost')).toBe(0);
  });

  expect(await readFile(journalFile, 'utf8')).not.toMatch(/words|prompt\. |And more|short/);
  const written = await lines();
  const byRoute = (route: string) => written.filter((line) => line.route === route);
  const [streamed, unary, failed] = byRoute('chat');
  expect([byRoute('completion').length, byRoute('embedding').length]).toEqual([1, 1]);
  expect(streamed).toMatchObject({
    request_id: 'mine',
    model: 'emulated-7b',
    output_length: 5,
    prompt_tokens: 1_263,
    cached_tokens: 0,
    cached_tokens_estimate: 0,
    attempts: 1,
    queue_ms: 0,
    ending: 'completed',
    status: 200,
  });
  expect([...(streamed!.candidates as string[])].sort()).toEqual([...urls].sort());
  expect(urls).toContain(streamed!.instance);
  expect(streamed!.ttft_ms).toBeGreaterThan(0);
  expect(streamed!.duration_ms).toBeGreaterThanOrEqual(streamed!.ttft_ms as number);
  expect(streamed!.ttft_estimate_ms).toBeGreaterThan(0);
  expect(unary).toMatchObject({ ttft_ms: null, status: 200, ending: 'completed', model: '' });
  const ending = 'failedBeforeFirstToken';
  expect(failed).toMatchObject({ attempts: 2, status: 502, ending, output_length: 0 });

  // The prompts of the second and the last chat part in their last block.
  expect(unary!.hash_ids).toHaveLength(3);
  expect(failed!.hash_ids.slice(0, 2)).toEqual(unary!.hash_ids.slice(0, 2));
  expect(failed!.hash_ids[2]).not.toBe(unary!.hash_ids[2]);

  const rows = await readTrace(journalFile);
  expect(rows).toHaveLength(5);
  expect(rows.map(({ blockIds }) => blockIds)).toContainEqual(streamed!.hash_ids);
  for (const { timestampMs } of rows) {
    expect(timestampMs).toBeGreaterThanOrEqual(startMs - 1);
    expect(timestampMs).toBeLessThanOrEqual(Date.now() + 1);
  }
});

test('what is in flight at the end is in the journal too', async () => {
  const config = { journalFile, shutdownGraceMs: 10 };
  const setup = { engines: 1, engineOptions: { timeScale: 1 }, config };
  await withRouter(setup, async ({ client, router }) => {
    const body = chat('x'.repeat(40), { stream: true, max_tokens: 10_000 });
    const call = client.begin(chatPath, { body });
    await call.untilReceived('data:');
    await router.close();
    await call.answer;
  });
  expect(await lines()).toMatchObject([{ ending: 'clientGone', status: 200 }]);
});

test.skipIf(!existsSync('/dev/full'))('a full disk costs lines, never requests', async () => {
  const config = { journalFile: '/dev/full' };
  await withRouter({ engines: 2, config }, async ({ client }) => {
    for (let count = 0; count < 20; count += 1) {
      const answer = await client.post(chatPath, chat(`question ${count}`, { stream: true }));
      expect([answer.status, eventsOf(answer.body).at(-1)]).toEqual([200, '[DONE]']);
    }
    await expect.poll(() => counted(client, 'lost'), { timeout: 5_000 }).toBe(20);
    expect(await counted(client, 'written')).toBe(0);
  });
});

test('off writes nothing', async () => {
  await withRouter({ engines: 1 }, async ({ client }) => {
    await client.post(chatPath, chat('hello'));
    expect([await counted(client, 'written'), await counted(client, 'lost')]).toEqual([0, 0]);
  });
});

test('a journal that cannot be opened keeps the router from starting, in words', async () => {
  const path = join(folder, 'absent', 'journal');
  const start = startRouter(configFor(['http://127.0.0.1:1'], { journalFile: path }));
  await expect(start).rejects.toThrow(/cannot write the journal: ENOENT/);
});
