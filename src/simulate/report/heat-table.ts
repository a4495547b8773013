/**
 * Tables whose cells are tinted: who is ahead of whom, and where. Pure.
 */
import { type Html, html } from './html.ts';
import { type Series, swatch } from './series.ts';

export interface HeatCell {
  readonly text: string;
  /** Small, below: an interval. */
  readonly detail: string | null;
  /** -1..1: below 0 behind, above 0 ahead. The text says it too. */
  readonly strength: number;
  readonly isBest: boolean;
}

export interface HeatRow {
  readonly head: Html | string;
  /** The row goes with this series. */
  readonly series: Series | null;
  readonly cells: readonly (HeatCell | null)[];
}

export interface HeatTable {
  readonly caption: Html | string;
  readonly corner: string;
  readonly columns: readonly { readonly head: string; readonly series: Series | null }[];
  readonly rows: readonly HeatRow[];
}

export function heatTable({ caption, corner, columns, rows }: HeatTable): Html {
  const heads = columns.map(
    ({ head, series }) => html`<th scope="col"${ofSeries(series)}>${head}</th>`,
  );
  const body = rows.map(({ head, series, cells }) => {
    const mark = series === null ? null : swatch(series);
    const figures = cells.map((cell, at) => heatCell(cell, columns[at]?.series ?? null));
    return html`<tr${ofSeries(series)}><th scope="row">${mark}${head}</th>${figures}</tr>\n`;
  });
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Table"><table class="heat"><caption>${caption}</caption><thead><tr><th scope="col">${corner}</th>${heads}</tr></thead><tbody>${body}</tbody></table></div>`;
}

function heatCell(cell: HeatCell | null, series: Series | null): Html {
  if (cell === null) return html`<td class="empty"${ofSeries(series)}>–</td>`;
  const { text, detail, strength, isBest } = cell;
  const tint = Math.round(Math.min(1, Math.abs(strength)) * 45);
  const side = strength < 0 ? 'behind' : 'ahead';
  const small = detail === null ? null : html`<small>${detail}</small>`;
  const figure = isBest ? html`<b>${text}</b>` : text;
  return html`<td class="${side}" style="--tint:${tint}%"${ofSeries(series)}>${figure}${small}</td>`;
}

function ofSeries(series: Series | null): Html | null {
  return series === null ? null : html` data-s="${series.index}"`;
}
