/**
 * What came out of `bench overhead`: medians, ratios to each rival, budgets; as JSON, as tables, as
 * a chart. Pure.
 */
import type { Chart, ChartPanel } from '../chart.ts';
import { formatFacts, type RunFacts } from '../environment.ts';
import { difference, pairedSpread, ratio, type Spread, spreadOf } from '../statistics.ts';
import { formatNumber, formatSpread, formatTable } from '../text.ts';
import {
  type Budget,
  budgets,
  type Cell,
  type FleetKind,
  type Metric,
  metrics,
  ratioMetrics,
  shownPer,
} from './cells.ts';
import { type ContenderName, contenderNames } from './contenders.ts';
import type { RunResult } from './measure.ts';
import type { CellRuns, OverheadRuns } from './run.ts';

export interface ContenderReport {
  readonly contender: ContenderName;
  readonly figures: Partial<Record<Metric, Spread>>;
  /** This contender's figure over that of a rival, round by round. */
  readonly ratios: Partial<Record<Metric, Partial<Record<ContenderName, Spread>>>>;
  readonly voids: readonly string[];
}

export interface CellReport {
  readonly cell: string;
  readonly what: string;
  readonly bodyBytes: number;
  readonly connections: number;
  readonly offeredPerSecond: number | null;
  readonly contenders: readonly ContenderReport[];
}

export interface BudgetReport extends Budget {
  readonly measured: number | null;
  readonly isMet: boolean | null;
}

export interface OverheadReport {
  readonly facts: RunFacts;
  readonly settings: {
    readonly rounds: number;
    readonly seconds: number;
    readonly streams: number;
  };
  readonly cells: readonly CellReport[];
  readonly budgets: readonly BudgetReport[];
  readonly peakResidentBytes: OverheadRuns['peaks'];
  readonly isVoid: boolean;
}

const metricNames = Object.keys(metrics) as Metric[];
type Figure = number | null;

/** Whom each is compared with. */
const rivalsOf: Readonly<Record<ContenderName, readonly ContenderName[]>> = {
  direct: [],
  nginx: [],
  haproxy: [],
  router: ['nginx', 'haproxy'],
  'router-2': ['nginx', 'haproxy', 'router'],
};

export function makeReport(
  { cells, peaks, streams }: OverheadRuns,
  facts: RunFacts,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): OverheadReport {
  const reports = cells.map(reportCell);
  return {
    facts,
    settings: { rounds, seconds, streams },
    cells: reports,
    budgets: budgets.flatMap((row) => judge(row, reports)),
    peakResidentBytes: peaks,
    isVoid: reports.some(({ contenders }) => contenders.some(({ voids }) => voids.length > 0)),
  };
}

function reportCell({ cell, runs, offeredPerSecond }: CellRuns): CellReport {
  const { name, what, bodyBytes, connections } = cell;
  const present = contenderNames.filter((contender) => runs.has(contender));
  const contenders = present.map((contender) => reportContender(cell, contender, runs));
  return { cell: name, what, bodyBytes, connections, offeredPerSecond, contenders };
}

function reportContender(
  cell: Cell,
  contender: ContenderName,
  runs: ReadonlyMap<ContenderName, readonly RunResult[]>,
): ContenderReport {
  const perRound = (name: ContenderName, metric: Metric): Figure[] =>
    (runs.get(name) ?? []).map(({ figures }) => figures?.[metric] ?? null);
  const figures: Partial<Record<Metric, Spread>> = {};
  const ratios: ContenderReport['ratios'] = {};
  const add = (metric: Metric, spread: Spread | null) => {
    if (spread !== null) figures[metric] = spread;
  };
  for (const metric of metricNames) {
    const ours = perRound(contender, metric);
    add(metric, spreadOf(ours));
    if (!ratioMetrics.includes(metric)) continue;
    for (const rival of rivalsOf[contender]) {
      const spread = pairedSpread(ours, perRound(rival, metric), ratio);
      if (spread !== null) ratios[metric] = { ...ratios[metric], [rival]: spread };
    }
  }
  if (cell.load.kind === 'rate' && contender !== 'direct') {
    const added = (metric: Metric) =>
      pairedSpread(perRound(contender, metric), perRound('direct', metric), difference);
    add('addedP50Ms', added('p50Ms'));
    add('addedP99Ms', added('p99Ms'));
  }
  const voids = (runs.get(contender) ?? []).flatMap(({ voidReason }, round) =>
    voidReason === null ? [] : [`round ${round + 1}: ${voidReason}`],
  );
  return { contender, figures, ratios, voids };
}

/** Nothing if its cell was not asked for. */
function judge(row: Budget, cells: readonly CellReport[]): BudgetReport[] {
  const cell = cells.find((one) => one.cell === row.cell);
  const contender = cell?.contenders.find((one) => one.contender === row.contender);
  if (contender === undefined) return [];
  const spread =
    row.times === undefined
      ? contender.figures[row.metric]
      : contender.ratios[row.metric]?.[row.times];
  const measured = spread?.median ?? null;
  return [{ ...row, measured, isMet: measured === null ? null : measured <= row.atMost }];
}

export function formatReport(report: OverheadReport): string {
  const { facts, settings, cells, budgets: judged, peakResidentBytes } = report;
  const blocks = [
    formatFacts(facts),
    `median (min..max) of ${settings.rounds} rounds in turn, ${settings.seconds} s each; x: times that rival in the same round`,
    ...cells.map(formatCell),
    formatPeaks(peakResidentBytes),
    formatBudgets(judged),
  ];
  return `${blocks.filter((block) => block !== '').join('\n\n')}\n`;
}

