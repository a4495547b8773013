/**
 * Makes one page of the study's files, and the README's tables:
 *
 *   node bench/study/page.mjs [--in bench/results/study] [--out bench/results/study.html]
 *        [--readme README.md]
 *
 * Parts that were not run are left out and said to be. Without `--readme` no table is written.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatFacts } from '../../dist/bench/environment.js';
import { counted } from '../../dist/simulate/report/format.js';
import { html } from '../../dist/simulate/report/html.js';
import { shellOf } from '../../dist/simulate/report/shell.js';
import { ablationSection, goodputSection, loadSection, series } from './chart-sections.mjs';
import { elasticSection, fleetSection, rawSection, routersSection } from './fleet-sections.mjs';
import { parts } from './parts.mjs';
import { putBetweenMarkers, readmeTables } from './readme-table.mjs';
import { unpackRows } from './rows.mjs';
import { targetsOf } from './targets.mjs';
import {
  claimsSection,
  headlineSection,
  orderSection,
  targetsSection,
} from './verdict-sections.mjs';

const { values } = parseArgs({
  options: {
    in: { type: 'string', default: 'bench/results/study' },
    out: { type: 'string', default: 'bench/results/study.html' },
    readme: { type: 'string' },
  },
});

const read = (name) => {
  const path = join(values.in, `${name}.json`);
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null;
};
const files = ['speed', ...Object.keys(parts)].flatMap((name) => read(name) ?? []);
if (files.length === 0) throw new Error(`${values.in}: no part of the study lies there`);

/** Rows by part. */
const study = Object.fromEntries(Object.keys(parts).map((name) => [name, []]));
for (const file of files) if (file.rows !== undefined) study[file.part] = unpackRows(file);
study.speeds = files.find(({ part }) => part === 'speed')?.speeds ?? [];

/** Under what each part was run; parts that were run together share it. */
function factsSection() {
  const runs = new Map();
  for (const { part, facts, settings, cost = null, sweeps = [] } of files) {
    const text = formatFacts(facts);
    if (!runs.has(text)) runs.set(text, []);
    const spent =
      cost === null
        ? ''
        : `, ${cost.runs} runs in ${cost.wallSeconds} s on ${cost.threads} threads`;
    const seeds = settings.seeds === undefined ? '' : `, ${counted(settings.seeds, 'seed')}`;
    runs.get(text).push({ name: `${part}: ${settings.limit} requests${seeds}${spent}`, sweeps });
  }
  const blocks = [...runs].map(([text, own]) => {
    const lists = own.map(
      ({ name, sweeps }) =>
        html`<details><summary>${name}</summary><pre>${sweeps.join('\n')}</pre></details>`,
    );
    return html`<pre class="facts">${text}</pre>${lists}`;
  });
  return html`<h2 id="again">How to make it again</h2>
<p class="sub">Simulated: the decision core of the router with a hand-cranked clock, over
simulated engines. The rows of each part lie in <code>bench/results/study</code>; below, the parts
and the commands that run the same sweeps one by one.</p>${blocks}`;
}

const style = `
.badge{display:inline-block;padding:0 8px;border-radius:99px;border:1px solid var(--line);
font-size:.78rem;white-space:nowrap}
.badge.met{border-color:var(--ahead);background:color-mix(in srgb,var(--ahead) 18%,transparent)}
.badge.missed{border-color:var(--behind);background:color-mix(in srgb,var(--behind) 18%,transparent)}
.words td,.words th{text-align:left;white-space:normal;vertical-align:top;min-width:90px}
.words td.n{white-space:nowrap}
.words td small,.words th small{display:block}
.words{width:100%}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin-top:14px;font-size:.88rem}
main h3{margin:22px 0 4px}.tile h3{margin:0}
.folded{margin-top:16px}.folded>summary{cursor:pointer}
.folded details.setting{margin:8px 0}
.grid-of-charts.two{grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr))}
.words details{margin-top:4px}.words summary{cursor:pointer;color:var(--dim)}.words
ul{padding-left:16px;margin:4px 0}
.why{margin:16px 0;padding-left:20px;max-width:75em}.why li{margin:4px 0}
pre.facts{margin-bottom:10px}
@media (max-width:640px){
.words thead{display:none}.words,.words tbody{display:block}
.words tr{display:block;padding:8px 0;border-bottom:1px solid var(--line)}
.words td,.words th{display:block;border:0;padding:2px 0}.words td:empty{display:none}
.words td[data-head]::before{content:attr(data-head) ": ";color:var(--dim)}
}
`;

