import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { replayCommand, runReplay } from '../../src/replay/command.ts';
import { Load } from '../../src/replay/load.ts';
import { ReplayFault } from '../../src/replay/options.ts';

/** A tiny engine: what it does with the n-th request is up to each test. */
type Answer = (answer: ServerResponse, index: number, request: Received) => void;

interface Received {
  readonly path: string;
  readonly body: Record<string, unknown>;
}

let folder = '';
let server: Server;
let url = '';
let received: Received[] = [];
let answerWith: Answer = complete;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'replay-e2e-'));
  received = [];
  answerWith = complete;
  server = createServer((request, answer) => void serve(request, answer));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});

async function serve(request: IncomingMessage, answer: ServerResponse): Promise<void> {
  if (request.method === 'GET') {
    answer.end(JSON.stringify({ data: [{ id: 'tiny' }] }));
    return;
  }
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = JSON.parse(Buffer.concat(chunks).toString());
  const index = received.push({ path: request.url ?? '', body }) - 1;
  answerWith(answer, index, received[index]!);
}

const choice = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n';

function usage(promptTokens: number, cachedTokens: number): string {
  const details = { cached_tokens: cachedTokens };
  const value = { prompt_tokens: promptTokens, prompt_tokens_details: details };
  return `data: ${JSON.stringify({ choices: [], usage: value })}\n\n`;
}

function begin(answer: ServerResponse): void {
  answer.writeHead(200, { 'content-type': 'text/event-stream' });
  answer.write(': waiting\n\n');
}

function complete(answer: ServerResponse): void {
  begin(answer);
  answer.end(`${choice}${choice}${usage(100, 40)}data: [DONE]\n\n`);
}

/** Rows at the given moments; each has two blocks, the first of which all share. */
async function saveTrace(...timestampsMs: number[]): Promise<string> {
  const path = join(folder, 'trace.jsonl.gz');
  const lines = timestampsMs.map((timestamp, index) =>
    JSON.stringify({ timestamp, input_length: 600, output_length: 7, hash_ids: [0, index + 1] }),
  );
  await writeFile(path, gzipSync(lines.join('\n')));
  return path;
}

/** Stands still unless cranked. */
class HandClock {
  #nowMs = 1_000;
  nowMs(): number {
    return this.#nowMs;
  }
  advance(ms: number): void {
    this.#nowMs += ms;
  }
}

test('replays a trace: every request once, its prompt shared as in the trace', async () => {
  const trace = await saveTrace(0, 0, 0, 30);
  const report = await runReplay({ trace, url, maxOutputTokens: 5, speed: 2 });
  expect(report).toMatchObject({
    requests: 4,
    errors: 0,
    lost: 0,
    abandoned: 0,
    hitRatio: 0.4,
    promptTokens: 400,
    interrupted: false,
    failures: {},
  });
  expect(report.settings).toMatchObject({ model: 'tiny', url, speed: 2 });
  expect(received.map((request) => request.path)).toEqual(Array(4).fill('/v1/chat/completions'));
  const prompts = received.map(({ body }) => {
    expect(body).toMatchObject({
      model: 'tiny',
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 5,
    });
    const [message] = body.messages as { role: string; content: string }[];
    expect(message!.role).toBe('user');
    expect(message!.content).toHaveLength(2400);
    return message!.content;
  });
  expect(new Set(prompts.map((prompt) => prompt.slice(0, 2048))).size).toBe(1);
  expect(new Set(prompts.map((prompt) => prompt.slice(2048, 2072))).size).toBe(4);
});

test('completions, a given model and a base path', async () => {
  const trace = await saveTrace(0);
  const given = { trace, url: `${url}/base/`, endpoint: 'completions', model: 'm"1' } as const;
  expect(await runReplay(given)).toMatchObject({ requests: 1, lost: 0, errors: 0 });
  expect(received[0]!.path).toBe('/base/v1/completions');
  expect(received[0]!.body).toMatchObject({ model: 'm"1', max_tokens: 7 });
  expect(received[0]!.body.prompt).toHaveLength(2400);
});

test('several URLs: each request goes to one of them, to the same ones every time', async () => {
  const trace = await saveTrace(...Array.from({ length: 40 }, (_, index) => index));
  const given = { trace, url: `${url}/a,${url}/b`, connectionsMax: 1 };
  expect(await runReplay(given)).toMatchObject({ requests: 40, lost: 0, errors: 0 });
  const paths = received.map(({ path }) => path);
  const share = paths.filter((path) => path === '/a/v1/chat/completions').length / paths.length;
  expect(share).toBeGreaterThan(0.2);
  expect(share).toBeLessThan(0.8);
  expect(new Set(paths).size).toBe(2);
  received.length = 0;
  await runReplay(given);
  expect(received.map(({ path }) => path)).toEqual(paths);
  await runReplay({ ...given, seed: 2 });
  expect(received.slice(40).map(({ path }) => path)).not.toEqual(paths);
});

