import { describe, expect, test } from 'vitest';
import { errorOf, eventsOf, HttpClient, isWholeStream } from '../support/e2e-client.ts';
import {
  answerChat,
  beginStream,
  chatEvent,
  doneEvent,
  ScriptedEngine,
} from '../support/e2e-engine.ts';
import { type CliProcess, withCli } from '../support/e2e-process.ts';
import { eventually, RawClient } from '../support/listen-client.ts';
import { frontEnds } from '../support/listen-server.ts';
import { chat, chatPath } from '../support/router.ts';

/** The process: how it starts, how it refuses to, and how it ends. */

async function withEngine(test: (engine: ScriptedEngine) => Promise<void>): Promise<void> {
  const engine = await ScriptedEngine.start((call) => answerChat(call));
  try {
    await test(engine);
  } finally {
    await engine.close();
  }
}

const serve = (engine: ScriptedEngine, ...more: string[]) => [
  'serve',
  '--port=0',
  '--worker-urls',
  engine.url,
  ...more,
];

async function urlOf(process: CliProcess): Promise<string> {
  const [, url] = await process.untilPrinted(/serves on (http:\S+)/);
  return url!;
}

/** Until no connection is taken any more. */
async function untilRefused(url: string): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  const isTaken = async () => {
    const fresh = new HttpClient(url);
    const { status } = await fresh.get('/health');
    fresh.close();
    return status !== null;
  };
  while (await isTaken()) expect(performance.now()).toBeLessThan(deadlineMs);
}

describe.each(frontEnds)('behind the front end $name', ({ name, missing }) => {
  const it = test.skipIf(missing !== null);

  it('SIGTERM: streams in flight finish, nothing new is taken, exit 0', async () => {
    await withEngine((engine) =>
      withCli(serve(engine, '--front-end', name, '--log-level', 'warn'), async (process) => {
        engine.act = (call) => {
          beginStream(call);
          call.response.write(chatEvent('before'));
        };
        const url = await urlOf(process);
        const client = new HttpClient(url);
        const call = client.begin(chatPath, { body: chat('hello', { stream: true }) });
        await call.untilReceived('before');
        // A request that is half sent when the signal comes: whoever sends it is told.
        const late = await RawClient.connect(Number(new URL(url).port));
        await late.send(`POST ${chatPath} HTTP/1.1\r\nhost: router\r\n`);
        expect((await client.get('/readiness')).status).toBe(200);
        process.signal('SIGTERM');
        await untilRefused(url);
        await late.send('content-length: 2\r\n\r\n{}');
        const refused = await late.answer();
        expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
        expect(refused.body.toString()).toContain('"code":"draining"');
        late.socket.destroy();
        engine.calls[0]!.response.end(chatEvent('after') + doneEvent);
        const answer = await call.answer;
        expect(isWholeStream(answer)).toBe(true);
        expect(eventsOf(answer.body)).toHaveLength(3);
        expect(await process.ended()).toBe(0);
        expect(process.stderr).toBe('');
        expect(engine.calls).toHaveLength(1);
        client.close();
      }),
    );
  });

  it('the grace period ends streams that do not end, and the exit is still 0', async () => {
    await withEngine((engine) => {
      const args = serve(engine, '--front-end', name, '--shutdown-grace-period-secs', '0.2');
      return withCli(args, async (process) => {
        engine.act = (call) => {
          beginStream(call);
          call.response.write(chatEvent('before'));
        };
        const client = new HttpClient(await urlOf(process));
        const call = client.begin(chatPath, { body: chat('hello', { stream: true }) });
        await call.untilReceived('before');
        process.signal('SIGTERM');
        expect(await process.ended()).toBe(0);
        expect((await call.answer).complete).toBe(false);
        await eventually(() => engine.calls[0]!.response.destroyed, 'the engine to be left');
        client.close();
      });
    });
  });

  it('a second SIGTERM ends it at once', async () => {
    await withEngine((engine) =>
      withCli(serve(engine, '--front-end', name), async (process) => {
        engine.act = beginStream;
        const url = await urlOf(process);
        const client = new HttpClient(url);
        const call = client.begin(chatPath, { body: chat('hello', { stream: true }) });
        await eventually(() => engine.calls.length === 1, 'the request');
        process.signal('SIGTERM');
        await untilRefused(url);
        process.signal('SIGTERM');
        expect(await process.ended()).toBe(143);
        expect((await call.answer).complete).toBe(false);
        client.close();
      }),
    );
  });

  it('a second router on the same port is refused in words, and the first serves on', async () => {
    await withEngine((engine) =>
      withCli(serve(engine, '--front-end', name), async (first) => {
        const url = await urlOf(first);
        const { port } = new URL(url);
        const args = ['serve', '--port', port, '--worker-urls', engine.url, '--front-end', name];
        await withCli(args, async (second) => {
          expect(await second.ended()).toBe(1);
          expect(second.stderr).toMatch(new RegExp(`^dualmap: .*${port}.*in use`, 'm'));
          expect(second.stdout).toBe('');
        });
        const client = new HttpClient(url);
        expect((await client.post(chatPath, chat('hello'))).status).toBe(200);
        client.close();
      }),
    );
  });
});

