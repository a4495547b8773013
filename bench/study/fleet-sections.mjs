/**
 * The study's page, what is drawn of fleets: larger ones, growing ones, several routers before
 * one, and arrivals raw. Pure.
 */
import { percent, points, short } from '../../dist/simulate/report/format.js';
import { heatTable } from '../../dist/simulate/report/heat-table.js';
import { html } from '../../dist/simulate/report/html.js';
import { lineChart } from '../../dist/simulate/report/line-chart.js';
import { stripChart } from '../../dist/simulate/report/strips.js';
import { figuresTable, folded, modelOfRows, series } from './chart-sections.mjs';

const attainment = (row) => row.attainment;
const hitRatio = (row) => row.hitRatio;

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
    yLabel: of === attainment ? '% of requests' : '% of prompt tokens',
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
<div class="grid-of-charts two">${charts}</div>`;
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
metrics of the engines ${short(delayMs)} ms old.</p>
<div class="grid-of-charts two">${charts}</div>
${folded('All figures', details)}`;
}

/** Four instances become eight half way. */
export function elasticSection(rows) {
  if (rows.length === 0) return null;
  const loads = distinct(rows.map((row) => Number(row.load.toFixed(4))));
  const most = Math.max(...loads);
  const models = modelOfRows('elastic', rows, { hasDetail: true });
  const parts = models.settings.map((setting) => {
    const own = setting.rows.filter((row) => near(row.load, most));
    const [{ partMs, joined }] = own;
    const strips = series.flatMap((one) => {
      const row = own.find(({ policy }) => policy === one.name);
      return row === undefined ? [] : [{ series: one, values: row.inTime }];
    });
    const text = `${joined.instances} joined at ${Math.round(joined.atMs / 1000)} s`;
    const detail =
      setting.rows[0].queueMode === 'auto' ? 'each as shipped' : 'the same queue for all';
    return stripChart({
      title: `${setting.title}, ${detail}`,
      about: `in time, share of the requests that arrived then; load ${short(most)} of the four`,
      strips,
      partSeconds: partMs / 1000,
      reach: 100,
      mark: { at: Number((joined.atMs / partMs).toFixed(2)), text },
      valueText: (value) => `${value.toFixed(0)} %`,
    });
  });
  const tables = models.settings.map((setting) => {
    const body = series.flatMap((one) => {
      const own = setting.rows.filter(({ policy }) => policy === one.name);
      if (own.length === 0) return [];
      const cells = loads.map((load) => {
        const row = own.find((candidate) => near(candidate.load, load));
        const back = row.backInMs === null ? 'not always' : `${(row.backInMs / 1000).toFixed(0)} s`;
        const detail = `${percent(row.attainment)} in time`;
        return { text: back, detail, strength: row.attainment ** 3, isBest: false };
      });
      return [{ head: one.name, series: one, cells }];
    });
    const columns = loads.map((load) => ({ head: `load ${short(load)}`, series: null }));
    const caption = html`${setting.title}: back after <small>${setting.detail}</small>`;
    return heatTable({ caption, corner: 'policy', columns, rows: body });
  });
  return html`<h2 id="elastic">Four instances to eight, half way</h2>
<p class="sub">When half of the requests have arrived, four more instances join and take their
share of
the prefixes in ten steps over 30 s. Load is that of the four. Back: from the join until 90 % are in
time for three hundredths of the run in a row; not always: one seed at least never came back.</p>
<div class="grid-of-charts">${parts}</div>
${folded('How soon each is back', html`<div class="tables">${tables}</div>`)}`;
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
