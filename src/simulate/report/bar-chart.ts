/**
 * One bar for each policy: what is drawn where there is one rate only, so no line. Pure.
 */
import { type Html, html } from './html.ts';
import { type Series, swatch } from './series.ts';

export interface Bar {
  readonly series: Series;
  /** `null`: no figure. */
  readonly value: number | null;
  /** Half of the 95 % interval. */
  readonly half: number | null;
  readonly text: string;
}

export interface BarChart {
  readonly title: string;
  readonly about: string;
  readonly bars: readonly Bar[];
  /** What the axis must reach beside the values. */
  readonly reach: number;
  readonly level: { readonly value: number; readonly name: string } | null;
}

export function barChart({ title, about, bars, reach, level }: BarChart): Html {
  const ends = bars.map(({ value, half }) => (value ?? 0) + (half ?? 0));
  const most = Math.max(reach, level?.value ?? 0, ...ends);
  const share = (value: number) => (most === 0 ? '0%' : `${((100 * value) / most).toFixed(2)}%`);
  const rows = bars.map(({ series, value, half, text }) => {
    const filled = html`<i class="fill" style="width:${share(value ?? 0)}"></i>`;
    const range =
      value === null || half === null || half === 0
        ? null
        : html`<i class="range" style="left:${share(Math.max(0, value - half))};width:${share(2 * half)}"></i>`;
    const line =
      level === null ? null : html`<i class="mark-level" style="left:${share(level.value)}"></i>`;
    return html`<li class="bar series s${series.index}" data-s="${series.index}"><span class="who">${swatch(series)}${series.name}</span><span class="track">${filled}${range}${line}</span><span class="figure">${text}</span></li>
`;
  });
  const note = level === null ? null : html`<p class="note">Dashed: ${level.name}.</p>`;
  return html`<figure class="chart bars"><figcaption>${title}<small>${about}</small></figcaption><ul>${rows}</ul>${note}</figure>`;
}