const targets = targetsOf(study);
const shippedAbout =
  'dualmap and dualmap-paper wait in the router; everybody else sends straight to the engines.';
const rest = html`${claimsSection(study)}
${loadSection('same-queue', study['same-queue'], {
  heading: 'In time, the same queue for all',
  about:
    'Every request waits in the router, in order of its deadline (dualmap-paper: in its own order, longest hit first); what differs is the rule.',
})}
${loadSection('view', study.view, {
  heading: 'In time, metrics 0.1 s old',
  about:
    'As above. One router reads of the metrics only how full the memory of an engine is: the same commands with --view-delay-ms 100.',
})}
${loadSection('shapes', study.shapes, {
  heading: 'In time, on traces that were never tuned on',
  about:
    'Made by bench/study/shapes.mjs, so synthetic: long agent sessions, retrieval, bursts of code completion; blocks of 64 tokens, the same queue for all.',
})}
${loadSection('shipped', study.shipped, {
  heading: 'In time, each as it is shipped',
  about: shippedAbout,
})}
${goodputSection(study.goodput)}
${ablationSection(study.ablation)}
${fleetSection(study.fleet)}
${routersSection(study.routers)}
${elasticSection(study.elastic)}
${orderSection(study['paper-order'])}
${rawSection(study.raw, study['same-queue'])}
${factsSection()}`;

const links = [
  ['targets', 'targets'],
  ['claims', 'the paper’s claims'],
  ['same-queue', 'the same queue'],
  ['view', 'older metrics'],
  ['shapes', 'made traces'],
  ['shipped', 'as shipped'],
  ['goodput', 'goodput'],
  ['ablation', 'ablation'],
  ['fleet', 'larger fleets'],
  ['routers', 'several routers'],
  ['elastic', 'four more join'],
  ['order', 'plain simulation'],
  ['raw', 'raw arrivals'],
  ['again', 'make it again'],
].filter(([id]) => id === 'targets' || rest.text.includes(`<h2 id="${id}"`));

const seedCounts = files.flatMap(({ settings }) => settings.seeds ?? []);
const page = shellOf({
  title: 'DualMap: the study',
  origin: 'dualmap',
  subtitle: `Fifteen policies on simulated fleets of eight instances: a recorded trace, one of public datasets and a synthetic stand-in, four engines, ${Math.min(...seedCounts)} to ${Math.max(...seedCounts)} seeds, first token within 5 s.`,
  series,
  top: html`${headlineSection(study, targets)}<nav aria-label="Parts">${links.map(([id, words]) => html`<a href="#${id}">${words}</a>`)}</nav>${targetsSection(study, targets)}`,
  rest,
  style,
});
writeFileSync(values.out, page);
for (const { isMet, text, figures, worst } of targets) {
  const word = isMet === null ? 'not run' : isMet ? 'met' : 'missed';
  process.stdout.write(`${word}: ${text}\n  ${figures}${worst === '' ? '' : `; ${worst}`}\n`);
}
if (values.readme !== undefined) {
  const { facts } = files.find(({ part }) => part === 'shipped');
  const tables = readmeTables(study, facts);
  writeFileSync(values.readme, putBetweenMarkers(readFileSync(values.readme, 'utf8'), tables));
}
