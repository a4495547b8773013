import { describe, expect, test } from 'vitest';
import { type HttpCall, HttpClient, isWholeStream } from '../support/e2e-client.ts';
import { answerChat, ScriptedEngine } from '../support/e2e-engine.ts';
import { type CliProcess, withCli } from '../support/e2e-process.ts';
import { eventually } from '../support/listen-client.ts';
import { chat, chatPath } from '../support/router.ts';

/** The process ends while requests wait in the router. */

const hold = () => undefined;

/** Lets go what the engine holds, and holds nothing from now on. */
function release(engine: ScriptedEngine): void {
  engine.act = answerChat;
  for (const call of engine.calls) if (!call.response.headersSent) answerChat(call);
}

describe('a process that is told to end while requests wait', () => {
  interface Parts {
    readonly process: CliProcess;
    readonly url: string;
    readonly engine: ScriptedEngine;
    readonly calls: HttpCall[];
  }

  /** The first signal has been heard: no connection is taken any more. */
  const untilRefused = (url: string) =>
    expect
      .poll(
        async () => {
          const fresh = new HttpClient(url);
          const { status } = await fresh.get('/health');
          fresh.close();
          return status;
        },
        { timeout: 10_000 },
      )
      .toBe(null);

  /** One request that the engine holds, and three that wait for it. */
  async function withWaiting(run: (parts: Parts) => Promise<void>): Promise<void> {
    const engine = await ScriptedEngine.start(hold);
    const options = ['--queue', 'router', '--prefill-window-tokens', '1', '--log-level', 'warn'];
    const args = ['serve', '--port=0', '--worker-urls', engine.url, ...options];
    const started = withCli(args, async (process) => {
      const [, url] = await process.untilPrinted(/serves on (http:\S+)/);
      const client = new HttpClient(url!);
      const begin = (content: string) =>
        client.begin(chatPath, { body: chat(content, { stream: true }) });
      const calls = [begin('busy')];
      await eventually(() => engine.calls.length === 1, 'the engine to have it');
      for (const content of ['one', 'two', 'three']) calls.push(begin(content));
      const queued = async () => String((await client.get('/metrics')).body);
      const three = /^dualmap_instance_queued_requests\{.*\} 3$/m;
      await expect.poll(queued, { timeout: 5_000, interval: 10 }).toMatch(three);
      await run({ process, url: url!, engine, calls });
      client.close();
    });
    await started.finally(() => engine.close());
  }

  test('SIGTERM: they have their turn, exit 0', async () => {
    await withWaiting(async ({ process, url, engine, calls }) => {
      process.signal('SIGTERM');
      await untilRefused(url);
      release(engine);
      for (const call of calls) expect(isWholeStream(await call.answer)).toBe(true);
      expect(await process.ended()).toBe(0);
      expect(engine.calls).toHaveLength(4);
    });
  });

  test('a second SIGTERM ends it at once', async () => {
    await withWaiting(async ({ process, url, engine, calls }) => {
      process.signal('SIGTERM');
      await untilRefused(url);
      process.signal('SIGTERM');
      expect(await process.ended()).toBe(143);
      for (const call of calls) expect((await call.answer).complete).toBe(false);
      expect(engine.calls).toHaveLength(1);
    });
  });
});
