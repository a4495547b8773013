import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { blockSizes, readTrace, readTraceOf, TraceFault } from '../../src/replay/trace.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'replay-trace-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function save(name: string, content: string | Buffer): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

function line(fields: object = {}): string {
  const row = { timestamp: 0, input_length: 600, output_length: 5, hash_ids: [1, 2], ...fields };
  return JSON.stringify(row);
}

test('plain and compressed files give the same rows', async () => {
  const content = `${line()}\n${line({ timestamp: 3000, hash_ids: [1, 9] })}\n`;
  const plain = await readTrace(await save('a.jsonl', content));
  const compressed = await readTrace(await save('a.jsonl.gz', gzipSync(content)));
  expect(plain).toEqual([
    { timestampMs: 0, inputTokens: 600, outputTokens: 5, blockIds: [1, 2] },
    { timestampMs: 3000, inputTokens: 600, outputTokens: 5, blockIds: [1, 9] },
  ]);
  expect(compressed).toEqual(plain);
});

test('takes ids as texts, CRLF, empty lines and a last line without an end', async () => {
  const content = `${line({ hash_ids: ['18446744073709551615', '7'] })}\r\n\n${line()}`;
  const rows = await readTrace(await save('b.jsonl', content));
  expect(rows.map((row) => row.blockIds)).toEqual([
    ['18446744073709551615', '7'],
    [1, 2],
  ]);
});

test('sorts by arrival and keeps the order within one timestamp', async () => {
  const content = [5, 3, 5, 3].map((timestamp, output_length) =>
    line({ timestamp, output_length }),
  );
  const rows = await readTrace(await save('c.jsonl', content.join('\n')));
  expect(rows.map((row) => row.outputTokens)).toEqual([1, 3, 0, 2]);
});

test('a line longer than a read is one line', async () => {
  const hash_ids = Array.from({ length: 40_000 }, (_, index) => `block-${index}`);
  const content = line({ input_length: hash_ids.length * 512, hash_ids });
  const rows = await readTrace(await save('long.jsonl', `${line()}\n${content}\n${line()}\n`));
  expect(rows.map((row) => row.blockIds.length)).toEqual([2, 40_000, 2]);
});

test.each([
  ['{', 'not JSON'],
  ['[]', 'not an object'],
  ['null', 'not an object'],
  [line({ timestamp: '0' }), 'timestamp'],
  [line({ timestamp: -1 }), 'timestamp'],
  [line({ input_length: 0, hash_ids: [] }), 'input_length'],
  [line({ input_length: 1.5 }), 'input_length'],
  [line({ output_length: -1 }), 'output_length'],
  [line({ hash_ids: undefined }), 'hash_ids is not an array'],
  [line({ hash_ids: [1, ''] }), 'hash_ids holds'],
  [line({ hash_ids: [1, null] }), 'hash_ids holds'],
  [line({ hash_ids: [1, 2 ** 53] }), 'hash_ids holds'],
  [line({ hash_ids: [1] }), '1 hash_ids, but input_length 600 makes 2 blocks'],
])('refuses %s and names its line', async (bad, reason) => {
  const path = await save('bad.jsonl', `${line()}\n\n${bad}\n${line()}\n`);
  const fault = await readTrace(path).catch((error: unknown) => error);
  expect(fault).toBeInstanceOf(TraceFault);
  expect(String(fault)).toContain(`line 3: ${reason}`);
});

test('names ten bad lines and counts the others', async () => {
  const path = await save('worse.jsonl', `${'x\n'.repeat(25)}`);
  const message = String(await readTrace(path).catch((error: unknown) => error));
  expect(message).toContain('25 bad lines');
  expect(message).toContain('line 10:');
  expect(message).not.toContain('line 11:');
  expect(message).toContain('and 15 more');
});

test('a missing file, a cut archive and a false archive are faults', async () => {
  const whole = gzipSync(`${line()}\n`.repeat(1000));
  const paths = [
    join(folder, 'absent.jsonl'),
    await save('cut.jsonl.gz', whole.subarray(0, whole.length / 2)),
    await save('false.jsonl.gz', line()),
  ];
  for (const path of paths) await expect(readTrace(path)).rejects.toBeInstanceOf(TraceFault);
});

test('the size of blocks is the one that fits every row', async () => {
  const rows = [64, 65, 6400].map((input_length) => {
    const ids = Array.from({ length: Math.ceil(input_length / 64) }, (_, id) => id);
    return line({ input_length, hash_ids: ids });
  });
  const path = await save('small.jsonl', rows.join('\n'));
  const { rows: read, blockTokens } = await readTraceOf(path, blockSizes);
  expect([blockTokens, read.length]).toEqual([64, 3]);
  await expect(readTrace(path)).rejects.toThrow('line 2: 2 hash_ids');
  // One begun block may be of any size: Mooncake's goes first.
  const short = await save('short.jsonl', line({ input_length: 9, hash_ids: [1] }));
  expect((await readTraceOf(short, blockSizes)).blockTokens).toBe(512);
  const mixed = await save('mixed.jsonl', [rows[2], line()].join('\n'));
  await expect(readTraceOf(mixed, blockSizes)).rejects.toThrow('line 1: 100 hash_ids');
});
