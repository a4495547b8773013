/**
 * The study's page, what is said in words and tables: what holds, what was set out to be reached,
 * what the paper claims, whose order of policies came out the same. Pure.
 */
import { percent, seconds } from '../../dist/simulate/report/format.js';
import { html } from '../../dist/simulate/report/html.js';
import { claimsOf } from './claims.mjs';
import { claimReasons, findings, missReasons } from './findings.mjs';
import { orderFindings } from './paper-order.mjs';
import { rivals } from './parts.mjs';
import { goodputCells, underLoad } from './targets.mjs';

const badge = (isMet, words) => {
  if (isMet === null) return html`<span class="badge">not run</span>`;
  return html`<span class="badge ${isMet ? 'met' : 'missed'}">${words[isMet ? 0 : 1]}</span>`;
};

/** A figure and its unit stay on one line. */
const keep = (text) =>
  text.replace(/(?<=[\d×]) (?=[\d%s×])|(?<=\d) (?=points)|(?<=±) | (?=±)/g, '\u00a0');

/** A table that scrolls by itself where the screen is narrow. */
export const textTable = (label, heads, rows) =>
  html`<div class="scroll" tabindex="0" role="region" aria-label="${label}"><table class="words"><thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead><tbody>${rows}</tbody></table></div>`;

/** Over the cells under load: `dualmap` beside the best of the others. */
function attainmentTile(title, rows) {
  const [own] = underLoad(rows, ['dualmap'], 'attainmentSeeds');
  const [paper] = underLoad(rows, ['dualmap-paper'], 'attainmentSeeds');
  const others = underLoad(rows, rivals, 'attainmentSeeds').sort((a, b) => b.mean - a.mean);
  if (own === undefined || others.length === 0) return null;
  const paperText = paper === undefined ? null : html`, the paper’s rule ${percent(paper.mean)}`;
  return html`<div class="tile"><h3>${title}</h3><p><strong>${percent(own.mean)}</strong> <code>dualmap</code></p><span>best of ${others.length} others: <code>${others[0].name}</code> ${percent(others[0].mean)}${paperText}</span></div>`;
}

function medianTile(rows) {
  const [own] = underLoad(rows, ['dualmap'], 'ttftP50MsSeeds');
  const others = underLoad(rows, rivals, 'ttftP50MsSeeds')
    .filter(({ mean }) => !Number.isNaN(mean))
    .sort((a, b) => a.mean - b.mean);
  if (own === undefined || others.length === 0) return null;
  return html`<div class="tile"><h3>Median TTFT, the same queue for all</h3><p><strong>${seconds(own.mean)}</strong> <code>dualmap</code></p><span>best of the others: <code>${others[0].name}</code> ${seconds(others[0].mean)}</span></div>`;
}

function goodputTile(rows) {
  const cells = goodputCells(rows, 'dualmap', rivals);
  if (cells.length === 0) return null;
  const logs = cells.map(({ ratio }) => Math.log(ratio.mean));
  const mean = Math.exp(logs.reduce((sum, value) => sum + value, 0) / logs.length);
  return html`<div class="tile"><h3>Goodput, rivals as shipped</h3><p><strong>× ${mean.toFixed(2)}</strong> the best of the others</p><span>${cells.length} traces and engines; × ${Math.exp(Math.min(...logs)).toFixed(2)} to × ${Math.exp(Math.max(...logs)).toFixed(2)}</span></div>`;
}

/** What holds, in four figures and a count. */
export function headlineSection(study, targets) {
  const tiles = [
    attainmentTile('In time, the same queue for all', study['same-queue']),
    medianTile(study['same-queue']),
    attainmentTile('In time, rivals as shipped', study.shipped),
    goodputTile(study.goodput),
  ];
  const held = findings(study, targets).map((text) => html`<li>${keep(text)}</li>`);
  return html`<div class="tiles">${tiles}</div>
<ul class="why">${held}</ul>
<p class="note">In time: first token within 5 s. Means over three traces, four engines, load 0.9
and above, and all seeds. Load 1 is warm saturation: the rate at which the work that one infinite
cache, shared by all, would leave over just fills the fleet. The same queue: every request waits
in the router, in order of its deadline. As shipped: rivals send straight to the engines, as the
systems they come from do.</p>`;
}

/** All of them, if the worst one is not the only one. */
function missesOf(misses) {
  if (misses.length < 2) return null;
  const items = misses.map((text) => html`<li>${keep(text)}</li>`);
  return html`<details><summary>all ${misses.length} that miss it</summary><ul>${items}</ul></details>`;
}

