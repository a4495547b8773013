/**
 * The pictures of one setting: the same figure of every policy, over the rates if there are
 * several. Pure.
 */
import type { SweptCell } from '../cell-task.ts';
import type { Joined } from '../results.ts';
import type { SummaryRow } from '../summary.ts';
import { barChart } from './bar-chart.ts';
import { givenSeconds, none, percent, perSecond, secondsOrLost, short } from './format.ts';
import { type Html, html } from './html.ts';
import { lineChart } from './line-chart.ts';
import { type Model, rateOf, rateText, rateWords, type Setting } from './model.ts';
import type { Series } from './series.ts';
import { stripChart } from './strips.ts';

/** One figure of a row, and how it is drawn. */
interface Measure {
  readonly title: string;
  /** Small, below the title. */
  readonly about: string;
  readonly yLabel: string;
  readonly of: (row: SummaryRow) => number | null;
  readonly halfOf: (row: SummaryRow) => number | null;
  readonly text: (row: SummaryRow) => string;
  readonly tickText: (value: number) => string;
  readonly isLog: boolean;
  readonly reach: (values: readonly number[]) => readonly number[];
  readonly level: { readonly value: number; readonly name: string } | null;
  readonly isLessBetter: boolean;
}

const noHalf = () => null;

/** `setting.rows` is never empty. */
export function attainmentChart(model: Model, setting: Setting): Html {
  const { title, detail: about } = setting;
  if (model.rateKind === 'goodput') return goodputChart(model, setting);
  return drawn(model, setting, {
    title,
    about,
    yLabel: `answered within ${givenSeconds(model.report.settings.sloTtftMs)}, %`,
    of: (row) => row.attainment,
    halfOf: (row) => row.attainmentCi95,
    text: (row) => percent(row.attainment) + interval(row.attainmentCi95),
    tickText: (value) => String(Math.round(100 * value)),
    isLog: false,
    // Up to all of them, and down to the next ten percent.
    reach: (values) => [1, Math.floor(10 * Math.min(...values) + 1e-9) / 10],
    level: null,
    isLessBetter: false,
  });
}

function goodputChart(model: Model, setting: Setting): Html {
  return drawn(model, setting, {
    title: setting.title,
    about: setting.detail,
    yLabel: 'requests a second',
    of: (row) => row.goodputQps,
    halfOf: (row) => row.ci95,
    text: (row) => `${perSecond(row.qps)}/s, load ${short(row.load)}`,
    tickText: short,
    isLog: false,
    reach: () => [0],
    level: null,
    isLessBetter: false,
  });
}

export function ttftCharts(model: Model, setting: Setting): Html[] {
  const sloMs = model.report.settings.sloTtftMs;
  const level = { value: sloMs / 1000, name: `objective ${givenSeconds(sloMs)}` };
  const kinds = [
    ['P50', (row: SummaryRow) => row.ttftP50Ms],
    ['P90', (row: SummaryRow) => row.ttftP90Ms],
    ['P99', (row: SummaryRow) => row.ttftP99Ms],
  ] as const;
  return kinds.map(([name, msOf]) =>
    drawn(model, setting, {
      title: `TTFT ${name}`,
      about: 'from arrival to first token',
      yLabel: 'seconds, logarithmic',
      of: (row) => {
        const ms = msOf(row);
        // A logarithm has no place for 0.
        return ms === null ? null : Math.max(ms, 1) / 1000;
      },
      halfOf: noHalf,
      text: (row) => secondsOrLost(msOf(row)),
      tickText: short,
      isLog: true,
      reach: () => [],
      level,
      isLessBetter: true,
    }),
  );
}

export function hitChart(model: Model, setting: Setting): Html {
  const row = setting.rows.find(({ hitShareOfLimit }) => (hitShareOfLimit ?? 0) > 0);
  const limit = row === undefined ? 0 : row.hitRatio / row.hitShareOfLimit!;
  const level = { value: limit, name: `${percent(limit)}: one infinite cache for all` };
  return drawn(model, setting, {
    title: 'Hit ratio',
    about: 'prompt tokens found in the engines’ caches',
    yLabel: '% of prompt tokens',
    of: (row) => row.hitRatio,
    halfOf: noHalf,
    text: (row) => percent(row.hitRatio) + shareOfLimit(row.hitShareOfLimit),
    tickText: (value) => String(Math.round(100 * value)),
    isLog: false,
    reach: () => [0, 1.08 * limit],
    level: limit > 0 ? level : null,
    isLessBetter: false,
  });
}