test('no instance configured: it refuses to start, says so, exit 2', async () => {
  await withCli(['serve', '--port=0'], async (process) => {
    expect(await process.ended()).toBe(2);
    expect(process.stderr).toMatch(/^dualmap serve: no instance is configured: --worker-urls/m);
    expect(process.stdout).toBe('');
  });
});

test('an instance that is not up yet does not keep the router from starting', async () => {
  await withCli(['serve', '--port=0', '--worker-urls', 'http://127.0.0.1:9'], async (process) => {
    const client = new HttpClient(await urlOf(process));
    const answer = await client.post(chatPath, chat('hello'));
    expect([answer.status, errorOf(answer).code]).toEqual([503, 'no_instance']);
    client.close();
  });
});

test('demo prints a curl line that streams an answer', async () => {
  await withCli(['demo', '--port=0', '--log-level', 'fatal'], async (process) => {
    const pattern = /curl -N (\S+) -H 'content-type: application\/json' \\\s+-d '([^']+)'/;
    const [, url, body] = await process.untilPrinted(pattern);
    const { origin, pathname } = new URL(url!);
    const client = new HttpClient(origin);
    const headers = { 'content-type': 'application/json' };
    const answer = await client.begin(pathname, { body: body!, headers }).answer;
    expect([answer.status, isWholeStream(answer)]).toEqual([200, true]);
    expect(answer.body.toString().match(/ token/g)).toHaveLength(40);
    client.close();
    process.signal('SIGINT');
    expect(await process.ended()).toBe(0);
  });
});

describe('the log', () => {
  test.each([
    ['debug', 1],
    ['info', 0],
  ])('at level %s has %d lines for a request, without its prompt or key', async (level, lines) => {
    await withEngine((engine) => {
      const more = ['--log-level', level, '--log-json', 'on'];
      return withCli(serve(engine, ...more), async (process) => {
        const client = new HttpClient(await urlOf(process));
        await client.post(chatPath, chat('a-prompt'), { authorization: 'Bearer a-key' });
        client.close();
        process.signal('SIGTERM');
        expect(await process.ended()).toBe(0);
        const rows = process.stderr
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line));
        const ended = rows.filter(({ msg }) => msg === 'request ended');
        expect(ended).toHaveLength(lines);
        for (const row of ended) {
          expect(row).toMatchObject({ route: 'chat', ending: 'completed' });
          expect(row.requestId).toMatch(/^[0-9a-f]{18}-\d+$/);
        }
        expect(process.stderr).not.toMatch(/a-prompt|a-key/);
      });
    });
  });
});
