/**
 * Lines over a rate, one for each policy, with the figures that the page's script shows for a
 * place on the axis. Pure.
 */
import { type Html, html } from './html.ts';
import {
  extentOf,
  linearScale,
  linearTicks,
  logScale,
  logTicks,
  type Range,
  type Scale,
  spreadLabels,
} from './scale.ts';
import { markPath, place, type Series } from './series.ts';

export interface Line {
  readonly series: Series;
  /** One for each place on the axis; `null`: no figure. */
  readonly values: readonly (number | null)[];
  /** Half of the 95 % intervals. */
  readonly halves: readonly (number | null)[];
  /** As the figures read. */
  readonly texts: readonly string[];
}

export interface LineChart {
  readonly title: string;
  readonly about: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly xs: readonly number[];
  readonly xTexts: readonly string[];
  readonly lines: readonly Line[];
  readonly isLog: boolean;
  /** What the axis must reach beside the values. */
  readonly reach: readonly number[];
  readonly tickText: (value: number) => string;
  /** A level to compare with. */
  readonly level: { readonly value: number; readonly name: string } | null;
  /** The best value is the least. */
  readonly isLessBetter: boolean;
}

/** The plot; right of it is room for names, which a narrow screen cuts off. */
const width = 460;
const namesWidth = 130;
const height = 300;
const plot = { left: 54, right: width - 12, top: 14, bottom: height - 46 };
const nameGap = 14;

export function lineChart(chart: LineChart): Html {
  const { title, about, xs, xTexts, lines, level, isLessBetter } = chart;
  const values = lines.flatMap((line) => line.values);
  const extent = extentOf([...values, ...chart.reach, level?.value ?? null]);
  if (extent === null || xs.length === 0) return nothing(title);
  const toX = linearScale(extentOf(xs)!, [plot.left + 8, plot.right - 8]);
  const [toY, yTicks] = yAxis(extent, chart.isLog);
  const names = placeNames(lines, toY);
  return html`<figure class="chart" tabindex="0" role="group" aria-label="${title}. Arrow keys read the figures." data-x="${xs.map((x) => place(toX(x))).join(' ')}" data-heads="${xTexts.join('|')}" data-less="${isLessBetter ? 1 : 0}"><figcaption>${title}<small>${about}</small></figcaption><div class="plot"><svg viewBox="0 0 ${width + namesWidth} ${height}" role="img" aria-label="${title}; all figures are in the table below">
${drawAxes(chart, toX, toY, yTicks)}
${lines.map((line, index) => drawLine(line, xs, toX, toY, names[index]!))}
${level === null ? null : drawLevel(level, toY)}
<path class="guide" d="M0,${plot.top}V${plot.bottom}" visibility="hidden"/>
</svg></div></figure>`;
}

/** An interval may reach beyond what can be. */
const inPlot = (y: number) => place(Math.min(plot.bottom, Math.max(plot.top, y)));

function nothing(title: string): Html {
  return html`<figure class="chart"><figcaption>${title}</figcaption><p class="empty">No figures.</p></figure>`;
}

function yAxis([low, high]: Range, isLog: boolean): [Scale, number[]] {
  const range: Range = [plot.bottom, plot.top];
  if (isLog && low > 0) {
    // A little air, so that the lowest line is not the axis.
    const domain: Range = [low / 1.15, high * 1.15];
    return [logScale(domain, range), logTicks(domain)];
  }
  const domain: Range = [low, high];
  return [linearScale(domain, range), linearTicks(domain, 5)];
}

function drawAxes(chart: LineChart, toX: Scale, toY: Scale, yTicks: readonly number[]): Html {
  const { xs, xLabel, yLabel, tickText } = chart;
  const rows = yTicks.map((tick) => {
    const y = place(toY(tick));
    return html`<path class="grid" d="M${plot.left},${y}H${plot.right}"/><text class="tick end" x="${plot.left - 6}" y="${y + 4}">${tickText(tick)}</text>`;
  });
  let lastX = Number.NEGATIVE_INFINITY;
  const columns = xs.map((value) => {
    const x = place(toX(value));
    if (x - lastX < 30) return null;
    lastX = x;
    return html`<text class="tick middle" x="${x}" y="${plot.bottom + 17}">${value}</text>`;
  });
  const middle = (plot.left + plot.right) / 2;
  return html`${rows}${columns}<path class="axis" d="M${plot.left},${plot.bottom}H${plot.right}"/><text class="unit middle" x="${middle}" y="${height - 10}">${xLabel}</text><text class="unit middle" transform="translate(12 ${(plot.top + plot.bottom) / 2}) rotate(-90)">${yLabel}</text>`;
}

function drawLevel({ value, name }: { value: number; name: string }, toY: Scale): Html {
  const y = place(toY(value));
  const textY = y < plot.top + 14 ? y + 13 : y - 5;
  return html`<path class="level" d="M${plot.left},${y}H${plot.right}"/><text class="tick" x="${plot.left + 4}" y="${textY}">${name}</text>`;
}

/** Heights of the names at the lines' ends; of a line without values below all others. */
function placeNames(lines: readonly Line[], toY: Scale): number[] {
  const wanted = lines.map(({ values }) => {
    const last = values.findLast((value) => value !== null) ?? null;
    return last === null ? plot.bottom : toY(last);
  });
  return spreadLabels(wanted, nameGap, [plot.top, plot.bottom]);
}

function drawLine(
  { series, values, halves, texts }: Line,
  xs: readonly number[],
  toX: Scale,
  toY: Scale,
  nameY: number,
): Html {
  const path: string[] = [];
  const marks: string[] = [];
  const whiskers: string[] = [];
  let isPen = false;
  let end = { x: plot.right, y: nameY };
  for (const [at, value] of values.entries()) {
    if (value === null) {
      isPen = false;
      continue;
    }
    const [x, y] = [place(toX(xs[at]!)), place(toY(value))];
    path.push(`${isPen ? 'L' : 'M'}${x},${y}`);
    marks.push(markPath(series.index, x, y));
    const half = halves[at] ?? 0;
    if (half > 0) whiskers.push(`M${x},${inPlot(toY(value - half))}V${inPlot(toY(value + half))}`);
    isPen = true;
    end = { x, y };
  }
  const nameX = plot.right + 12;
  const lead = `M${end.x + 5},${end.y}L${nameX - 3},${place(nameY)}`;
  return html`<g class="series s${series.index}" data-s="${series.index}" data-name="${series.name}" data-texts="${texts.join('|')}"><path class="lead" d="${lead}"/><path class="whisker" d="${whiskers.join('')}"/><path class="line" d="${path.join('')}"/><path class="mark" d="${marks.join('')}"/><text class="name" x="${nameX}" y="${place(nameY) + 4}">${series.name}</text></g>
`;
}
