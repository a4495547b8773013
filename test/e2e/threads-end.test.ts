import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { startRouter } from '../../src/serve.ts';
import { HttpClient } from '../support/e2e-client.ts';
import { answerChat, beginStream, chatEvent, ScriptedEngine } from '../support/e2e-engine.ts';
import { type CliProcess, withCli } from '../support/e2e-process.ts';
import { eventually, RawClient } from '../support/listen-client.ts';
import { frontEnds } from '../support/listen-server.ts';
import { chat, chatPath, configFor, endingsCount, withRouter } from '../support/router.ts';

/** I/O threads: that all of them serve, and how they end with connections open in every state. */

/** One connection in every state in which it may be when its thread ends. */
class OpenConnections {
  readonly #client: HttpClient;
  readonly #raw: RawClient[] = [];

  private constructor(url: string) {
    this.#client = new HttpClient(url);
  }

  /** The engine must hold what asks for it: see `holding`. */
  static async open(url: string, engine: ScriptedEngine): Promise<OpenConnections> {
    const connections = new OpenConnections(url);
    const client = connections.#client;
    const port = Number(new URL(url).port);
    expect((await client.post(chatPath, chat('answer'))).status).toBe(200);
    const held = engine.calls.length;
    const slow = client.begin(chatPath, { body: chat('hold, at length', { stream: true }) });
    await slow.untilReceived('hello');
    slow.pause();
    for (let count = 0; count < 4; count += 1) {
      const stream = client.begin(chatPath, { body: chat('hold', { stream: true }) });
      await stream.untilReceived('hello');
      client.begin(chatPath, { body: chat('hold') });
      client.begin(chatPath, { body: chat('hold the head', { stream: true }) });
      const head = `POST ${chatPath} HTTP/1.1\r\nhost: router\r\n`;
      for (const bytes of ['', head, `${head}content-length: 100000\r\n\r\n{"messages"`]) {
        const raw = await RawClient.connect(port);
        await raw.send(bytes);
        connections.#raw.push(raw);
      }
    }
    await eventually(() => engine.calls.length === held + 13, 'every request to be held');
    return connections;
  }

  /** The router has closed all of them. */
  async untilClosed(): Promise<void> {
    for (const raw of this.#raw) await raw.untilClosed();
  }

  drop(): void {
    this.#client.close();
    for (const raw of this.#raw) raw.socket.destroy();
  }
}

/** 200 of them fill every buffer between an engine and a client that does not read. */
const longText = 'x'.repeat(64 * 1024);

/** An engine that begins streams and ends nothing, unless the request says `answer`. */
async function withHoldingEngine(test: (engine: ScriptedEngine) => Promise<void>): Promise<void> {
  const engine = await ScriptedEngine.start((call) => {
    const body = call.body.toString();
    if (body.includes('"answer"')) answerChat(call);
    if (!body.includes('"stream":true')) return;
    beginStream(call);
    if (body.includes('the head')) return;
    call.response.write(chatEvent('hello'));
    if (!body.includes('at length')) return;
    for (let count = 0; count < 200; count += 1) call.response.write(chatEvent(longText));
  });
  try {
    await test(engine);
  } finally {
    await engine.close();
  }
}

async function urlOf(process: CliProcess): Promise<string> {
  const [, url] = await process.untilPrinted(/serves on (http:\S+)/);
  return url!;
}

describe.each(frontEnds)('behind the front end $name', ({ name, missing }) => {
  const it = test.skipIf(missing !== null);
  const serve = (engine: ScriptedEngine, ...more: string[]) => [
    ...['serve', '--port=0', '--worker-urls', engine.url, '--front-end', name],
    // An engine that holds everything: what waits in the router would never reach it.
    ...['--io-threads=2', '--log-level=warn', '--queue=direct', ...more],
  ];

  it('SIGTERM with connections in every state: over within the grace period and 1 s', () =>
    withHoldingEngine((engine) =>
      withCli(serve(engine, '--shutdown-grace-period-secs=0.5'), async (process) => {
        const connections = await OpenConnections.open(await urlOf(process), engine);
        const startMs = performance.now();
        process.signal('SIGTERM');
        expect(await process.ended()).toBe(0);
        const tookMs = performance.now() - startMs;
        expect(tookMs).toBeGreaterThan(450);
        expect(tookMs).toBeLessThan(1_500);
        expect(process.stderr).toBe('');
        await connections.untilClosed();
        connections.drop();
      }),
    ));

  it('a second SIGTERM ends it at once, whatever is open', () =>
    withHoldingEngine((engine) =>
      withCli(serve(engine), async (process) => {
        const connections = await OpenConnections.open(await urlOf(process), engine);
        process.signal('SIGTERM');
        process.signal('SIGINT');
        const startMs = performance.now();
        expect(await process.ended()).toBe(143);
        expect(performance.now() - startMs).toBeLessThan(1_000);
        expect(process.stderr).toBe('');
        connections.drop();
      }),
    ));

  it('close() with connections in every state leaves the process alive', () =>
    withHoldingEngine(async (engine) => {
      const config = configFor([engine.url], { frontEnd: name, ioThreads: 2, queueMode: 'direct' });
      for (const graceMs of [0, 100]) {
        const router = await startRouter(config);
        const connections = await OpenConnections.open(router.url, engine);
        const startMs = performance.now();
        await router.close(graceMs);
        expect(performance.now() - startMs).toBeLessThan(graceMs + 1_000);
        await connections.untilClosed();
        connections.drop();
      }
    }));
});

test.skipIf(frontEnds[0]!.missing !== null)('both of two I/O threads serve', () =>
  withRouter({ engines: 2, config: { ioThreads: 2, frontEnd: 'uws' } }, async ({ router }) => {
    // A connection stays with its thread, so many of them: all on one by chance is 2 ** -63.
    const clients = Array.from({ length: 64 }, () => new HttpClient(router.url));
    await Promise.all(
      clients.map(async (client) => {
        expect((await client.post(chatPath, chat('hello'))).status).toBe(200);
        client.close();
      }),
    );
    await eventually(() => endingsCount(router) === clients.length, 'every ending');
    const served = router.stats.map((thread) => thread.ending('completed'));
    expect(served).toHaveLength(2);
    expect(Math.min(...served)).toBeGreaterThan(0);
  }),
);

test(
  'ten routers one after the other in one process leave no descriptor and no thread',
  () =>
    withHoldingEngine(async (engine) => {
      const held = () => ['fd', 'task'].map((kind) => readdirSync(`/proc/self/${kind}`).length);
      const runOnce = async () => {
        const router = await startRouter(
          configFor([engine.url], { ioThreads: 2, queueMode: 'direct' }),
        );
        const connections = await OpenConnections.open(router.url, engine);
        await router.close(0);
        connections.drop();
      };
      // The first brings up what the process keeps: the thread pool, loaded binaries.
      await runOnce();
      const [descriptors, threads] = held() as [number, number];
      for (let round = 0; round < 10; round += 1) await runOnce();
      await eventually(() => {
        const [descriptorsNow, threadsNow] = held() as [number, number];
        return descriptorsNow <= descriptors && threadsNow <= threads;
      }, `no more than ${descriptors} descriptors and ${threads} threads`);
    }),
  60_000,
);