function formatCell({ cell, what, connections, offeredPerSecond, contenders }: CellReport): string {
  const shown = metricNames.filter((metric) =>
    contenders.some(({ figures }) => figures[metric] !== undefined),
  );
  const rivals = contenderNames.filter((rival) =>
    contenders.some(({ ratios }) => Object.values(ratios).some((one) => one[rival] !== undefined)),
  );
  const head = ['', ...shown.map((m) => metrics[m]), ...rivals.map((rival) => `x ${rival}`)];
  const rows = contenders.map(({ contender, figures, ratios }) => [
    `  ${contender}`,
    ...shown.map((metric) => formatSpread(inShownUnit(metric, figures[metric] ?? null))),
    ...rivals.map((rival) => {
      const all = Object.values(ratios).map((one) => one[rival]);
      return formatSpread(all.find((spread) => spread !== undefined) ?? null);
    }),
  ]);
  const voids = contenders.flatMap(({ contender, voids: reasons }) =>
    reasons.map((reason) => `  VOID ${contender}, ${reason}`),
  );
  const offered =
    offeredPerSecond === null ? '' : `, ${formatNumber(offeredPerSecond)} requests a second`;
  const many = connections === 0 ? '' : `, ${connections} connections`;
  const table = shown.length === 0 ? [] : [formatTable(head, rows)];
  return [`${cell}: ${what}${many}${offered}`, ...table, ...voids].join('\n');
}

function inShownUnit(metric: Metric, spread: Spread | null): Spread | null {
  const per = shownPer[metric];
  if (spread === null || per === undefined) return spread;
  const { median, min, max, runs } = spread;
  return {
    median: median / per,
    min: min / per,
    max: max / per,
    runs: runs.map((one) => one / per),
  };
}

function formatPeaks(peaks: OverheadRuns['peaks']): string {
  if (peaks.length === 0) return '';
  const fleets = [...new Set(peaks.map(({ fleet }) => fleet))];
  const named: Readonly<Record<FleetKind, string>> = {
    unary: 'unary cells',
    sse: 'streaming cells',
    hold: 'many streams',
  };
  const names = contenderNames.filter((name) => peaks.some(({ contender }) => contender === name));
  const rows = names.map((name) => [
    `  ${name}`,
    ...fleets.map((fleet) => {
      const peak = peaks.find((one) => one.fleet === fleet && one.contender === name);
      return peak === undefined ? '-' : formatNumber(peak.bytes / 1e6);
    }),
  ]);
  return formatTable(['peak resident MB', ...fleets.map((fleet) => named[fleet])], rows);
}

function formatBudgets(judged: readonly BudgetReport[]): string {
  if (judged.length === 0) return '';
  const rows = judged.map(({ cell, metric, contender, atMost, times, measured, isMet }) => {
    const per = times === undefined ? (shownPer[metric] ?? 1) : 1;
    const limit = `${formatNumber(atMost / per)}${times === undefined ? '' : ` x ${times}`}`;
    const found = measured === null ? '-' : formatNumber(measured / per);
    const verdict = isMet === null ? 'not measured' : isMet ? 'met' : 'MISSED';
    return [`  ${cell} ${contender}: ${metrics[metric]}`, limit, found, verdict];
  });
  return formatTable(['budgets', 'at most', 'measured', ''], rows);
}

/** Panels by figure, groups by cell, bars by contender. */
export function chartOf({ facts, settings, cells }: OverheadReport): Chart {
  const panel = (title: string, metric: Metric, prefix: string): ChartPanel => ({
    title,
    groups: cells
      .filter(({ cell, contenders }) => {
        return cell.startsWith(prefix) && contenders.some((one) => one.figures[metric]);
      })
      .map(({ cell, contenders }) => ({
        label: cell,
        bars: contenders
          .filter((one) => one.contender !== 'direct' || one.figures[metric] !== undefined)
          .map(({ contender, figures }) => ({
            series: contender,
            spread: inShownUnit(metric, figures[metric] ?? null),
          })),
      })),
  });
  const panels = [
    panel('CPU per request, µs', 'cpuUsPerRequest', 'unary'),
    panel('CPU per SSE chunk, µs', 'cpuUsPerChunk', 'sse'),
    panel('Delay of a chunk, p99, ms', 'p99Ms', 'relay'),
    panel('Latency at half load, p50, ms', 'p50Ms', 'latency'),
    panel('Latency at half load, p99, ms', 'p99Ms', 'latency'),
    panel(`Memory per stream at ${settings.streams} streams, KB`, 'bytesPerStream', 'streams'),
  ];
  const versions = Object.entries(facts.versions).map(([name, version]) => `${name} ${version}`);
  return {
    title: 'What a proxied request costs: less is better',
    series: contenderNames.filter((name) =>
      cells.some(({ contenders }) => contenders.some(({ contender }) => contender === name)),
    ),
    panels: panels.filter(({ groups }) => groups.length > 0),
    notes: [
      `Median and range of ${settings.rounds} rounds in turn, ${settings.seconds} s each. ${facts.command}`,
      `Commit ${facts.commit}, ${facts.date} UTC. ${versions.join(', ')}`,
      facts.machine,
    ],
  };
}
