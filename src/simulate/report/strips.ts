/**
 * How something went over the time of a run: a strip for each policy, all to one scale. Pure.
 */
import { type Html, html } from './html.ts';
import { type Series, swatch } from './series.ts';

export interface Strip {
  readonly series: Series;
  readonly values: readonly (number | null)[];
}

export interface Strips {
  readonly title: string;
  readonly about: string;
  readonly strips: readonly Strip[];
  readonly partSeconds: number;
  /** What each strip reaches up to at least. */
  readonly reach: number;
  /** Something that happened at this place, in parts; `null`: nothing. */
  readonly mark: { readonly at: number; readonly text: string } | null;
  readonly valueText: (value: number) => string;
}

const height = 60;

export function stripChart(chart: Strips): Html {
  const { title, about, strips, partSeconds, reach, mark, valueText } = chart;
  const most = Math.max(
    reach,
    ...strips.flatMap(({ values }) => values.map((value) => value ?? 0)),
  );
  if (most === 0) {
    return html`<figure class="chart strips"><figcaption>${title}<small>${about}</small></figcaption><p class="empty">0 all the time.</p></figure>`;
  }
  const parts = Math.max(...strips.map(({ values }) => values.length));
  const line = mark === null ? null : html`<path class="event" d="M${mark.at} 0V${height}"/>`;
  const rows = strips.map(({ series, values }) => {
    const known = values.filter((value) => value !== null);
    const mean = known.reduce((sum, value) => sum + value, 0) / Math.max(1, known.length);
    return html`<li class="strip series s${series.index}" data-s="${series.index}" data-values="${values.map((value) => value ?? '').join(' ')}"><span class="who">${swatch(series)}${series.name}</span><svg viewBox="0 0 ${parts} ${height}" preserveAspectRatio="none" role="img" aria-label="mean ${valueText(mean)}"><path class="area" d="${areaPath(values, most)}"/>${line}</svg><span class="figure">${valueText(mean)}</span></li>
`;
  });
  const end = Math.round(parts * partSeconds);
  const marked = mark === null ? '' : `; dashed: ${mark.text}`;
  return html`<figure class="chart strips" tabindex="0" role="group" aria-label="${title}. Arrow keys read the figures." data-part="${partSeconds}" data-parts="${parts}"><figcaption>${title}<small>${about}</small></figcaption><ul>${rows}</ul><p class="note axis-note"><span>0 s</span><span>each strip: 0 to ${valueText(most)}; at its right the mean${marked}</span><span>${end} s</span></p></figure>`;
}

/** Filled from the floor, in whole units: a strip is not as high as that. */
function areaPath(values: readonly (number | null)[], most: number): string {
  const tops = values.map((value) => Math.round((height * (most - (value ?? 0))) / most));
  const steps = tops.map((top, at) => (top === tops[at - 1] ? 'h1' : `V${top}h1`));
  return `M0,${height}${steps.join('')}V${height}Z`;
}