function reasonsList(heading, reasons) {
  if (reasons.length === 0) return null;
  const items = reasons.map((text) => html`<li>${keep(text)}</li>`);
  return html`<h3>${heading}</h3><ul class="why">${items}</ul>`;
}

export function targetsSection(study, targets) {
  const rows = targets.map(
    ({ text, isMet, figures, worst, misses }) =>
      html`<tr><td>${badge(isMet, ['met', 'missed'])}</td><td>${keep(text)}</td><td>${keep(figures)}</td><td>${keep(worst)}${missesOf(misses)}</td></tr>`,
  );
  return html`<h2 id="targets">What was to be reached</h2>
${textTable('Targets', ['', 'target', 'measured', 'worst cell'], rows)}
<p class="note">Differences are paired by seed (the same arrivals, the same rings), with their 95
% interval. What a router sees of the engines’ metrics is 0 or 0.1 s old.</p>
${reasonsList('What keeps the others from being met', missReasons(study, targets))}`;
}

const verdictWords = ['reached', 'not reached'];

export function claimsSection(study) {
  const rows = claimsOf(study).map((claim) => {
    const [paper, own] = claim.isReached;
    const ownBadge = own === null ? null : badge(own, verdictWords);
    return html`<tr><td>${claim.trace}: ${claim.what}<small>${claim.how}</small></td><td class="n" data-head="published">${keep(claim.published)}</td><td data-head="dualmap-paper">${badge(paper, verdictWords)} ${keep(claim.figures[0])}</td><td data-head="dualmap">${ownBadge} ${keep(claim.figures[1])}</td></tr>`;
  });
  return html`<h2 id="claims">What the paper claims, and what came out here</h2>
${textTable('Claims', ['claim', 'published', 'dualmap-paper', 'dualmap'], rows)}
<p class="note">Reached: at one of these loads at least, the claim’s lower end. The paper gives the
rates of its own machines, not loads. The order of llm-d’s published benchmark (precise before
estimated before random and load) is reproduced by rung 4 of the validation ladder,
<code>npm run test:validation</code>.</p>
${reasonsList('Where it comes out otherwise, and why', claimReasons(study))}`;
}

/** Whose order of policies came out the same. */
export function orderSection(rows) {
  if (rows.length === 0) return null;
  const figure = (value) => (value === null ? '–' : value.toFixed(1));
  const findingsOf = orderFindings(rows);
  const all = findingsOf.flatMap((table) => table.rows);
  const same = all.filter(({ swapped }) => swapped.length === 0).length;
  const tables = findingsOf.map((table) => {
    const heads = ['trace, requests a second', ...table.columns.map(({ name }) => name), 'order'];
    const body = table.rows.map((row) => {
      const cells = table.columns.map(
        ({ name }, at) =>
          html`<td class="n" data-head="${name}">${figure(row.published[at])}<small>${figure(row.measured[at])} here</small></td>`,
      );
      const words = row.swapped.map(([a, b]) => `${a} and ${b}`).join('; ');
      const order = table.id === 'orders' ? `, ${row.order}` : '';
      return html`<tr><th scope="row">${row.trace} ${row.qps}${order}</th>${cells}<td>${badge(row.swapped.length === 0, ['the same', 'swapped'])} ${words}</td></tr>`;
    });
    const unit = table.measure === 'hitRatio' ? 'prompt tokens from caches, %' : 'in time, %';
    return html`<h3>${table.title} (${unit})</h3>${textTable(table.title, heads, body)}`;
  });
  return html`<h2 id="order">The order of policies in the plain simulation</h2>
<p class="sub">The project began with tables of a simulation of one FIFO prefill server an
instance: 160 us a token, 2,340 cached blocks of 512 tokens, arrivals as recorded, the whole
objective (<code>slo-fraction=1</code>). Published figure, below it ours under the same settings,
means over the seeds of the rings. Swapped: two policies are the other way round, by more than a
point in both. In ${same} of ${all.length} rows the order is the same.</p>
${tables}
<p class="note">Single figures differ, mostly downwards, as they would at a rate some percent
higher:
past the knee that is tens of points. The selection of rows is not stated exactly, tool-agent-like
rates fit the saturation of prompts up to 20,480 tokens only, and here no router knows what engines
have cached: each goes by its own index, where the plain simulation let everybody know. Behind fcfs
and past the knee everybody is late for good, and who hits more loses less: there the DualMap rule,
with more hits, is ahead of min-TTFT.</p>`;
}
