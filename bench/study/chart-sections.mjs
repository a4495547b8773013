/**
 * The study's page, what is drawn: attainment over load, goodput, the worth of each switch, larger
 * fleets, several routers, raw arrivals. Pure.
 */
import { attainmentChart } from '../../dist/simulate/report/charts.js';
import {
  glanceTable,
  pairedTables,
  variantTables,
} from '../../dist/simulate/report/comparisons.js';
import {
  percent,
  perSecond,
  points,
  secondsOrLost,
  short,
} from '../../dist/simulate/report/format.js';
import { heatTable } from '../../dist/simulate/report/heat-table.js';
import { html } from '../../dist/simulate/report/html.js';
import { lineChart } from '../../dist/simulate/report/line-chart.js';
import { modelOf, rateOf } from '../../dist/simulate/report/model.js';
import { attainmentMin } from '../../dist/simulate/results.js';
import { policies } from './parts.mjs';

/** The looks of a policy are the same in every picture of the page. */
export const series = policies.map((name, index) => ({ index, name }));

/** Rows of one part as a sweep's report has them. */
function modelOfRows(part, rows, { goodput = false, hasDetail = false } = {}) {
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
function figuresTable({ title, rates, rows }) {
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

const folded = (words, details) =>
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

/** Lines over a number of things: instances, routers. `pick(policy, x)` is a row. */
function countChart({ title, about, xs, word, pick, of, names }) {
  const lines = series
    .filter(({ name }) => names.includes(name))
    .map((one) => {
      const rows = xs.map((x) => pick(one.name, x) ?? null);
      return {
        series: one,
        values: rows.map((row) => (row === null ? null : of(row))),
        halves: rows.map(() => null),
        texts: rows.map((row) => (row === null ? '–' : percent(of(row)))),
      };
    });
  const values = lines.flatMap((line) => line.values).filter((value) => value !== null);
  return lineChart({
    title,
    about,
    xLabel: word,
    yLabel: '%',
    xs,
    xTexts: xs.map((x) => `${x} ${word}`),
    lines,
    isLog: false,
    reach: [Math.floor(10 * Math.min(...values)) / 10, Math.ceil(10 * Math.max(...values)) / 10],
    tickText: (value) => String(Math.round(100 * value)),
    level: null,
    isLessBetter: false,
  });
}

const distinct = (values) => [...new Set(values)];
const near = (a, b) => Math.abs(a - b) < 1e-6;
const attainment = (row) => row.attainment;
const hitRatio = (row) => row.hitRatio;

export function fleetSection(rows) {
  if (rows.length === 0) return null;
  const xs = distinct(rows.map((row) => row.instances));
  const names = distinct(rows.map((row) => row.policy));
  const loads = distinct(rows.map((row) => Number(row.load.toFixed(4))));
  const charts = [attainment, hitRatio].flatMap((of) =>
    loads.map((load) =>
      countChart({
        title: `${of === attainment ? 'In time' : 'Prompt tokens from caches'}, load ${load}`,
        about: `${rows[0].trace} on ${rows[0].preset}, the same queue for all`,
        word: 'instances',
        pick: (policy, x) =>
          rows.find((row) => row.policy === policy && row.instances === x && near(row.load, load)),
        ...{ xs, of, names },
      }),
    ),
  );
  const requests = distinct(rows.map((row) => `${row.instances}: ${row.requests}`)).join(', ');
  return html`<h2 id="fleet">Eight instances to thirty-two</h2>
<p class="sub">As many requests for an instance, as far as the trace has them (instances:
requests; ${requests}). Hits fall with a larger fleet where a policy spreads a prefix over it.</p>
<div class="grid-of-charts">${charts}</div>`;
}

export function routersSection(rows) {
  if (rows.length === 0) return null;
  const xs = distinct(rows.map((row) => row.routers));
  const names = distinct(rows.map((row) => row.policy));
  const settings = distinct(rows.map((row) => `${row.trace}\n${row.preset}`));
  const delayMs = Math.max(...rows.map((row) => row.viewDelayMs));
  const charts = settings.flatMap((setting) => {
    const own = rows.filter((row) => `${row.trace}\n${row.preset}` === setting);
    const pick = (load) => (policy, x) =>
      own.find(
        (row) =>
          row.policy === policy &&
          row.routers === x &&
          near(row.load, load) &&
          row.viewDelayMs === (x === 1 ? 0 : delayMs),
      );
    const [trace, preset] = setting.split('\n');
    const common = { about: `${trace} on ${preset}, load 0.9`, xs, names, word: 'routers' };
    return [
      countChart({ ...common, title: 'In time', of: attainment, pick: pick(0.9) }),
      countChart({ ...common, title: 'Prompt tokens from caches', of: hitRatio, pick: pick(0.9) }),
    ];
  });
  const model = modelOfRows('routers', rows, { hasDetail: true });
  const details = model.settings.map(
    (setting) =>
      html`<details class="setting" id="${setting.id}"><summary>${setting.title}<small>${setting.detail}</small></summary>${figuresTable(setting)}</details>`,
  );
  return html`<h2 id="routers">One router to eight that share nothing</h2>
<p class="sub">Everybody behind the same queue, each router with its share of an instance’s room,
metrics of the engines ${short(delayMs)} ms old (one router needs none).</p>
<div class="grid-of-charts">${charts}</div>
${folded('All figures', details)}`;
}

/** The batches of the trace as they are, beside the same spread over their windows. */
export function rawSection(rows, spread) {
  if (rows.length === 0) return null;
  const settings = distinct(rows.map((row) => row.preset)).map((preset) => {
    const own = rows.filter((row) => row.preset === preset);
    const rates = distinct(own.map((row) => Number(row.load.toFixed(4))));
    const names = distinct(own.map((row) => row.policy));
    const body = series
      .filter(({ name }) => names.includes(name))
      .map((one) => {
        const cells = rates.map((rate) => {
          const isSame = (row) =>
            row.policy === one.name && row.preset === preset && near(row.load, rate);
          const raw = own.find(isSame);
          const other = spread.find((row) => isSame(row) && row.trace === raw.trace);
          const detail =
            other === undefined ? null : `${points(raw.attainment - other.attainment)} points`;
          const strength = raw.attainment ** 3;
          return { text: percent(raw.attainment), detail, strength, isBest: false };
        });
        return { head: one.name, series: one, cells };
      });
    const columns = rates.map((rate) => ({ head: `load ${short(rate)}`, series: null }));
    const caption = `${own[0].trace} on ${preset}: in time, raw; below it raw less spread`;
    return heatTable({ caption, corner: 'policy', columns, rows: body });
  });
  return html`<h2 id="raw">Arrivals raw</h2>
<p class="sub">The trace records arrivals every 3 s, in batches. Everywhere else they are drawn
over their window; here they come as recorded, the same queue for all.</p>
<div class="tables">${settings}</div>`;
}
