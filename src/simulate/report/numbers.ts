/**
 * The plain table: every combination with every figure. The page's script sorts and filters it.
 * Pure.
 */
import type { SummaryRow } from '../summary.ts';
import {
  none,
  percent,
  perSecond,
  points,
  seconds,
  secondsOrLost,
  short,
  whole,
} from './format.ts';
import { type Html, html } from './html.ts';
import type { Series } from './series.ts';

interface Column {
  readonly head: string;
  readonly hint: string;
  readonly text: (row: SummaryRow) => string;
  /** What it is sorted by; without it by its text. */
  readonly value?: (row: SummaryRow) => number | null;
}

const aheadOf = ({ paired }: SummaryRow) => paired?.attainment?.mean ?? null;
const pointsOr = (difference: number | null) => (difference === null ? none : points(difference));

const columns: readonly Column[] = [
  { head: 'trace', hint: '', text: (row) => row.trace },
  { head: 'preset', hint: 'engine', text: (row) => row.preset },
  number('instances', '', (row) => row.instances, whole),
  number('routers', '', (row) => row.routers, whole),
  { head: 'policy', hint: '', text: (row) => `${row.policy} ${row.variant}`.trim() },
  { head: 'queue', hint: 'where requests wait', text: (row) => row.queue },
  number('load', 'share of warm saturation', (row) => row.load, short),
  number('rate, 1/s', 'requests a second', (row) => row.qps, perSecond),
  number('in time', 'share within the objective', (row) => row.attainment, percent),
  number('± points', 'half of the 95 % interval', (row) => row.attainmentCi95, hundredths),
  {
    head: 'ahead, points',
    hint: 'the reference minus this row, same seeds',
    text: (row) => pointsOr(aheadOf(row)),
    value: aheadOf,
  },
  number('TTFT P50', '', (row) => row.ttftP50Ms, secondsOrLost, 'lost'),
  number('TTFT P90', '', (row) => row.ttftP90Ms, secondsOrLost, 'lost'),
  number('TTFT P99', '', (row) => row.ttftP99Ms, secondsOrLost, 'lost'),
  number('hit', 'prompt tokens from caches', (row) => row.hitRatio, percent),
  number('of limit', 'share of one infinite cache', (row) => row.hitShareOfLimit, percent),
  number('imbalance', 'coefficient of variation', (row) => row.imbalanceCv, short),
  number('work max/mean', 'busiest instance', (row) => row.workMaxOverMean, short),
  number('lost', 'of one run', (row) => row.lost, whole),
  number('moved', 'between queues of the router', (row) => row.migrations, whole),
];

const backColumn: Column = number(
  'back in',
  'from the join until 90 % are in time for three hundredths of the run in a row',
  (row) => row.backInMs,
  seconds,
  'never',
);

function hundredths(share: number): string {
  return (100 * share).toFixed(1);
}

function number(
  head: string,
  hint: string,
  value: (row: SummaryRow) => number | null,
  text: (value: number) => string,
  missing = none,
): Column {
  const textOf = (row: SummaryRow) => {
    const figure = value(row);
    return figure === null ? missing : text(figure);
  };
  return { head, hint, text: textOf, value };
}

export function numberTable(rows: readonly SummaryRow[], series: readonly Series[]): Html {
  const hasJoined = rows.some(({ joined }) => joined !== null);
  const shown = hasJoined ? [...columns, backColumn] : columns;
  const heads = shown.map(
    ({ head, hint }) =>
      html`<th scope="col"><button type="button" class="sort" title="${hint}">${head}</button></th>`,
  );
  const body = rows.map((row) => {
    const own = series.find(({ name }) => name === row.policy);
    const cells = shown.map(({ text, value }) =>
      value === undefined
        ? html`<td>${text(row)}</td>`
        : html`<td class="n" data-v="${value(row) ?? ''}">${text(row)}</td>`,
    );
    return html`<tr data-s="${own?.index ?? -1}">${cells}</tr>
`;
  });
  return html`<label class="filter">Filter rows <input type="search" id="filter" placeholder="dualmap a100" autocomplete="off"></label><div class="scroll" tabindex="0" role="region" aria-label="All figures"><table id="numbers" class="numbers"><caption>Means over the seeds. A click on a head sorts.</caption><thead><tr>${heads}</tr></thead><tbody>${body}</tbody></table></div>`;
}
