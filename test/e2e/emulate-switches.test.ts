import { request } from 'node:http';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { runEmulate } from '../../src/emulate/command.ts';
import { type EmulatedEngine, startEngine } from '../../src/emulate/server.ts';

let engine: EmulatedEngine;

beforeEach(async () => {
  engine = await startEngine({ preset: 'paper-7b', timeScale: 100 });
});
afterEach(async () => {
  await engine.close();
});

interface Answer {
  status: number | null;
  text: string;
  /** Code of the error that ended the answer, if one did. */
  fault: string | null;
  localPort: number;
}

/** One request on a connection of its own; resolves however it ends. */
function call(path: string, options: { body?: object; deadlineMs?: number } = {}): Promise<Answer> {
  return new Promise((resolve) => {
    const method = options.body === undefined ? 'GET' : 'POST';
    const answer: Answer = { status: null, text: '', fault: null, localPort: 0 };
    const end = (error?: NodeJS.ErrnoException): void => {
      resolve({ ...answer, fault: error?.code ?? null });
    };
    const outgoing = request(engine.url + path, { method, agent: false }, (response) => {
      answer.status = response.statusCode ?? null;
      response.setEncoding('utf8').on('data', (chunk: string) => {
        answer.text += chunk;
      });
      response.on('end', () => end());
      response.on('error', end);
    });
    outgoing.on('error', end);
    if (options.deadlineMs !== undefined) {
      outgoing.setTimeout(options.deadlineMs, () => {
        outgoing.destroy(Object.assign(new Error('silent'), { code: 'SILENT' }));
      });
    }
    outgoing.end(options.body === undefined ? undefined : JSON.stringify(options.body));
  });
}

const prompt = { prompt: 'hello', max_tokens: 4 };
const infer = (more: object = {}) => call('/v1/completions', { body: { ...prompt, ...more } });

test('fail and unavailable answer inference alone', async () => {
  engine.setSwitches({ fail: true });
  expect(await infer()).toMatchObject({ status: 500 });
  expect(JSON.parse((await infer()).text).error).toMatchObject({ type: 'InternalServerError' });
  expect(await call('/health')).toMatchObject({ status: 200 });
  engine.setSwitches({ fail: false, unavailable: true });
  expect(await infer()).toMatchObject({ status: 503 });
  engine.setSwitches({ unavailable: false });
  expect(await infer()).toMatchObject({ status: 200 });
  expect(engine.stats()).toMatchObject({ received: 4, served: 1 });
});

test('hang answers nothing, health and metrics included, until it is switched off', async () => {
  engine.setSwitches({ hang: true });
  const silent = { status: null, fault: 'SILENT' };
  const calls = ['/health', '/metrics', '/v1/models'].map((path) =>
    call(path, { deadlineMs: 150 }),
  );
  calls.push(call('/v1/completions', { body: { ...prompt, stream: true }, deadlineMs: 150 }));
  for (const answer of await Promise.all(calls)) expect(answer).toMatchObject(silent);
  expect(await call('/emulate/switches', { body: { hang: false } })).toMatchObject({ status: 200 });
  expect(await call('/health')).toMatchObject({ status: 200 });
});

test('reset breaks the connection before any answer', async () => {
  engine.setSwitches({ reset: true });
  expect(await infer()).toMatchObject({ status: null, fault: 'ECONNRESET' });
  expect(await call('/health')).toMatchObject({ status: 200 });
  expect(engine.stats()).toMatchObject({ received: 1, waiting: 0, running: 0 });
});

describe('resetAfterEvents', () => {
  test.each([0, 1, 3])('a stream breaks after %i events', async (events) => {
    engine.setSwitches({ resetAfterEvents: events });
    const answer = await infer({ stream: true });
    expect(answer).toMatchObject({ status: 200, fault: 'ECONNRESET' });
    expect(answer.text.match(/data: /g) ?? []).toHaveLength(events);
    await vi.waitFor(() => expect(engine.stats().running).toBe(0), { timeout: 5_000 });
  });

  test('a shorter stream is complete', async () => {
    engine.setSwitches({ resetAfterEvents: 100 });
    const answer = await infer({ stream: true });
    expect(answer).toMatchObject({ status: 200, fault: null });
    expect(answer.text).toContain('[DONE]');
  });
});

test('garbage is no HTTP', async () => {
  engine.setSwitches({ garbage: true });
  const answer = await infer();
  expect(answer.status).toBeNull();
  expect(answer.fault).toMatch(/^HPE_/);
});

