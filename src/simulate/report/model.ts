/**
 * A sweep's results in the order of the page: settings, and in each of them policies at rates.
 * Pure.
 */
import type { SweptCell } from '../cell-task.ts';
import type { SimulateReport } from '../output.ts';
import { referencePolicy, type SummaryRow } from '../summary.ts';
import { counted, short } from './format.ts';
import type { Series } from './series.ts';

/** What the rates of the sweep are: a share of saturation, a rate, or whatever was found. */
export type RateKind = 'load' | 'qps' | 'goodput';

/** All that was run under equal conditions. */
export interface Setting {
  /** Of its place on the page. */
  readonly id: string;
  readonly title: string;
  readonly detail: string;
  /** Ascending; one place for all rates where goodput was looked for. */
  readonly rates: readonly number[];
  readonly rows: readonly SummaryRow[];
  readonly variants: readonly SummaryRow[];
  readonly cells: readonly SweptCell[];
}

export interface Model {
  readonly report: SimulateReport;
  readonly rateKind: RateKind;
  readonly series: readonly Series[];
  readonly settings: readonly Setting[];
}

const queueWords = {
  auto: 'requests wait where each policy has them wait',
  router: 'all requests wait in the router',
  direct: 'all requests go straight to the engines',
} as const;

export function modelOf(report: SimulateReport): Model {
  const { settings, summary, cells } = report;
  const rateKind = settings.goodput ? 'goodput' : settings.qps.length > 0 ? 'qps' : 'load';
  const names = [...new Set(summary.map(({ policy }) => policy))];
  // The reference comes first: its looks are the strongest, and always the same.
  names.sort((a, b) => Number(b === referencePolicy) - Number(a === referencePolicy));
  const rowsOf = groupBy(summary, settingKey);
  const cellsOf = groupBy(cells, settingKey);
  return {
    report,
    rateKind,
    series: names.map((name, index) => ({ index, name })),
    settings: [...rowsOf].map(([key, rows], index) => {
      const rates = new Set(rows.map((row) => rateOf(row, rateKind)));
      return {
        id: `setting-${index + 1}`,
        ...nameOf(rows[0]!),
        rates: [...rates].sort((a, b) => a - b),
        rows: rows.filter(({ variant }) => variant === ''),
        variants: rows.filter(({ variant }) => variant !== ''),
        cells: cellsOf.get(key) ?? [],
      };
    }),
  };
}

/** Where on the axis: loads that differ by less than a millionth are the same one. */
export function rateOf(row: { readonly load: number; readonly qps: number }, kind: RateKind) {
  if (kind === 'goodput') return 0;
  return Number((kind === 'load' ? row.load : row.qps).toFixed(6));
}

export function rateText(rate: number, kind: RateKind): string {
  return kind === 'load' ? `load ${short(rate)}` : `${short(rate)}/s`;
}

export const rateWords = {
  load: 'load, as a share of warm saturation',
  qps: 'requests a second',
  goodput: '',
} as const;

type Conditions = Pick<
  SummaryRow,
  'trace' | 'preset' | 'instances' | 'joined' | 'routers' | 'viewDelayMs' | 'queueMode'
>;

function settingKey(row: Conditions): string {
  const { trace, preset, instances, routers, viewDelayMs, queueMode } = row;
  return [trace, preset, instances, routers, viewDelayMs, queueMode].join('\n');
}

function nameOf(row: Conditions): { title: string; detail: string } {
  const { trace, preset, instances, joined, routers, viewDelayMs, queueMode } = row;
  const view = viewDelayMs === 0 ? [] : [`metrics ${short(viewDelayMs)} ms old`];
  const more = joined === null ? '' : ` and ${joined.instances} that join`;
  const fleet = [counted(instances, 'instance') + more, counted(routers, 'router')];
  return {
    title: `${trace} on ${preset}`,
    detail: [...fleet, ...view, queueWords[queueMode]].join(', '),
  };
}

function groupBy<T>(values: readonly T[], keyOf: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const key = keyOf(value);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [value]);
    else group.push(value);
  }
  return groups;
}
