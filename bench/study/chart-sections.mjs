/**
 * The study's page, what is drawn over the load: attainment, goodput, the worth of
 * each switch. Pure.
 */
import { attainmentChart } from '../../dist/simulate/report/charts.js';
import {
  glanceTable,
  pairedTables,
  variantTables,
} from '../../dist/simulate/report/comparisons.js';
import { percent, perSecond, secondsOrLost, short } from '../../dist/simulate/report/format.js';
import { heatTable } from '../../dist/simulate/report/heat-table.js';
import { html } from '../../dist/simulate/report/html.js';
import { modelOf, rateOf } from '../../dist/simulate/report/model.js';
import { attainmentMin } from '../../dist/simulate/results.js';
import { policies } from './parts.mjs';

/** The looks of a policy are the same in every picture of the page. */
export const series = policies.map((name, index) => ({ index, name }));

/** Rows of one part as a sweep's report has them. */
export function modelOfRows(part, rows, { goodput = false, hasDetail = false } = {}) {
  const settings = { sloTtftMs: 5000, goodput, qps: [], seeds: rows[0].seeds };
  const model = modelOf({ settings, summary: rows, cells: [] });
  const named = model.settings.map((setting) => {
    const [{ qps, load }] = setting.rows;
    const detail = `load 1 is ${perSecond(qps / load)} requests a second`;
    const id = `${part}-${setting.id}`;
    return hasDetail ? { ...setting, id } : { ...setting, id, detail };
  });
  return { ...model, series, settings: named };
}

/** Every policy at every load: in time, median. */
export function figuresTable({ title, rates, rows }) {
  const best = rates.map((rate) =>
    Math.max(...rows.filter((row) => rateOf(row, 'load') === rate).map((row) => row.attainment)),
  );
  const body = series.flatMap((one) => {
    const own = rows.filter(({ policy }) => policy === one.name);
    if (own.length === 0) return [];
    const cells = rates.map((rate, at) => {
      const row = own.find((candidate) => rateOf(candidate, 'load') === rate);
      if (row === undefined) return null;
      const text = percent(row.attainment);
      const detail = `${secondsOrLost(row.ttftP50Ms)}, ${secondsOrLost(row.ttftP90Ms)}; ${percent(row.hitRatio, 0)}`;
      const isBest = row.attainment === best[at];
      return { text, detail, strength: row.attainment ** 3, isBest };
    });
    return [{ head: one.name, series: one, cells }];
  });
  const caption = html`${title}: in time; <small>TTFT P50, P90; prompt tokens from caches</small>`;
  const columns = rates.map((rate) => ({ head: `load ${short(rate)}`, series: null }));
  return heatTable({ caption, corner: 'policy', columns, rows: body });
}

export const folded = (words, details) =>
  html`<details class="folded"><summary>${words}</summary>${details}</details>`;

/** Lines over the load for every trace and engine, with all figures folded away. */
export function loadSection(part, rows, { heading, about }) {
  if (rows.length === 0) return null;
  const model = modelOfRows(part, rows);
  const charts = model.settings.map((setting) => attainmentChart(model, setting));
  const details = model.settings.map(
    (setting) =>
      html`<details class="setting" id="${setting.id}"><summary>${setting.title}<small>${setting.detail}</small></summary>${figuresTable(setting)}${pairedTables(model, setting)}</details>`,
  );
  return html`<h2 id="${part}">${heading}</h2><p class="sub">${about}</p>
${glanceTable(model)}
<div class="grid-of-charts three overview">${charts}</div>
${folded('All figures, and dualmap against each', details)}`;
}

export function goodputSection(rows) {
  if (rows.length === 0) return null;
  // Where too many are out of reach at any rate, there is no goodput to draw.
  const model = modelOfRows('goodput', rows, { goodput: true });
  const drawn = model.settings.filter(({ rows: own }) =>
    own.some((row) => row.attainment >= attainmentMin),
  );
  const left = model.settings.filter((setting) => !drawn.includes(setting));
  const note =
    left.length === 0
      ? null
      : html`<p class="note">Not drawn, because at no rate 90 % are in time: ${left.map(({ title }) => title).join(', ')}.</p>`;
  const charts = drawn.map((setting) => attainmentChart(model, setting));
  const tables = drawn.map((setting) => {
    const own = { ...setting, rows: setting.rows.filter(({ policy }) => policy !== 'dualmap') };
    return html`<details class="setting" id="${setting.id}"><summary>${setting.title}<small>${setting.detail}</small></summary>${pairedTables(model, own)}</details>`;
  });
  return html`<h2 id="goodput">Goodput: the highest rate with 90 % in time, each as shipped</h2>
<div class="grid-of-charts three overview">${charts}</div>${note}
${folded('dualmap against each', tables)}`;
}

/** What each switch of a policy is worth. */
export function ablationSection(rows) {
  if (rows.length === 0) return null;
  const groups = ['switches', 'paper'].flatMap((sweep) => {
    const own = rows.filter((row) => row.sweep === sweep);
    if (own.length === 0) return [];
    const model = modelOfRows(`ablation-${sweep}`, own);
    return model.settings.map(
      (setting) => html`<h3>${setting.title}</h3>${variantTables(model, setting)}`,
    );
  });
  return html`<h2 id="ablation">What each switch is worth</h2>
<p class="sub">The policy as it is, against itself with one thing changed: above 0 points, and
below a ratio of 1, the switch earns its place. Of the paper’s rule:
<code>slo-fraction=0.01</code> is min-TTFT inside the pair. Estimates that are learnt are not
simulated: every router is told the true time a token.</p>${groups}`;
}
