import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';

/** `bench/study` in small: that one part runs, and a page is made of it. */

const bench = new URL('../../bench/study/', import.meta.url);
let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'dualmap-study-'));
  const lines = Array.from({ length: 30 }, (_, at) => {
    const row = { timestamp: at * 500, input_length: 1024, output_length: 3 };
    return JSON.stringify({ ...row, hash_ids: [at % 5, 100 + at] });
  });
  const trace = gzipSync(lines.join('\n'));
  writeFileSync(join(folder, 'conversation_trace.jsonl.gz'), trace);
});

afterAll(() => rmSync(folder, { recursive: true }));

async function run(program: string, ...flags: string[]): Promise<string> {
  const args = [fileURLToPath(new URL(program, bench)), ...flags];
  return (await promisify(execFile)(process.execPath, args)).stdout;
}

const study = (threads: number, ...flags: string[]) => {
  const out = join(folder, `out-${threads}`);
  const small = ['--seeds', '2', '--limit', '20', '--threads', String(threads)];
  return run('study.mjs', '--traces', folder, '--out', out, ...small, ...flags);
};

test('a part is run, the same on any number of threads, and a page made of it', async () => {
  await study(1, '--only', 'raw');
  await study(2, '--only', 'raw');
  const [one, two] = [1, 2].map((threads) => {
    return readFileSync(join(folder, `out-${threads}`, 'raw.json'), 'utf8');
  });
  const [alone, both] = [JSON.parse(one!), JSON.parse(two!)];
  expect(alone.rows).toHaveLength(2 * 5 * 7);
  expect(both.rows).toEqual(alone.rows);
  expect(alone.sweeps).toHaveLength(1);
  expect(alone.sweeps[0]).toMatch(/^dualmap simulate --trace conversation_trace.jsonl.gz .* raw/);
  expect(one).not.toContain(folder);

  const page = join(folder, 'study.html');
  const said = await run('page.mjs', '--in', join(folder, 'out-1'), '--out', page);
  expect(said.match(/^not run: /gm)).toHaveLength(10);
  const html = readFileSync(page, 'utf8');
  expect(html).toContain('<h2 id="raw">');
  expect(html).not.toContain('<h2 id="goodput">');
  expect(html.replace(/<script[\s\S]*<\/script>/, '')).not.toMatch(/NaN|undefined|https?:/);
}, 60_000);

test('a part that is not there is a fault', async () => {
  await expect(study(1, '--only', 'raw,cooked')).rejects.toThrow(/there is no part cooked/);
});
