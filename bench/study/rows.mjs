/**
 * Rows of the study: how they lie in its files, and how two of them are set against each other.
 * Pure.
 */
import { meanDifference, meanRatio } from '../../dist/simulate/means.js';

/** Enough for everything that is shown. */
const digits = 6;
const perSeed = {
  attainmentSeeds: (cell) => cell.attainment,
  ttftP50MsSeeds: (cell) => cell.ttftMs.p50,
  ttftP90MsSeeds: (cell) => cell.ttftMs.p90,
  qpsSeeds: (cell) => cell.qps,
};

/** Summary rows with the figures of each seed, from which any two rows can be paired. */
export function withSeeds(summary, cells, sweep) {
  let next = 0;
  return summary.map(({ paired, ...row }) => {
    const own = cells.slice(next, next + row.seeds);
    next += row.seeds;
    const figures = Object.entries(perSeed).map(([name, of]) => [name, own.map(of)]);
    return { sweep, ...row, ...Object.fromEntries(figures), ...courseOf(own[0]) };
  });
}

/** How the first seed went, if something joined: percent in time in each part of the run. */
function courseOf({ joined, timeline }) {
  if (joined === null || timeline === undefined) return {};
  const inTime = timeline.attainment.map((share) => share && Math.round(1000 * share) / 10);
  return { partMs: timeline.partMs, inTime };
}

const rounded = (value) => {
  if (Array.isArray(value)) return value.map(rounded);
  return typeof value === 'number' ? Number(value.toPrecision(digits)) : value;
};

/** Names once, then values: a row is a line. */
export function packRows(rows) {
  const columns = Object.keys(rows[0]);
  return { columns, rows: rows.map((row) => columns.map((name) => rounded(row[name]))) };
}

/** With `paired` as `summarize` has it. */
export function unpackRows({ columns, rows }) {
  const named = rows.map((row) => Object.fromEntries(columns.map((name, at) => [name, row[at]])));
  return withPairs(named);
}

/** Equal for rows of one setting: what differs is the policy, or its variant. */
export function settingOf(row) {
  const { sweep, trace, preset, instances, routers, viewDelayMs, queueMode, load } = row;
  const rate = row.goodputQps === null ? load.toFixed(4) : 'goodput';
  return [sweep, trace, preset, instances, routers, viewDelayMs, queueMode, rate].join('\n');
}

function withPairs(rows) {
  const plain = new Map();
  for (const row of rows) {
    if (row.variant === '') plain.set(`${settingOf(row)}\n${row.policy}`, row);
  }
  return rows.map((row) => {
    const wanted = row.variant === '' ? 'dualmap' : row.policy;
    const reference = plain.get(`${settingOf(row)}\n${wanted}`);
    const isReference = reference === undefined || reference === row;
    return { ...row, paired: isReference ? null : pairOf(reference, row) };
  });
}

/** `reference` against `row`, seed by seed. */
export function pairOf(reference, row) {
  const isGoodput = row.goodputQps !== null;
  return {
    policy: reference.policy,
    queue: reference.queue,
    attainment: isGoodput ? null : differenceOf(reference, row),
    ttftP50: isGoodput ? null : meanRatio(reference.ttftP50MsSeeds, row.ttftP50MsSeeds),
    goodput: isGoodput ? meanRatio(reference.qpsSeeds, row.qpsSeeds) : null,
  };
}

export const differenceOf = (ours, theirs) =>
  meanDifference(ours.attainmentSeeds, theirs.attainmentSeeds);

/** Rows by setting, each a map from policy to its plain row. */
export function settingsOf(rows) {
  const settings = new Map();
  for (const row of rows) {
    if (row.variant !== '') continue;
    const key = settingOf(row);
    if (!settings.has(key)) settings.set(key, new Map());
    settings.get(key).set(row.policy, row);
  }
  return [...settings.values()];
}

/** The one with most of `of` among these policies; `null` if none was run. */
export function bestOf(setting, names, of) {
  const rows = names.map((name) => setting.get(name)).filter((row) => row !== undefined);
  return rows.length === 0 ? null : rows.reduce((best, row) => (of(row) > of(best) ? row : best));
}
