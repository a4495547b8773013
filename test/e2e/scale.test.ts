import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

/** `bench/scale` in small: that it measures what it says, not what comes out. */

const program = fileURLToPath(new URL('../../bench/scale/churn.mjs', import.meta.url));

interface Cell {
  readonly cell: string;
  readonly decisions: number;
  readonly builds: number;
  readonly left: number;
  readonly p50Us: number;
  readonly maxUs: number;
  readonly aboveOneMs: number;
  readonly ownMaxUs: number;
  readonly ownAboveOneMs: number;
}

test('a small fleet is turned over while a thread decides', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dualmap-scale-'));
  try {
    const json = join(folder, 'churn.json');
    const args = ['--instances', '40', '--seconds', '0.3', '--rounds', '1', '--json', json];
    const { stdout } = await promisify(execFile)(process.execPath, [program, ...args]);
    expect(stdout).toMatch(/^(met|missed): decisions that took more than 1 ms of their own/m);
    const { cells } = JSON.parse(readFileSync(json, 'utf8')) as { cells: Cell[] };
    expect(cells.map(({ cell }) => cell)).toEqual(['still', 'elsewhere', 'churn']);
    for (const { cell, decisions, builds, left, p50Us, maxUs, ...above } of cells) {
      expect(decisions).toBeGreaterThan(1_000);
      expect(p50Us).toBeLessThanOrEqual(maxUs);
      expect([cell, builds > 0, left > 0]).toEqual([cell, cell !== 'still', cell !== 'still']);
      expect(above.ownAboveOneMs).toBeLessThanOrEqual(above.aboveOneMs);
      expect(above.ownMaxUs).toBeLessThanOrEqual(maxUs);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 60_000);
