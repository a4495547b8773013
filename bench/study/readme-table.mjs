/**
 * The README's tables against the rivals, made of the study's rows, and put between two markers.
 * Pure.
 */
import { counted, percent, secondsOrLost, short } from '../../dist/simulate/report/format.js';
import { ours, rivals } from './parts.mjs';
import { bestOf, settingsOf } from './rows.mjs';

const loads = [0.7, 0.9, 1, 1.1, 1.25];
const rivalsShown = 4;
const shown = [
  ['conversation', 'paper-7b'],
  ['conversation', 'a100-7b'],
  ['toolagent', 'paper-7b'],
  ['toolagent', 'a100-7b'],
];
const start = '<!-- study: -->';
const end = '<!-- end of study -->';

const figure = (row) => `${percent(row.attainment)}, ${secondsOrLost(row.ttftP50Ms)}`;

/** The settings of one trace and preset, one for each load of the table. */
function settingsAt(rows, trace, preset) {
  const own = rows.filter((row) => row.trace.startsWith(trace) && row.preset === preset);
  const settings = settingsOf(own);
  return loads.flatMap((load) => {
    const found = settings.find((setting) => {
      const [row] = setting.values();
      return Math.abs(row.load - load) < 1e-6;
    });
    return found === undefined ? [] : [{ load, setting: found }];
  });
}

/** Rivals by their mean over the loads, the best first. */
function ranked(settings) {
  const meanOf = (name) => {
    const values = settings.map(({ setting }) => setting.get(name)?.attainment ?? Number.NaN);
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  return rivals
    .map((name) => ({ name, mean: meanOf(name) }))
    .filter(({ mean }) => !Number.isNaN(mean))
    .sort((a, b) => b.mean - a.mean)
    .map(({ name }) => name);
}

/** One table; empty if its cells were not run. */
function tableOf({ shipped, sameQueue, trace, preset }) {
  const settings = settingsAt(shipped, trace, preset);
  if (settings.length === 0) return '';
  const behind = settingsAt(sameQueue, trace, preset);
  const [first] = settings[0].setting.values();
  const lineOf = (name) => {
    const figures = settings.map(({ setting }) => {
      const row = setting.get(name);
      return row === undefined ? '' : figure(row);
    });
    return `| \`${name}\` | ${figures.join(' | ')} |`;
  };
  const queued = settings.map(({ load }) => {
    const found = behind.find((one) => one.load === load);
    const best =
      found === undefined ? null : bestOf(found.setting, rivals, (row) => row.attainment);
    return best === null ? '' : `${figure(best)} (\`${best.policy}\`)`;
  });
  const heads = settings.map(({ load }) => `load ${short(load)}`);
  return [
    `\`${first.trace}\` on \`${preset}\`:`,
    '',
    `| policy | ${heads.join(' | ')} |`,
    `|---|${heads.map(() => '---|').join('')}`,
    ...[...ours, ...ranked(settings).slice(0, rivalsShown)].map(lineOf),
    `| best rival behind the same queue | ${queued.join(' | ')} |`,
  ].join('\n');
}

const eightShown = ['dualmap', 'consistent_hash', 'preble', 'least_tokens'];

/** One router, and eight that share nothing; empty if they were not run. */
function routersTable(rows) {
  const fresh = rows.filter(({ viewDelayMs, load }) => viewDelayMs === 0 && load > 0.85);
  const settings = settingsOf(fresh.filter(({ routers }) => routers === 8));
  const lines = settings.flatMap((setting) => {
    const [{ trace, preset, load }] = setting.values();
    const isHere = (row) =>
      row.trace === trace && row.preset === preset && Math.abs(row.load - load) < 1e-6;
    const alone = fresh.find((row) => row.routers === 1 && row.policy === 'dualmap' && isHere(row));
    const shownRows = [alone, ...eightShown.map((name) => setting.get(name))];
    if (shownRows.includes(undefined)) return [];
    const figures = shownRows.map(
      (row) => `${percent(row.attainment)}, ${percent(row.hitRatio, 0)}`,
    );
    return [`| \`${trace}\`, \`${preset}\`, ${short(load)} | ${figures.join(' | ')} |`];
  });
  if (lines.length === 0) return '';
  const [first, ...others] = eightShown.map((name) => `\`${name}\``);
  return [
    'Eight routers that share nothing, all requests behind such queues: in time, and prompt tokens from cache.',
    '',
    `| trace, engine, load | one router | eight: ${[first, ...others].join(' | ')} |`,
    `|---|---|${eightShown.map(() => '---|').join('')}`,
    ...lines,
  ].join('\n');
}

/** All tables, with what they show and how they are made. */
export function readmeTables(study, facts) {
  const tables = shown
    .map(([trace, preset]) =>
      tableOf({ shipped: study.shipped, sameQueue: study['same-queue'], trace, preset }),
    )
    .filter((table) => table !== '');
  const { requests, seeds } = study.shipped[0];
  const date = facts.date.slice(0, 10);
  const count = requests.toLocaleString('en-US');
  const intro = `Simulated (\`dualmap simulate\`: discrete events, the native core with a
hand-cranked clock): the first ${count} requests of each trace (conversation: with inputs of at
most 20,480 tokens),
eight instances, ${counted(seeds, 'seed')}; load 1 is the rate at which the uncached work of the
trace just fills the fleet. Share of requests with TTFT <= 5 s, and the median TTFT. Every policy as
its system ships it: \`dualmap\` and \`dualmap-paper\` with the queues of the router, the four best
of ${rivals.length} others straight into the engines; last, in each column, the best of the others
if it waits in the same queue.`;
  const outro = `All of it, beside what was set out to be reached and what the paper claims:
[the study](bench/results/study.html), made by \`node bench/study/study.mjs\`
([bench/README.md](bench/README.md)), ${date}.`;
  const eight = routersTable(study.routers);
  return [intro, ...tables, ...(eight === '' ? [] : [eight]), outro].join('\n\n');
}

/** Throws if the README has no such place. */
export function putBetweenMarkers(readme, text) {
  const [from, to] = [readme.indexOf(start), readme.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README: no lines ${start} and ${end}`);
  return `${readme.slice(0, from + start.length)}\n${text}\n${readme.slice(to)}`;
}
