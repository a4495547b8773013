import { expect, test } from 'vitest';
import { HttpClient } from '../support/e2e-client.ts';
import {
  beginStream,
  chatEvent,
  doneEvent,
  type EngineCall,
  ScriptedEngine,
} from '../support/e2e-engine.ts';
import { type CliProcess, withCli } from '../support/e2e-process.ts';
import { chat, chatPath } from '../support/router.ts';

/**
 * An error that nobody caught, in whatever thread: one line in the log and a code of its own, at
 * once; never a hang, and never the abort in which a thread ends that is forced to.
 */

const preload = new URL('../support/break-thread.mjs', import.meta.url);
const endedMsMax = 2_000;

/** Streams one token, and goes on to the end if the request asks for it. */
function answer(call: EngineCall): void {
  beginStream(call);
  call.response.write(chatEvent('hello'));
  if (call.body.includes('to the end')) call.response.end(doneEvent);
}

/**
 * A router of two I/O threads with streams open on both, as good as certainly, breaks as `provoke`
 * makes it. Returns what it logged.
 */
async function breakRouter(
  name: string,
  flags: readonly string[],
  provoke: (process: CliProcess, client: HttpClient) => void,
): Promise<string[]> {
  const engine = await ScriptedEngine.start(answer);
  const args = ['serve', '--port=0', '--worker-urls', engine.url, '--io-threads=2'];
  const breakIt = async (process: CliProcess) => {
    const [, url] = await process.untilPrinted(/serves on (http:\S+)/);
    const client = new HttpClient(url!);
    const body = { prompt: 'stays', stream: true };
    const streams = Array.from({ length: 16 }, () => client.begin('/v1/completions', { body }));
    for (const stream of streams) await stream.untilReceived('hello');
    const startMs = performance.now();
    provoke(process, client);
    const code = await process.ended();
    expect(performance.now() - startMs).toBeLessThan(endedMsMax);
    // An abort would be a signal, and no code.
    expect({ code, log: process.stderr }).toMatchObject({ code: 70 });
    for (const stream of streams) expect((await stream.answer).complete).toBe(false);
    client.close();
    return process.stderr.trimEnd().split('\n');
  };
  try {
    const environment = { NODE_OPTIONS: `--import=${preload}`, BREAK: name };
    return await withCli([...args, '--log-level=warn', ...flags], breakIt, environment);
  } finally {
    await engine.close();
  }
}

const askOnce = (_process: CliProcess, client: HttpClient) => {
  void client.post(chatPath, chat('to the end', { stream: true }));
};

test.each([
  ['while it places a request', 'place'],
  ["in an event of an instance's connection", 'firstToken'],
  ['when a request has ended', 'end'],
  ['in a timer', 'sweep'],
  ['in a promise that nobody waits for', 'rejection'],
])('an I/O thread breaks %s: one line, exit code 70', async (_when, name) => {
  const lines = await breakRouter(name, [], askOnce);
  expect(lines).toEqual([expect.stringMatching(/ FATAL \[io-[12]\] uncaught error/)]);
});

test('the main thread breaks: one line, exit code 70', async () => {
  const lines = await breakRouter('main', [], (process) => process.signal('SIGUSR2'));
  expect(lines).toEqual([expect.stringMatching(/ FATAL \[main\] uncaught error/)]);
});

test('the line is JSON where the log is', async () => {
  const lines = await breakRouter('place', ['--log-json=on'], askOnce);
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({
      level: 60,
      thread: expect.stringMatching(/^io-[12]$/),
      msg: 'uncaught error, the process ends',
      stack: expect.stringContaining('broken on purpose'),
    }),
  ]);
});