test('TTFT counts from the due moment to the first choice, not to the head', async () => {
  const clock = new HandClock();
  answerWith = (answer) => {
    begin(answer);
    answer.write('data: {"choices":[]}\n\n', () => {
      clock.advance(400);
      answer.end(`${choice}${usage(100, 0)}data: [DONE]\n\n`);
    });
  };
  const trace = await saveTrace(0, 0);
  // One connection: the second request is due at once, is sent after 400 ms, answered after 800.
  const given = { trace, url, speed: 10, connectionsMax: 1, arrivals: 'raw' } as const;
  const report = await runReplay(given, { clock });
  expect(report.ttftMs).toEqual({ p50: 4000, p90: 8000, p99: 8000 });
  expect(report.attainment).toBe(0.5);
  expect(report.sendLateMs).toEqual({ p99: 400, limit: 10 });
  expect(report.void).toBe(true);
  expect(report.voidReason).toContain('--connections-max');
});

test('sends nothing before it is due', async () => {
  const sendLatesMs: number[] = [];
  const target = { origin: url, path: '/v1/completions' };
  const plan = [0, 15, 30].map((dueMs) => ({ dueMs, target, body: () => Buffer.from('{}') }));
  const load = new Load(plan, {
    connectionsMax: 9,
    timeoutMs: 10_000,
    clock: systemClock,
    onOutcome: (outcome) => sendLatesMs.push(outcome.sendLateMs),
  });
  await load.run();
  expect(sendLatesMs).toHaveLength(3);
  expect(Math.min(...sendLatesMs)).toBeGreaterThanOrEqual(0);
});

test('is open loop: a request that hangs delays none that is due later', async () => {
  let hanging: ServerResponse | null = null;
  answerWith = (answer, index) => {
    if (index > 0) complete(answer);
    if (index === 0) hanging = answer;
    if (index === 3) complete(hanging!);
  };
  const trace = await saveTrace(0, 10, 20, 30);
  expect(await runReplay({ trace, url })).toMatchObject({ requests: 4, lost: 0 });
});

test('counts errors and lost requests by what happened', async () => {
  const answers: Answer[] = [
    complete,
    (answer) => answer.writeHead(503).end('{}'),
    (answer) => answer.writeHead(302, { location: '/' }).end(),
    (answer) => answer.socket?.destroy(),
    (answer) => {
      begin(answer);
      answer.end(choice);
    },
    (answer) => {
      begin(answer);
      answer.write(choice, () => answer.socket?.destroy());
    },
    (answer) => {
      begin(answer);
      answer.end(`${choice}data: {"error":{"message":"gone"}}\n\ndata: [DONE]\n\n`);
    },
    (answer) => answer.end('data: [DONE]\n\n'),
    (answer) => answer.writeHead(400).write('{', () => answer.socket?.destroy()),
  ];
  answerWith = (answer, index, request) => answers[index]!(answer, index, request);
  const trace = await saveTrace(...answers.keys());
  const report = await runReplay({ trace, url, connectionsMax: 1, arrivals: 'raw' });
  expect(report).toMatchObject({ requests: 9, errors: 3, lost: 5, attainment: 1 / 9 });
  expect(report.failures).toEqual({
    cut: 1,
    error_event: 1,
    no_choice: 1,
    'status 302': 1,
    'status 400': 1,
    'status 503': 1,
    UND_ERR_SOCKET: 2,
  });
});

test('a request without an end is lost at the time limit, and its connection closed', async () => {
  let closed = Promise.resolve();
  answerWith = (answer, index) => {
    if (index === 0) {
      begin(answer);
      answer.write(choice);
      closed = new Promise((resolve) => answer.on('close', resolve));
    } else {
      void closed.then(() => complete(answer));
    }
  };
  const trace = await saveTrace(0, 0);
  const report = await runReplay({ trace, url, timeoutSecs: 0.3, connectionsMax: 1 });
  expect(report).toMatchObject({ requests: 2, lost: 1, attainment: 0.5, failures: { timeout: 1 } });
});

test('nobody listening: every request is lost, none is missing', async () => {
  const trace = await saveTrace(0, 1, 2);
  const given = { trace, url: 'http://127.0.0.1:1', model: 'm' };
  const report = await runReplay(given);
  expect(report).toMatchObject({ requests: 3, lost: 3, failures: { ECONNREFUSED: 3 } });
  await expect(runReplay({ ...given, model: null })).rejects.toBeInstanceOf(ReplayFault);
});