const interval = (half: number | null) => (half === null ? '' : ` ± ${(100 * half).toFixed(1)}`);
const shareOfLimit = (share: number | null) =>
  share === null ? '' : `, ${percent(share, 0)} of the limit`;

function drawn(model: Model, setting: Setting, measure: Measure): Html {
  const { rateKind, series } = model;
  const { rates, rows } = setting;
  const tables = series.flatMap((one) => {
    const own = rows.filter(({ policy }) => policy === one.name);
    if (own.length === 0) return [];
    const at = rates.map((rate) => own.find((row) => rateOf(row, rateKind) === rate) ?? null);
    return [{ series: one, at }];
  });
  const values = rows.map(measure.of).filter((value) => value !== null);
  const reach = values.length === 0 ? [] : measure.reach(values);
  const map = <T>(at: readonly (SummaryRow | null)[], of: (row: SummaryRow) => T) =>
    at.map((row) => (row === null ? null : of(row)));
  if (rates.length < 2) {
    const bars = tables.map(({ series, at: [row] }) => {
      if (row === null || row === undefined) return { series, value: null, half: null, text: none };
      const [value, half] = [measure.of(row), measure.halfOf(row)];
      return { series, value, half, text: measure.text(row) };
    });
    const { title, about, level } = measure;
    return barChart({ title, about, bars, level, reach: Math.max(0, ...reach) });
  }
  return lineChart({
    ...measure,
    reach,
    xLabel: rateWords[rateKind],
    xs: rates,
    xTexts: rates.map((rate) => rateText(rate, rateKind)),
    lines: tables.map(({ series, at }) => ({
      series,
      values: map(at, measure.of),
      halves: map(at, measure.halfOf),
      texts: map(at, measure.text).map((text) => text ?? none),
    })),
  });
}

/** Over the time of one run each, at the rate next to saturation; empty if nothing recorded it. */
export function stripCharts(model: Model, setting: Setting): Html | null {
  const recorded = setting.cells.filter((cell) => cell.timeline && cell.variant === '');
  if (recorded.length === 0) return null;
  const distance = ({ load }: SweptCell) => Math.abs(load - 1);
  const nearest = recorded.reduce((best, cell) => (distance(cell) < distance(best) ? cell : best));
  const rate = rateOf(nearest, model.rateKind);
  const at = recorded.filter((cell) => rateOf(cell, model.rateKind) === rate);
  const strips = (of: 'imbalanceCv' | 'waiting' | 'attainment') =>
    model.series.flatMap((series: Series) => {
      const values = at.find(({ policy }) => policy === series.name)?.timeline?.[of];
      return values ? [{ series, values }] : [];
    });
  const where =
    model.rateKind === 'goodput' ? 'at its goodput' : `at ${rateText(rate, model.rateKind)}`;
  const { partMs } = nearest.timeline!;
  const over = { partSeconds: partMs / 1000, mark: markOf(nearest.joined, partMs), reach: 0 };
  const inTime = strips('attainment').map(({ series, values }) => {
    return { series, values: values.map((share) => share && Number((100 * share).toFixed(1))) };
  });
  const attainment = stripChart({
    ...over,
    title: `Answered in time over time, ${where}`,
    about: 'share of the requests that arrived then',
    strips: inTime,
    reach: 100,
    valueText: (value) => `${value.toFixed(0)} %`,
  });
  return html`${inTime.length === 0 ? null : attainment}${stripChart({
    ...over,
    title: `Imbalance over time, ${where}`,
    about: 'pending prefill tokens of the instances, coefficient of variation',
    strips: strips('imbalanceCv'),
    valueText: (value) => value.toFixed(2),
  })}${stripChart({
    ...over,
    title: `Waiting over time, ${where}`,
    about: 'requests that have arrived and have no first token yet',
    strips: strips('waiting'),
    valueText: (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0)),
  })}`;
}

/** All policies of a setting have the same arrivals, and of a run at any rate it is the same part. */
function markOf(joined: Joined | null, partMs: number) {
  if (joined === null) return null;
  const text = `${joined.instances} joined at ${Math.round(joined.atMs / 1000)} s`;
  return { at: Number((joined.atMs / partMs).toFixed(2)), text };
}
