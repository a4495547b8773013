/**
 * One trace, several policies, each on a fresh fleet of emulated engines behind a fresh router: how
 * much cached prompt each reuses and how many requests meet the SLO. Run after the build:
 *
 *   node bench/replay/compare.mjs --trace FILE [--policies a,b] [--instances 4] [--time-scale 10]
 *        [--load 1] [--limit 600] [--max-input-tokens 20480] [--slo-ttft-ms 5000] [--json OUT]
 *
 * Engines and router run in processes of their own. Times are given in the life of the engines:
 * `--time-scale` makes everything faster alike; `--load` alone makes requests come closer together.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatFacts, runFacts } from '../../dist/bench/environment.js';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const { values } = parseArgs({
  options: {
    trace: { type: 'string' },
    policies: { type: 'string', default: 'round_robin,least_tokens,consistent_hash,dualmap-paper' },
    instances: { type: 'string', default: '4' },
    'time-scale': { type: 'string', default: '10' },
    load: { type: 'string', default: '1' },
    limit: { type: 'string', default: '600' },
    'max-input-tokens': { type: 'string', default: '20480' },
    'slo-ttft-ms': { type: 'string', default: '5000' },
    json: { type: 'string' },
  },
});
if (values.trace === undefined) throw new Error('--trace is missing');
const facts = {
  ...runFacts([], {}),
  command: ['node bench/replay/compare.mjs', ...process.argv.slice(2)].join(' '),
};
console.log(`${formatFacts(facts)}\n`);
const timeScale = Number(values['time-scale']);
const load = Number(values.load);
const sloTtftMs = Number(values['slo-ttft-ms']);
const paperUsPerToken = 160;

/** Starts a command of the CLI; resolves with its process and the URL that it prints. */
function start(args) {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.stdout.on('data', (data) => {
      const url = /http:\/\/\S+/.exec(String(data))?.[0];
      if (url !== undefined) resolve({ child, url });
    });
    child.once('exit', (code) => reject(new Error(`${args[0]} ended with ${code}`)));
  });
}

function stop(child) {
  return new Promise((resolve) => {
    child.removeAllListeners('exit').once('exit', resolve);
    child.kill('SIGTERM');
  });
}

async function measure(policy, folder) {
  const engines = await Promise.all(
    Array.from({ length: Number(values.instances) }, () =>
      start(['emulate', '--port', '0', '--preset', 'paper-7b', '--time-scale', String(timeScale)]),
    ),
  );
  const router = await start([
    'serve',
    ...['--worker-urls', ...engines.map(({ url }) => url)],
    ...['--host', '127.0.0.1', '--port', '0', '--policy', policy, '--explain', 'on'],
    ...['--slo-ttft-ms', String(sloTtftMs / timeScale), '--log-level', 'error'],
    ...['--prefill-us-per-token', String(paperUsPerToken / timeScale)],
  ]);
  const out = join(folder, 'replay.json');
  // The generator's clock runs `load` times faster than the engines': its SLO makes up for that.
  const replay = spawn(
    process.execPath,
    [
      ...[cli, 'replay', '--trace', values.trace, '--url', router.url, '--json', out],
      ...['--speed', String(timeScale * load), '--slo-ttft-ms', String(sloTtftMs * load)],
      ...['--limit', values.limit, '--max-input-tokens', values['max-input-tokens']],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  await new Promise((resolve) => replay.once('exit', resolve));
  await stop(router.child);
  await Promise.all(engines.map(({ child }) => stop(child)));
  const report = JSON.parse(readFileSync(out, 'utf8'));
  for (const key of ['p50', 'p90', 'p99']) report.ttftMs[key] /= load;
  return report;
}

const folder = mkdtempSync(join(tmpdir(), 'dualmap-compare-'));
const rows = {};
try {
  for (const policy of values.policies.split(',')) {
    const report = await measure(policy, folder);
    rows[policy] = report;
    const { attainment, ttftMs, hitRatio, errors, lost, sendLateMs } = report;
    console.log(
      `${policy.padEnd(16)} attainment ${(100 * attainment).toFixed(1).padStart(5)} %  ` +
        `P50 ${(ttftMs.p50 / 1000).toFixed(2)} s  P90 ${(ttftMs.p90 / 1000).toFixed(2)} s  ` +
        `hit ratio ${(100 * hitRatio).toFixed(1).padStart(4)} %  errors ${errors}  lost ${lost}  ` +
        `late p99 ${sendLateMs.p99.toFixed(1)} ms${report.void ? `  VOID: ${report.voidReason}` : ''}`,
    );
  }
} finally {
  rmSync(folder, { recursive: true });
}
if (values.json !== undefined) {
  writeFileSync(
    values.json,
    `${JSON.stringify({ facts, settings: values, policies: rows }, null, 1)}\n`,
  );
}