test('names the requests of each instance that the router tells', async () => {
  answerWith = (answer, index) => {
    answer.setHeader('x-dualmap-instance', index < 2 ? 'http://a' : 'http://b');
    begin(answer);
    answer.end(`${choice}${usage(100, index * 10)}data: [DONE]\n\n`);
  };
  const trace = await saveTrace(0, 10, 20);
  const report = await runReplay({ trace, url, connectionsMax: 1 });
  expect(report.perInstance).toEqual({
    'http://a': { requests: 2, cachedShare: 0.05 },
    'http://b': { requests: 1, cachedShare: 0.2 },
  });
});

test('a stop sends nothing more, closes what is in flight and reports the rest', async () => {
  const interrupt = new AbortController();
  const closed = new Promise<void>((resolve) => {
    answerWith = (answer, index) => {
      if (index === 0) complete(answer);
      if (index === 1) {
        answer.on('close', resolve);
        begin(answer);
        interrupt.abort();
      }
    };
  });
  const trace = await saveTrace(0, 10, 3_600_000);
  const report = await runReplay({ trace, url, connectionsMax: 1 }, { signal: interrupt.signal });
  expect(report).toMatchObject({ requests: 1, abandoned: 1, lost: 0, interrupted: true });
  await closed;
  expect(received).toHaveLength(2);
});

test('the command prints the table, writes the report and tells by its exit code', async () => {
  const listeners = process.listenerCount('SIGINT');
  const output = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const errors = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    const trace = await saveTrace(0, 0);
    const json = join(folder, 'out.json');
    // An SLO of an hour: 72 s of lateness are allowed.
    const given = { trace, url, json, sloTtftMs: '3600000' };
    expect(await replayCommand(given)).toBe(0);
    expect(output.mock.calls.join('')).toContain('requests                       2\n');
    const report = JSON.parse(await readFile(json, 'utf8'));
    expect(report).toMatchObject({
      requests: 2,
      errors: 0,
      lost: 0,
      attainment: 1,
      ttftMs: { p50: expect.any(Number), p90: expect.any(Number), p99: expect.any(Number) },
      hitRatio: 0.4,
      perInstance: {},
      sendLateMs: { p99: expect.any(Number), limit: 72_000 },
      void: false,
      voidReason: null,
      settings: { trace, seed: 1, sloTtftMs: 3_600_000 },
    });
    // An SLO of 1 ms at speed 100: 0.2 us of lateness cannot be kept.
    expect(await replayCommand({ ...given, sloTtftMs: 1, speed: 100 })).toBe(3);
    expect(JSON.parse(await readFile(json, 'utf8'))).toMatchObject({ void: true });
    expect(await replayCommand({ ...given, json: join(folder, 'absent', 'out.json') })).toBe(2);
    expect(await replayCommand({ ...given, trace: join(folder, 'absent') })).toBe(2);
    expect(await replayCommand({ ...given, speed: 'x', limit: 0 })).toBe(2);
    expect(errors.mock.calls.join('')).toContain('--limit');
    expect(process.listenerCount('SIGINT')).toBe(listeners);
  } finally {
    output.mockRestore();
    errors.mockRestore();
  }
});

test('the outcomes are a line of JSON for each request, whatever came of it', async () => {
  const output = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  answerWith = (answer, index) => {
    if (index === 1) answer.writeHead(503).end('{}');
    else complete(answer);
  };
  try {
    const outcomes = join(folder, 'outcomes.jsonl');
    const given = { trace: await saveTrace(0, 100, 300), url, outcomes, speed: 10 };
    expect(await replayCommand({ ...given, connectionsMax: 1, sloTtftMs: 60_000 })).toBe(0);
    const lines = (await readFile(outcomes, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { request: 0, dueMs: 0, kind: 'completed', usage: { promptTokens: 100, cachedTokens: 40 } },
      { request: 1, dueMs: 10, kind: 'error', reason: 'status 503', ttftMs: null },
      { request: 2, dueMs: 30, kind: 'completed', ttftMs: expect.any(Number) },
    ]);
    const absent = join(folder, 'absent', 'outcomes.jsonl');
    const errors = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    expect(await replayCommand({ ...given, outcomes: absent })).toBe(2);
    expect(errors.mock.calls.join('')).toContain('--outcomes');
    errors.mockRestore();
  } finally {
    output.mockRestore();
  }
});

test('SIGINT ends the command with what was measured', async () => {
  const output = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    answerWith = (answer, index) => {
      if (index === 0) complete(answer);
      else process.emit('SIGINT');
    };
    const trace = await saveTrace(0, 10, 3_600_000);
    expect(await replayCommand({ trace, url, connectionsMax: 1 })).toBe(130);
    expect(output.mock.calls.join('')).toContain('INTERRUPTED');
  } finally {
    output.mockRestore();
  }
});
