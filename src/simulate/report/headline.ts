/**
 * The sweep in three figures: the reference, or whoever is best, beside the best of the others.
 * Pure.
 */
import { referencePolicy, type SummaryRow } from '../summary.ts';
import { counted, givenSeconds, percent, perSecond, seconds } from './format.ts';
import { type Html, html } from './html.ts';
import type { Model } from './model.ts';

interface Figure {
  readonly title: string;
  /** Over all of one policy's rows; `null`: there is none. */
  readonly of: (rows: readonly SummaryRow[]) => number | null;
  readonly text: (value: number) => string;
  readonly isLessBetter: boolean;
}

const mean = (values: readonly number[]) =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

function geometricMean(values: readonly (number | null)[]): number | null {
  const result = Math.exp(mean(values.map((value) => Math.log(value ?? Number.NaN))));
  return Number.isNaN(result) ? null : result;
}

function figuresOf({ rateKind, report }: Model): Figure[] {
  const hits: Figure = {
    title: 'Prompt tokens from caches',
    of: (rows) => mean(rows.map((row) => row.hitRatio)),
    text: (value) => percent(value),
    isLessBetter: false,
  };
  if (rateKind === 'goodput') {
    const goodput: Figure = {
      title: 'Goodput, requests a second',
      of: (rows) => mean(rows.map((row) => row.qps)),
      text: perSecond,
      isLessBetter: false,
    };
    return [goodput, hits];
  }
  return [
    {
      title: `Answered within ${givenSeconds(report.settings.sloTtftMs)}`,
      of: (rows) => mean(rows.map((row) => row.attainment)),
      text: (value) => percent(value),
      isLessBetter: false,
    },
    {
      title: 'Median time to first token',
      of: (rows) => geometricMean(rows.map((row) => row.ttftP50Ms)),
      text: seconds,
      isLessBetter: true,
    },
    hits,
  ];
}

export function headline(model: Model): Html {
  const figures = figuresOf(model);
  const rows = model.settings.flatMap((setting) => setting.rows);
  const rank = ({ of, isLessBetter }: Figure) => {
    const side = isLessBetter ? 1 : -1;
    return model.series
      .map(({ name }) => ({ name, value: of(rows.filter(({ policy }) => policy === name)) }))
      .filter((entry): entry is { name: string; value: number } => entry.value !== null)
      .sort((a, b) => side * (a.value - b.value));
  };
  const isReferenceThere = model.series[0]?.name === referencePolicy;
  const lead = isReferenceThere ? referencePolicy : rank(figures[0]!)[0]?.name;
  const tiles = figures.map((figure) => {
    const ranked = rank(figure);
    const own = ranked.find(({ name }) => name === lead);
    const best = ranked.find(({ name }) => name !== lead);
    const other =
      best === undefined
        ? null
        : html`<span>best of the others: <code>${best.name}</code> ${figure.text(best.value)}</span>`;
    return html`<div class="tile"><h3>${figure.title}</h3><p><strong>${own === undefined ? 'lost' : figure.text(own.value)}</strong> <code>${lead ?? ''}</code></p>${other}</div>`;
  });
  const { seeds } = model.report.settings;
  const over = `Means over ${counted(model.settings.length, 'setting')}, all rates and ${counted(seeds, 'seed')}.`;
  return html`<div class="tiles">${tiles}</div><p class="note">${over}</p>`;
}
