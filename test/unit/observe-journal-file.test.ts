import { existsSync } from 'node:fs';
import { type FileHandle, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { JournalFile } from '../../src/observe/journal-file.ts';

let folder = '';
let events: string[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'journal-'));
  events = [];
});
afterEach(() => rm(folder, { recursive: true }));

const listener = {
  onLost: (cause: unknown) => events.push(`lost: ${(cause as NodeJS.ErrnoException).code}`),
  onWrittenAgain: () => events.push('written again'),
};
const begin = (path = join(folder, 'j'), bytesMax = 100, filesMax = 3) =>
  JournalFile.open({ path, bytesMax, filesMax }, listener);
const text = (name: string) => readFile(join(folder, name), 'utf8');
/** 40 bytes: two fit in a file of 100. */
const line = (name: number) => `${String(name).padStart(39, '.')}\n`;

describe('the file', () => {
  test('goes on where it ended', async () => {
    for (const name of [1, 2]) {
      const file = await begin();
      expect(await file.append(line(name))).toBe(true);
      await file.close();
    }
    expect(await text('j')).toBe(line(1) + line(2));
  });

  test('is rotated by size, and as many are kept as configured', async () => {
    const file = await begin();
    const written = [1, 2, 3, 4, 5, 6, 7].map((name) => file.append(line(name)));
    expect(await Promise.all(written)).toEqual(written.map(() => true));
    await file.close();
    expect((await readdir(folder)).sort()).toEqual(['j', 'j.1', 'j.2']);
    expect(await Promise.all(['j.2', 'j.1', 'j'].map(text))).toEqual([
      line(3) + line(4),
      line(5) + line(6),
      line(7),
    ]);
  });

  test('alone begins anew', async () => {
    const file = await begin(join(folder, 'j'), 50, 1);
    for (const name of [1, 2, 3]) await file.append(line(name));
    await file.close();
    expect(await readdir(folder)).toEqual(['j']);
    expect(await text('j')).toBe(line(3));
  });

  test('has room for a batch that is larger than it', async () => {
    const file = await begin();
    await file.append(line(1).repeat(5));
    expect(await readdir(folder)).toEqual(['j']);
    await file.append(line(2));
    await file.append(line(3).repeat(5));
    await file.close();
    expect([await text('j.2'), await text('j.1'), await text('j')]).toEqual([
      line(1).repeat(5),
      line(2),
      line(3).repeat(5),
    ]);
  });

  test('that cannot be opened is a fault in words', async () => {
    await expect(begin(join(folder, 'absent', 'j'))).rejects.toThrow(/cannot write the journal/);
  });
});

describe('a full disk', () => {
  test.skipIf(!existsSync('/dev/full'))('loses lines, and says so once', async () => {
    const file = await begin('/dev/full');
    expect(await file.append(line(1))).toBe(false);
    expect(await file.append(line(2))).toBe(false);
    await file.close();
    expect(events).toEqual(['lost: ENOSPC']);
  });

  test('leaves no half line, and is written to again once there is room', async () => {
    const probe = await open(join(folder, 'probe'), 'w');
    const prototype = Object.getPrototypeOf(probe) as FileHandle;
    await probe.close();
    const file = await begin();
    await file.append(line(1));
    const full = vi.spyOn(prototype, 'appendFile').mockImplementationOnce(async function (
      this: FileHandle,
      data,
    ) {
      await this.write((data as Buffer).subarray(0, 10));
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
    });
    expect(await file.append(line(2))).toBe(false);
    expect(await text('j')).toBe(line(1));
    expect(await file.append(line(3))).toBe(true);
    full.mockRestore();
    await file.close();
    expect(await text('j')).toBe(line(1) + line(3));
    expect(events).toEqual(['lost: ENOSPC', 'written again']);
  });
});
