import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

/** `bench/replay` in small: that it measures what it says, not what comes out. */

const bench = new URL('../../bench/replay/', import.meta.url);
const { verdicts } = await import(new URL('table.mjs', bench).href);
const requestsCount = 60;
let folder = '';
let trace = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'dualmap-fleet-'));
  trace = join(folder, 'small.jsonl');
  // Five conversations, each of whose prompts begins as the one before.
  const lines = Array.from({ length: requestsCount }, (_, at) => {
    const blocks = 1 + Math.floor(at / 10);
    const hashIds = Array.from({ length: blocks }, (_, block) => (at % 5) * 100 + block);
    const row = { timestamp: at * 500, input_length: blocks * 512, output_length: 3 };
    return JSON.stringify({ ...row, hash_ids: hashIds });
  });
  writeFileSync(trace, lines.join('\n'));
});

afterAll(() => rmSync(folder, { recursive: true }));

async function run(program: string, ...flags: string[]) {
  const json = join(folder, 'out.json');
  const small = ['--trace', trace, '--limit', String(requestsCount), '--warmup', '10'];
  const args = [fileURLToPath(new URL(program, bench)), ...small, '--json', json, ...flags];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const text = readFileSync(json, 'utf8');
  return { stdout, text, report: JSON.parse(text) };
}

test('every policy and variant runs at every load, beside its simulation', async () => {
  const { stdout, text, report } = await run(
    'compare.mjs',
    ...['--instances', '2', '--loads', '0.3', '--policies', 'dualmap,round_robin'],
    ...['--variant', 'fcfs:--queue-order=fcfs', '--slo-ttft-ms', '60000'],
  );
  const names = report.cells.map((cell: { load: number; name: string }) => [cell.load, cell.name]);
  const contenders = ['dualmap', 'round_robin', 'fcfs'];
  expect(names).toEqual(contenders.map((name) => [0.3, name]));
  for (const cell of report.cells) {
    expect(cell).toMatchObject({ requests: requestsCount - 10, errors: 0, lost: 0, attainment: 1 });
    expect(cell.simulated.attainment).toBe(1);
    // The same requests on the same instances find the same blocks there.
    if (cell.name === 'round_robin') expect(cell.hitRatio).toBeCloseTo(cell.simulated.hitRatio, 1);
    expect(cell.hitRatio).toBeGreaterThan(0);
  }
  expect(stdout).toMatch(/^\| 0\.3 \| fcfs \| 100\.0 % \| 100\.0 % \|/m);
  expect(stdout).toMatch(/^(met|missed): load 0\.3: dualmap/m);
  expect(report.facts.command).toContain('--trace small.jsonl');
  expect(text).not.toContain(folder);
}, 120_000);

test('an instance joins and another leaves, and nothing is lost', async () => {
  const { stdout, report } = await run('elastic.mjs', '--instances', '2', '--load', '0.3');
  expect(report.moved).toMatchObject({ errors: 0, lost: 0 });
  expect(report.still).toMatchObject({ errors: 0, lost: 0 });
  expect(report.events.map(({ name }: { name: string }) => name)).toEqual(['joins', 'leaves']);
  expect(stdout).toContain('met: requests failed or lost: 0, at most 0');
}, 120_000);

test('where the best of the others is weak, more is asked for', () => {
  const cell = (policy: string, attainment: number) => {
    return { load: 1, name: policy, policy, attainment };
  };
  const judge = (ours: number, best: number) =>
    verdicts([
      cell('dualmap', ours),
      cell('dualmap-paper', 1),
      cell('least_tokens', best),
      cell('round_robin', 0),
    ]);
  expect(judge(0.9, 0.74)).toEqual([
    { load: 1, best: 'least_tokens', atLeast: 0.94, measured: 0.9 },
  ]);
  expect(judge(0.9, 0.75)[0].atLeast).toBeCloseTo(0.74);
  expect(verdicts([cell('dualmap', 1)])).toEqual([]);
});

test('several routers share the requests of one trace, and nothing else', async () => {
  const { stdout, report } = await run(
    'routers.mjs',
    ...['--instances', '2', '--counts', '1,3', '--loads', '0.3', '--policies', 'dualmap'],
    ...['--slo-ttft-ms', '60000'],
  );
  expect(report.cells.map((cell: { routers: number }) => cell.routers)).toEqual([1, 3]);
  for (const cell of report.cells) {
    expect(cell).toMatchObject({ requests: requestsCount - 10, errors: 0, lost: 0, attainment: 1 });
    expect(cell.hitRatio).toBeGreaterThan(0.2);
    expect(cell.queueMs.p50).toBeGreaterThanOrEqual(0);
    expect(cell.engineMs.p50).toBeGreaterThan(0);
  }
  expect(stdout).toMatch(/^(met|missed): load 0\.3, 3 routers, hits: /m);
}, 60_000);
