import { describe, expect, it } from 'vitest';
import { drawChart } from '../../src/bench/chart.ts';
import { budgets, cells, metrics, quickCells } from '../../src/bench/overhead/cells.ts';
import type { ContenderName } from '../../src/bench/overhead/contenders.ts';
import type { RunResult } from '../../src/bench/overhead/measure.ts';
import { parseOverheadOptions } from '../../src/bench/overhead/options.ts';
import { allowedProcessors } from '../../src/bench/overhead/processes.ts';
import { chartOf, formatReport, makeReport } from '../../src/bench/overhead/report.ts';
import { streamsWithinLimit } from '../../src/bench/overhead/tools.ts';

const names = (given: Parameters<typeof parseOverheadOptions>[0]) =>
  parseOverheadOptions(given).options?.cells.map(({ name }) => name);

describe('cells', () => {
  it('have names of their own', () => {
    expect(new Set(cells.map(({ name }) => name)).size).toBe(cells.length);
  });

  it('are there for every budget, and for every kind of load in a smoke run', () => {
    const known = cells.map(({ name }) => name);
    expect(known).toEqual(expect.arrayContaining(budgets.map(({ cell }) => cell)));
    const quick = cells.filter(({ name }) => quickCells.includes(name));
    expect(new Set(quick.map(({ load }) => load.kind))).toEqual(
      new Set(cells.map(({ load }) => load.kind)),
    );
  });
});

describe('options', () => {
  it('are all cells, three rounds, five seconds', () => {
    expect(parseOverheadOptions({}).options).toMatchObject({
      ...{ rounds: 3, seconds: 5, quick: false, routerCommand: null, json: null, cells },
    });
  });

  it('add the cell that says what half load is', () => {
    expect(names({ only: 'latency-4k' })).toEqual(['unary-4k', 'latency-4k']);
    expect(names({ only: 'cancel, unary-200b' })).toEqual(['unary-200b', 'cancel']);
  });

  it('are a smoke run with --quick', () => {
    expect(names({ quick: true })).toEqual(
      cells.map(({ name }) => name).filter((name) => quickCells.includes(name)),
    );
    expect(names({ quick: true, only: 'cancel' })).toEqual(['cancel']);
  });

  it('name every fault at once', () => {
    const { options, faults } = parseOverheadOptions({
      ...{ rounds: '0', seconds: 'x', only: 'unary-4k,nope', routerCommand: 'run %PORT%' },
    });
    expect(options).toBeNull();
    expect(faults.join('\n')).toMatch(
      /--rounds: 0.*\n--seconds: x.*\n--only: nope.*\n--router-command: %UPSTREAM%/,
    );
  });
});

describe('the machine', () => {
  it('lends the processors that this process may use', () => {
    expect(allowedProcessors('Name:\tnode\nCpus_allowed_list:\t0-1,4,6-7\n')).toEqual([
      ...[0, 1, 4, 6, 7],
    ]);
  });

  it('holds as many streams as its descriptors allow', () => {
    const limit = (hard: string) =>
      `Max open files            1024                 ${hard}   files\n`;
    expect(streamsWithinLimit(8000, limit('20000'))).toBe(8000);
    expect(streamsWithinLimit(8000, limit('4096'))).toBe(1548);
    expect(streamsWithinLimit(8000, limit('unlimited'))).toBe(8000);
  });
});

const facts = {
  ...{ command: 'dualmap bench overhead', commit: 'abc', date: '2026-01-01 00:00' },
  ...{ machine: 'm', versions: { node: 'v20' } },
};
const run = (figures: RunResult['figures']): RunResult => ({ figures, voidReason: null });
const cellNamed = (name: string) => cells.find((cell) => cell.name === name)!;

function reportOf(name: string, runs: Partial<Record<ContenderName, RunResult[]>>) {
  const entries = Object.entries(runs) as [ContenderName, RunResult[]][];
  const cell = { cell: cellNamed(name), runs: new Map(entries), offeredPerSecond: null };
  const all = { cells: [cell], peaks: [], streams: 8000 };
  return makeReport(all, facts, { rounds: 2, seconds: 5 });
}

describe('a report', () => {
  const report = reportOf('unary-4k', {
    nginx: [run({ cpuUsPerRequest: 20 }), run({ cpuUsPerRequest: 40 })],
    haproxy: [run({ cpuUsPerRequest: 10 }), { figures: null, voidReason: '3 socket errors' }],
    router: [run({ cpuUsPerRequest: 18 }), run({ cpuUsPerRequest: 36 })],
  });

  it('sets the router in relation to each rival of the same round', () => {
    const router = report.cells[0]!.contenders.at(-1)!;
    expect(router.ratios.cpuUsPerRequest).toMatchObject({
      nginx: { median: 0.9, min: 0.9, max: 0.9 },
      haproxy: { runs: [1.8] },
    });
  });

  it('judges every budget that was measured', () => {
    expect(report.budgets.map(({ times, isMet }) => [times, isMet])).toEqual([
      ['nginx', true],
      ['haproxy', false],
    ]);
  });

  it('shows no figure for a void run, and says so', () => {
    expect(report.isVoid).toBe(true);
    expect(report.cells[0]!.contenders[1]!.figures.cpuUsPerRequest?.runs).toEqual([10]);
    expect(formatReport(report)).toMatch(/VOID haproxy, round 2: 3 socket errors/);
    expect(formatReport(report)).toMatch(/cpu us\/request +1\.00 x haproxy +1\.80 +MISSED/i);
  });

  it('takes latency over direct, round by round', () => {
    const latency = reportOf('latency-4k', {
      direct: [run({ p50Ms: 1, p99Ms: 2 }), run({ p50Ms: 3, p99Ms: 4 })],
      router: [run({ p50Ms: 1.1, p99Ms: 3.5 }), run({ p50Ms: 3.1, p99Ms: 5.5 })],
    });
    expect(latency.budgets.map(({ measured, isMet }) => [measured!.toFixed(2), isMet])).toEqual([
      ['0.10', true],
      ['1.50', false],
    ]);
  });

  it('keeps what a run cost whose generator was late, but not its latency', () => {
    const late = { figures: { cores: 0.1 }, voidReason: 'the generator fell behind' };
    const bigBodies = reportOf('unary-400k', { router: [late, late] });
    expect(bigBodies.budgets).toMatchObject([{ metric: 'cores', measured: 0.1, isMet: true }]);
    expect(bigBodies.cells[0]!.contenders[0]!.figures.p50Ms).toBeUndefined();
    expect(formatReport(bigBodies)).toMatch(/VOID router, round 1: the generator fell behind/);
  });

  it('says that a budget was not measured if every run of it is void', () => {
    const empty = reportOf('streams', { router: [{ figures: null, voidReason: 'no answer' }] });
    expect(empty.budgets).toMatchObject([{ measured: null, isMet: null }]);
    expect(formatReport(empty)).toContain('not measured');
  });

  it('becomes a chart', () => {
    const svg = drawChart(chartOf(report));
    expect(svg).toContain('CPU per request');
    expect(svg).toContain('unary-4k');
    expect(svg).not.toContain('>CPU per SSE chunk');
  });

  it('has a title for every figure', () => {
    expect(Object.keys(metrics)).toEqual(
      expect.arrayContaining([...new Set(budgets.map(({ metric }) => metric))]),
    );
  });
});
