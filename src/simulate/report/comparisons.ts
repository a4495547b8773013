/**
 * Who is ahead of whom: the tables of paired differences, of variants, and of all settings at a
 * glance. Pure.
 */
import { referencePolicy, type SummaryRow } from '../summary.ts';
import { none, percent, perSecond, points, short } from './format.ts';
import { type HeatCell, type HeatRow, heatTable } from './heat-table.ts';
import { type Html, html } from './html.ts';
import { type Model, rateOf, rateText, type Setting } from './model.ts';

/** Twenty points, and half or twice as long, have the full tint. */
const fullPoints = 0.2;
const fullRatio = 2;

type CellOf = (row: SummaryRow) => HeatCell | null;

function attainmentCell({ paired }: SummaryRow): HeatCell | null {
  const difference = paired?.attainment ?? null;
  if (difference === null) return null;
  const { mean, ci95 } = difference;
  const detail = ci95 === null ? null : `± ${(100 * ci95).toFixed(1)}`;
  return { text: points(mean), detail, strength: mean / fullPoints, isBest: false };
}

function medianCell({ paired }: SummaryRow): HeatCell | null {
  return ratioCell(paired?.ttftP50 ?? null, -1);
}

function goodputCell({ paired }: SummaryRow): HeatCell | null {
  return ratioCell(paired?.goodput ?? null, 1);
}

/** `side`: 1 where more is better, -1 where less is. */
function ratioCell(
  ratio: { mean: number; low: number | null; high: number | null } | null,
  side: 1 | -1,
): HeatCell | null {
  if (ratio === null) return null;
  const { mean, low, high } = ratio;
  const detail = low === null || high === null ? null : `${low.toFixed(2)}–${high.toFixed(2)}`;
  const strength = (side * Math.log(mean)) / Math.log(fullRatio);
  return { text: `× ${mean.toFixed(2)}`, detail, strength, isBest: false };
}

const kinds = [
  {
    of: attainmentCell,
    words: 'share in time, in points',
    reading: 'above 0 the reference is ahead',
  },
  { of: medianCell, words: 'TTFT P50 as a ratio', reading: 'below 1 the reference is faster' },
  { of: goodputCell, words: 'goodput as a ratio', reading: 'above 1 the reference does more' },
] as const;

/** The reference against each rival, rate by rate; `null` if it did not run. */
export function pairedTables(model: Model, setting: Setting): Html | null {
  const rivals = setting.rows.filter(({ paired }) => paired !== null);
  if (rivals.length === 0) return null;
  const tables = kinds.map(({ of, words, reading }) => {
    const rows = model.series.flatMap((series) => {
      const own = rivals.filter(({ policy }) => policy === series.name);
      return own.length === 0 ? [] : [rateRow(model, setting, own, series.name, series, of)];
    });
    const caption = html`<code>${referencePolicy}</code> against each: ${words} <small>(${reading}; same seeds and arrivals, 95 % interval)</small>`;
    return tableOf(model, setting, caption, 'against', rows);
  });
  return html`<div class="tables">${tables}</div>`;
}

/** What each variant gives up against the policy as it is; `null` if there are none. */
export function variantTables(model: Model, setting: Setting): Html | null {
  const { variants } = setting;
  if (variants.length === 0) return null;
  const { policy } = variants[0]!;
  const names = [...new Set(variants.map(({ variant }) => variant))];
  const tables = kinds.map(({ of, words, reading }) => {
    const rows = names.map((name) => {
      const own = variants.filter(({ variant }) => variant === name);
      return rateRow(model, setting, own, html`<code>${name}</code>`, null, of);
    });
    const caption = html`<code>${policy}</code> as it is, against itself with other options: ${words} <small>(${reading})</small>`;
    return tableOf(model, setting, caption, 'with', rows);
  });
  return html`<div class="tables">${tables}</div>`;
}

function rateRow(
  { rateKind }: Model,
  { rates }: Setting,
  rows: readonly SummaryRow[],
  head: HeatRow['head'],
  series: HeatRow['series'],
  of: CellOf,
): HeatRow {
  const cells = rates.map((rate) => {
    const row = rows.find((one) => rateOf(one, rateKind) === rate);
    return row === undefined ? null : of(row);
  });
  return { head, series, cells };
}

/** `null` if it would be empty. */
function tableOf(
  { rateKind }: Model,
  { rates }: Setting,
  caption: Html,
  corner: string,
  rows: readonly HeatRow[],
): Html | null {
  if (rows.every(({ cells }) => cells.every((cell) => cell === null))) return null;
  const head = (rate: number) => (rateKind === 'goodput' ? 'goodput' : rateText(rate, rateKind));
  const columns = rates.map((rate) => ({ head: head(rate), series: null }));
  return heatTable({ caption, corner, columns, rows });
}

/** Settings down, policies across: means over the rates. */
export function glanceTable(model: Model): Html {
  const { settings, series, rateKind } = model;
  const isGoodput = rateKind === 'goodput';
  const rows = settings.map((setting) => {
    const means = series.map(({ name }) => {
      const own = setting.rows.filter(({ policy }) => policy === name);
      const of = (row: SummaryRow) => (isGoodput ? row.qps : row.attainment);
      return own.length === 0 ? null : own.reduce((sum, row) => sum + of(row), 0) / own.length;
    });
    const most = Math.max(0, ...means.map((mean) => mean ?? 0));
    const cells = means.map((mean) => {
      if (mean === null) return null;
      const text = isGoodput ? perSecond(mean) : percent(mean);
      const strength = most === 0 ? 0 : (mean / most) ** 3;
      return { text, detail: null, strength, isBest: mean === most };
    });
    const head = html`<a href="#${setting.id}">${setting.title}</a><small>${setting.detail}</small>`;
    return { head, series: null, cells };
  });
  const words = isGoodput
    ? 'Highest rate with 90 % of requests in time, requests a second'
    : `Share of requests in time, mean over ${ratesText(model)}`;
  const columns = series.map((one) => ({ head: one.name, series: one }));
  return heatTable({ caption: `${words}; the best is bold`, corner: 'setting', columns, rows });
}

function ratesText({ settings, rateKind }: Model): string {
  const rates = [...new Set(settings.flatMap((setting) => setting.rates))].sort((a, b) => a - b);
  if (rates.length === 0) return none;
  const unit = rateKind === 'load' ? 'load ' : '';
  return `${unit}${rates.map(short).join(', ')}${rateKind === 'qps' ? ' a second' : ''}`;
}