test('slow stretches prefill and decode', async () => {
  // 1,000 tokens at 160 us, a hundred times faster than life: 1.6 ms; then 3 steps of 0.12 ms.
  engine.setSwitches({ slow: 100 });
  const startMs = performance.now();
  await infer({ prompt: 'x'.repeat(4_000) });
  expect(performance.now() - startMs).toBeGreaterThanOrEqual(160 + 3 * 11.65);
});

test('refuseHealth refuses health alone', async () => {
  engine.setSwitches({ refuseHealth: true });
  expect(await call('/health')).toMatchObject({ status: 503 });
  expect(await infer()).toMatchObject({ status: 200 });
});

test('closeKeepAlive closes after a complete answer without a word', async () => {
  const once = (): Promise<{ connection: string | undefined; closed: boolean }> =>
    new Promise((resolve, reject) => {
      const outgoing = request(`${engine.url}/health`, { headers: { connection: 'keep-alive' } });
      outgoing.on('error', reject).on('response', (response) => {
        const { socket } = response;
        let complete = false;
        response.resume().on('end', () => {
          complete = true;
        });
        const timer = setTimeout(() => {
          socket.destroy();
          resolve({ connection: response.headers.connection, closed: false });
        }, 500);
        socket.on('end', () => {
          clearTimeout(timer);
          resolve({ connection: response.headers.connection, closed: complete });
        });
      });
      outgoing.end();
    });
  expect(await once()).toEqual({ connection: 'keep-alive', closed: false });
  engine.setSwitches({ closeKeepAlive: true });
  expect(await once()).toEqual({ connection: 'keep-alive', closed: true });
});

describe('the control route', () => {
  test('sets what it names and says what holds', async () => {
    const answer = await call('/emulate/switches', { body: { fail: true, slow: 2 } });
    expect(JSON.parse(answer.text)).toMatchObject({ fail: true, slow: 2, hang: false });
    expect(await infer()).toMatchObject({ status: 500 });
  });

  test('refuses what it does not know and changes nothing', async () => {
    const answer = await call('/emulate/switches', { body: { fail: true, explode: true } });
    expect(answer.status).toBe(400);
    expect(answer.text).toContain('explode');
    expect(await infer()).toMatchObject({ status: 200 });
  });
});

test('switches can hold from the start', async () => {
  const other = await startEngine({ preset: 'paper-7b', switches: { refuseHealth: true } });
  try {
    expect((await fetch(`${other.url}/health`)).status).toBe(503);
  } finally {
    await other.close();
  }
});

test('close breaks connections in flight', async () => {
  engine.setSwitches({ slow: 100 });
  const pending = call('/v1/completions', { body: { prompt: 'x'.repeat(400_000) } });
  await vi.waitFor(() => expect(engine.stats().running).toBe(1), { timeout: 5_000 });
  await engine.close();
  expect(await pending).toMatchObject({ status: null, fault: 'ECONNRESET' });
  await vi.waitFor(() => expect(engine.stats()).toMatchObject({ running: 0, aborted: 1 }), {
    timeout: 5_000,
  });
});

describe('the command', () => {
  const printed: string[] = [];
  beforeEach(() => {
    printed.length = 0;
    const print = (text: string | Uint8Array): boolean => {
      printed.push(String(text));
      return true;
    };
    vi.spyOn(process.stdout, 'write').mockImplementation(print);
    vi.spyOn(process.stderr, 'write').mockImplementation(print);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  test('prints one line with the URL and ends on SIGTERM', async () => {
    const before = process.listeners('SIGTERM');
    const ended = runEmulate({ preset: 'paper-14b', timeScale: 10 });
    await vi.waitFor(() => expect(printed).toHaveLength(1), { timeout: 5_000 });
    const url = /http:\S+/.exec(printed[0]!)?.[0];
    expect((await fetch(`${url}/health`)).status).toBe(200);
    const added = process.listeners('SIGTERM').filter((listener) => !before.includes(listener));
    expect(added).toHaveLength(1);
    added[0]!('SIGTERM');
    await ended;
    await expect(fetch(`${url}/health`)).rejects.toThrow();
    expect(process.listeners('SIGTERM')).toEqual(before);
  });

  test('bad options: all of them, exit code 2', async () => {
    const before = process.exitCode;
    await runEmulate({ preset: 'paper-7b', port: 70_000, timeScale: -1 });
    expect(process.exitCode).toBe(2);
    process.exitCode = before;
    expect(printed).toHaveLength(2);
  });
});
