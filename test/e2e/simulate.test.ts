import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SimulateReport } from '../../src/simulate/output.ts';
import { CliProcess } from '../support/e2e-process.ts';
import { Random } from '../support/random.ts';

/** `dualmap simulate` as its users run it. */

let folder = '';
let trace = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'simulate-e2e-'));
  trace = join(folder, 'made.jsonl');
  const random = new Random(1);
  const lines = Array.from({ length: 400 }, (_, at) => {
    const blocks = 1 + random.below(12);
    const user = random.below(30);
    const hash_ids = Array.from({ length: blocks }, (_, block) => 100 * user + block);
    const row = { timestamp: 250 * at, input_length: 512 * blocks, output_length: 20, hash_ids };
    return JSON.stringify(row);
  });
  writeFileSync(trace, lines.join('\n'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function simulate(args: readonly string[]) {
  const json = join(folder, 'out.json');
  const process = new CliProcess(['simulate', '--trace', trace, '--json', json, ...args]);
  const code = await process.ended();
  expect([code, process.stderr]).toEqual([0, '']);
  const report = JSON.parse(readFileSync(json, 'utf8')) as SimulateReport;
  return { report, stdout: process.stdout };
}

test('results are the same on any number of threads, in the order asked for', async () => {
  const sweep = ['--policy', 'round_robin,dualmap-paper', '--load', '0.7,1.1', '--seeds', '2'];
  const presets = ['--preset', 'paper-7b,a100-7b', '--instances', '3', '--routers', '1,2'];
  const one = await simulate([...sweep, ...presets, '--threads', '1']);
  const two = await simulate([...sweep, ...presets, '--threads', '2']);
  expect(two.report.cells).toEqual(one.report.cells);
  expect(two.report.summary).toEqual(one.report.summary);
  expect(two.stdout).toBe(one.stdout);
  expect(one.report.cells).toHaveLength(32);
  expect(one.report.summary).toHaveLength(16);
  const { preset, routers, policy, seed } = one.report.cells[7]!;
  expect({ preset, routers, policy, seed }).toEqual({
    ...{ preset: 'paper-7b', routers: 1, policy: 'dualmap-paper', seed: 2 },
  });
  expect(one.stdout.trimEnd().split('\n')).toHaveLength(17);
});

test('the page and the facts tell the command, and no folder of the machine', async () => {
  const page = join(folder, 'out.html');
  const rules = ['--policy', 'dualmap,random', '--vary', 'binding=early', '--load', '0.5,1'];
  const { report } = await simulate([...rules, '--instances', '2', '--report', page]);
  const command = [
    ...['dualmap simulate --trace made.jsonl --policy dualmap,random --instances 2 --load 0.5,1'],
    ...['--vary binding=early --json out.json --report out.html'],
  ].join(' ');
  expect(report.facts.command).toBe(command);
  expect(report.facts.versions.node).toBe(process.version);
  const [dualmap, random, early] = report.summary;
  expect([dualmap!.paired, random!.paired!.policy, early!.variant]).toEqual([
    ...[null, 'dualmap', 'binding=early'],
  ]);
  expect(report.cells[0]!.timeline!.waiting).toHaveLength(100);
  const html = readFileSync(page, 'utf8');
  expect(html).toContain(command);
  for (const text of [html, JSON.stringify(report)]) expect(text).not.toContain(folder);
  const plain = await simulate(['--instances', '2']);
  expect(plain.report.cells[0]).not.toHaveProperty('timeline');
});

test('goodput is the highest rate that nine of ten still stand', async () => {
  const fleet = ['--policy', 'dualmap-paper', '--slo-ttft-ms', '1500', '--instances', '2'];
  const { report } = await simulate([...fleet, '--goodput', '--threads', '1']);
  const [cell] = report.cells;
  expect(report.summary[0]!.goodputQps).toBe(cell!.qps);
  expect(cell!.attainment).toBeGreaterThanOrEqual(0.9);
  const more = await simulate([...fleet, '--load', String(cell!.load * 1.1)]);
  expect(more.report.cells[0]!.attainment).toBeLessThan(0.9);
});

test('faults: all of them at once, exit code 2', async () => {
  const bad = ['--policy', 'nobody', '--load', '1,x', '--vary', 'binding=early;binding=some'];
  const process = new CliProcess(['simulate', ...bad]);
  expect(await process.ended()).toBe(2);
  expect(process.stderr).toContain('--trace is required');
  expect(process.stderr).toContain('--policy: must be some of');
  expect(process.stderr).toContain('--load: must be numbers');
  expect(process.stderr).toContain('--vary: must be sets of name=value');
  const absent = new CliProcess(['simulate', '--trace', join(folder, 'absent.jsonl')]);
  expect(await absent.ended()).toBe(2);
  expect(absent.stderr).toContain('absent.jsonl');
});
