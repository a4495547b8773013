/**
 * The report as one page that needs nothing else: no network, no file beside it. Pure: a sweep's
 * results in, text out.
 */
import { formatFacts } from '../../bench/environment.ts';
import type { Join } from '../options.ts';
import type { SimulateReport } from '../output.ts';
import { attainmentMin } from '../results.ts';
import { attainmentChart, hitChart, stripCharts, ttftCharts } from './charts.ts';
import { glanceTable, pairedTables, variantTables } from './comparisons.ts';
import { counted, givenSeconds, percent, whole } from './format.ts';
import { headline } from './headline.ts';
import { type Html, html } from './html.ts';
import { type Model, modelOf, type Setting } from './model.ts';
import { numberTable } from './numbers.ts';
import { shellOf } from './shell.ts';

export function reportPage(report: SimulateReport): string {
  const model = modelOf(report);
  return shellOf({
    title: 'What each policy would do',
    origin: 'dualmap simulate',
    subtitle: subtitle(model),
    series: model.series,
    top: headline(model),
    rest: html`${overview(model)}
${model.settings.map((setting, index) => settingDetails(model, setting, index === 0))}
${ablation(model)}
<h2>All figures</h2>
${numberTable(report.summary, model.series)}
<h2>How these figures came about</h2>
<p class="sub">Simulated: the decision core of the router with a hand-cranked clock, over
simulated engines. ${settingsText(model)}</p>
<pre>${formatFacts(report.facts)}</pre>`,
    style: '',
  });
}

function subtitle({ report, settings }: Model): string {
  const { summary, settings: asked } = report;
  const traces = new Map(summary.map(({ trace, requests }) => [trace, requests]));
  const named = [...traces].map(
    ([trace, requests]) => `${counted(requests, 'request')} of ${trace}`,
  );
  const objective = `objective: first token within ${givenSeconds(asked.sloTtftMs)}`;
  const runs = `${counted(settings.length, 'setting')}, ${counted(asked.seeds, 'seed')}`;
  return `${named.join(', ')}; ${runs}; ${objective}.`;
}

/** The first thing one wants to see: who answers in time, and until when. */
function overview(model: Model): Html {
  const { settings } = model;
  const charts = settings.map((setting) => {
    const chart = attainmentChart(model, setting);
    return html`<div>${chart}<p class="note"><a href="#${setting.id}">In detail</a></p></div>`;
  });
  // One chart alone would be as wide as the page.
  const [only, another] = settings;
  const isOne = only !== undefined && another === undefined;
  const beside = isOne ? html`<div>${hitChart(model, only)}</div>` : null;
  const what =
    model.rateKind === 'goodput'
      ? `Goodput: the highest rate with ${percent(attainmentMin, 0)} answered in time`
      : 'Share of requests answered in time';
  return html`<h2>${what}</h2>
${isOne ? null : glanceTable(model)}
<div class="grid-of-charts overview">${charts}${beside}</div>`;
}

function settingDetails(model: Model, setting: Setting, isOpen: boolean): Html {
  const strips = stripCharts(model, setting);
  const paired = pairedTables(model, setting);
  const hits = model.settings.length === 1 ? null : hitChart(model, setting);
  const ttfts = model.rateKind === 'goodput' ? [] : ttftCharts(model, setting);
  const outOfReach = setting.rows[0]?.outOfReach ?? 0;
  const reach =
    outOfReach === 0
      ? null
      : html`<p class="note">${percent(outOfReach)} of the requests are out of reach: even an idle engine with an infinite cache would answer them too late.</p>`;
  const heading = isOpen ? html`<h2>Setting by setting</h2>` : null;
  return html`${heading}<details class="setting" id="${setting.id}"${isOpen ? html` open` : null}><summary>${setting.title}<small>${setting.detail}</small></summary>
<div class="grid-of-charts three">${ttfts}</div>
<div class="grid-of-charts">${hits}${strips}</div>
${paired}${reach}</details>`;
}

function ablation(model: Model): Html | null {
  const tables = model.settings.flatMap((setting) => {
    const own = variantTables(model, setting);
    const heading = html`<h3>${setting.title}, ${setting.detail}</h3>`;
    return own === null ? [] : [html`${heading}${own}`];
  });
  if (tables.length === 0) return null;
  return html`<h2>Ablation: what each switch is worth</h2>${tables}`;
}

function settingsText({ report }: Model): string {
  const { arrivals, join, warmup, limit, maxInputTokens, set } = report.settings;
  const said = [
    arrivals === 'spread' ? 'Batches of arrivals are spread over their window.' : 'Arrivals raw.',
    join === null ? '' : joinText(join),
    warmup > 0 ? `The first ${counted(warmup, 'request')} count in no figure.` : '',
    limit === null ? '' : `At most ${counted(limit, 'request')} of a trace.`,
    maxInputTokens === null ? '' : `Inputs of at most ${whole(maxInputTokens)} tokens.`,
    Object.keys(set).length === 0 ? '' : `Options of every router: ${JSON.stringify(set)}.`,
  ];
  return said.filter((text) => text !== '').join(' ');
}

function joinText({ instances, share }: Join): string {
  const more = counted(instances, 'instance');
  return `When ${percent(share)} of the requests had arrived, ${more} joined; load is that of the fleet before.`;
}
