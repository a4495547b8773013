import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

/** `bench/soak` for 30 s at a rate that any machine holds, and the judgement it is judged by. */

const bench = new URL('../../bench/soak/', import.meta.url);
const { trendOf, bounds, metricSum } = await import(new URL('verdict.mjs', bench).href);
const { Heaps } = await import(new URL('heaps.mjs', bench).href);
const seconds = 30;
const perSecond = 60;

interface Report {
  readonly requests: number;
  readonly kinds: Readonly<Record<string, { sent: number; good: number; left: number }>>;
  readonly badAnswers: readonly object[];
  readonly faults: readonly string[];
}

async function soak(...flags: string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'dualmap-soak-'));
  const json = join(folder, 'soak.json');
  const args = [fileURLToPath(new URL('soak.mjs', bench)), '--json', json, ...flags];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  try {
    const [code] = await once(child, 'close');
    expect(output).toMatch(/^soak: (good|BAD): .*\n$/);
    const report = JSON.parse(readFileSync(json, 'utf8')) as Report;
    return { code: code as number, output, report };
  } finally {
    child.kill();
    rmSync(folder, { recursive: true });
  }
}

test.skipIf(process.platform !== 'linux')(
  `${seconds} s of mixed load: no error, no counter, no descriptor left`,
  async () => {
    const flags = ['--seconds', String(seconds), '--rate', String(perSecond)];
    const { code, output, report } = await soak(...flags, '--sample-seconds', '1');
    const { faults, badAnswers } = report;
    expect({ faults, badAnswers }).toEqual({ faults: [], badAnswers: [] });
    expect(output).toMatch(/^soak: good: /);
    expect(code).toBe(0);
    expect(report.requests).toBeGreaterThan(0.9 * seconds * perSecond);
    for (const [kind, { sent, good, left }] of Object.entries(report.kinds)) {
      expect([kind, sent > 0, good + left]).toEqual([kind, true, sent]);
    }
    expect(report.kinds.leavesBeforeFirstToken!.left).toBeGreaterThan(0);
    expect(report.kinds.leavesAfterFirstToken!.left).toBeGreaterThan(0);
  },
  120_000,
);

describe('what a trend is', () => {
  const mib = 2 ** 20;
  /** Every 5 s of 10 minutes. */
  const points = (value: (seconds: number) => number) =>
    Array.from({ length: 121 }, (_, index) => ({ seconds: index * 5, value: value(index * 5) }));
  const isFlat = (value: (seconds: number) => number) => trendOf(points(value), bounds.bytes).flat;

  test("a heap that warms up and then goes up and down with the collector's turns is flat", () => {
    const saw = (at: number) => 200 * mib + Math.min(at, 200) * mib * 0.3 + (at % 35) * mib;
    expect(isFlat(saw)).toBe(true);
  });

  test('a few samples far above the rest are no growth', () => {
    expect(isFlat((at) => (at % 100 === 0 ? 400 : 200) * mib)).toBe(true);
  });

  test('the same saw on a slope of 2 MiB a minute is none', () => {
    expect(isFlat((at) => (200 + (at * 2) / 60 + (at % 35)) * mib)).toBe(false);
  });

  test('teeth longer than a minute hide no leak, and are none', () => {
    const teeth = (at: number) => 200 * mib + (at % 106) * 0.3 * mib;
    expect(isFlat(teeth)).toBe(true);
    expect(isFlat((at) => teeth(at) + (at * 2 * mib) / 60)).toBe(false);
  });
});

test('a heap is what a full collection left of it, and takes what it has free', () => {
  const line = (isolate: string, kind: string, sizes: string) =>
    `[7:${isolate}]    40745 ms: ${kind} 17.0 (28.4) -> ${sizes} MB, 1.32 / 0.00 ms  (average`;
  const text = [
    line('0xa0', 'Scavenge', '12.0 (30.0)'),
    line('0xb0', 'Scavenge', '3.0 (4.0)'),
    line('0xa0', 'Mark-Compact (reduce)', '10.0 (14.0)'),
    line('0xa0', 'Scavenge', '13.0 (18.0)'),
    'listening on a port\n',
  ].join('\n');
  const heaps = new Heaps();
  heaps.push(text.slice(0, 100));
  heaps.push(text.slice(100));
  expect([heaps.liveBytes, heaps.takenBytes]).toEqual([13 * 2 ** 20, 22 * 2 ** 20]);
});

test('a metric is summed over its labels, and its name is matched whole', () => {
  const text = 'a_total{x="1"} 2\na_total{x="2"} 3\na_total_more 50\nb 7\n';
  expect(metricSum(text, 'a_total')).toBe(5);
  expect(metricSum(text, 'a_total', '"2"')).toBe(3);
  expect(metricSum(text, 'b')).toBe(7);
});
