/**
 * A live fleet under load, each part in a process of its own: emulated engines, a router in front
 * of them, `dualmap replay` as the load. Everything runs `timeScale` times faster alike; what it is
 * told is in the engines' own time. Ends nothing but its own children.
 */
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const enginesProgram = fileURLToPath(new URL('engines.mjs', import.meta.url));
const children = new Set();
// However the run ends: nothing is left behind.
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

function keep(child) {
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

function command(args, stdout) {
  return keep(spawn(process.execPath, [cli, ...args], { stdio: ['ignore', stdout, 'inherit'] }));
}

async function end(child) {
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

/** Engines that stay for a whole comparison: their addresses decide where prefixes map to. */
export class Engines {
  urls = [];
  #child;

  static async start({ instances, preset, timeScale }) {
    const engines = new Engines();
    const args = [String(instances), preset, String(timeScale)];
    engines.#child = keep(fork(enginesProgram, args));
    [engines.urls] = await once(engines.#child, 'message');
    return engines;
  }

  /** Since it was asked before: `cpuMs`, `lateP99Ms`, and the `stats` of each engine. */
  async status() {
    this.#child.send('status');
    const [status] = await once(this.#child, 'message');
    return status;
  }

  /** As if they had just been started. They must be at rest. */
  async clear() {
    const { stats } = await this.status();
    if (stats.some(({ waiting, running }) => waiting + running > 0)) {
      throw new Error('an engine still works for a request of the run before');
    }
    for (const url of this.urls) await fetch(`${url}/flush_cache`, { method: 'POST' });
  }

  async stop() {
    await end(this.#child);
  }
}

/** A router in front of `urls`. What it is told in milliseconds is scaled; `args` are not. */
export async function startRouter(urls, { policy, sloTtftMs, usPerToken, timeScale, args = [] }) {
  const child = command(
    [
      ...['serve', '--worker-urls', ...urls, '--host', '127.0.0.1', '--port', '0'],
      ...['--policy', policy, '--explain', 'on', '--log-level', 'error'],
      ...['--slo-ttft-ms', String(Math.round(sloTtftMs / timeScale))],
      ...['--prefill-us-per-token', String(usPerToken / timeScale)],
      // Engines are asked once a second of their life, but no more often than the router can.
      ...['--metrics-poll-interval-ms', String(Math.max(50, Math.round(1000 / timeScale)))],
      ...['--warm-up-secs', String(30 / timeScale)],
      ...args,
    ],
    'pipe',
  );
  const printed = once(child.stdout.setEncoding('utf8'), 'data');
  const ended = once(child, 'exit').then(() => ['']);
  const [text] = await Promise.race([printed, ended]);
  const url = /http:\/\/\S+/.exec(text)?.[0];
  if (url === undefined) throw new Error('the router did not start');
  return { url, stop: () => end(child) };
}

/**
 * Replays a plan (`workload.mjs`) on a router. Resolves with the outcome of every request, in order
 * of arrival; times in there are real.
 */
export async function replay(url, plan, { sloTtftMs, timeScale, seed }) {
  const folder = mkdtempSync(join(tmpdir(), 'dualmap-replay-'));
  try {
    const outcomes = join(folder, 'outcomes.jsonl');
    const { path, limit, maxInputTokens, maxOutputTokens, stretch } = plan;
    const child = command(
      [
        ...['replay', '--trace', path, '--url', url, '--outcomes', outcomes],
        // Its clock runs `stretch` times slower than the engines': so must its objective.
        ...['--speed', String(timeScale / stretch), '--slo-ttft-ms', String(sloTtftMs / stretch)],
        ...['--limit', String(limit), '--max-input-tokens', String(maxInputTokens)],
        ...['--max-output-tokens', String(maxOutputTokens), '--seed', String(seed)],
      ],
      'ignore',
    );
    const [code] = await once(child, 'exit');
    // 3: it was late, which whoever reads the outcomes sees as well.
    if (code !== 0 && code !== 3) throw new Error(`replay ended with ${code}`);
    const lines = readFileSync(outcomes, 'utf8').trimEnd().split('\n');
    return lines.map((line) => JSON.parse(line)).sort((a, b) => a.request - b.request);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
