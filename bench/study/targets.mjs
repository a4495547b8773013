/**
 * What the project set out to reach, judged by the study's rows. Pure. A target is `{ id, text,
 * isMet, figures, worst, misses }`: `isMet` is `null` where its part was not run, `misses` are the
 * cells that miss it, in words.
 */
import { meanDifference, meanRatio } from '../../dist/simulate/means.js';
import { percent, points, seconds, short } from '../../dist/simulate/report/format.js';
import { attainmentMin } from '../../dist/simulate/results.js';
import { rivals } from './parts.mjs';
import { bestOf, differenceOf, settingsOf } from './rows.mjs';

const attainmentOf = (row) => row.attainment;
const loadAware = ['preble', 'min_ttft', 'least_tokens', 'llmd_default'];
/** Loads are ratios of rates: equal but for the last digits. */
const isAt = (row, loads) => loads.some((load) => Math.abs(row.load - load) < 1e-6);
const isFrom = (row, load) => row.load > load - 1e-6;
const sum = (values) => values.reduce((total, value) => total + value, 0);
const meanOf = (values) => sum(values) / values.length;
const least = (entries, of) => entries.reduce((a, b) => (of(b) < of(a) ? b : a));

/** `trace on preset, load 0.9`. */
export function whereOf({ trace, preset, load, goodputQps, routers, viewDelayMs }) {
  const more = [
    ...(goodputQps === null ? [`load ${short(load)}`] : []),
    ...(routers > 1 ? [`${routers} routers`] : []),
    ...(viewDelayMs > 0 ? [`metrics ${short(viewDelayMs)} ms old`] : []),
  ];
  return [`${trace} on ${preset}`, ...more].join(', ');
}

/** `+1.2 ± 0.3 points`. */
export const difference = ({ mean, ci95 }) =>
  `${points(mean)}${ci95 === null ? '' : ` ± ${(100 * ci95).toFixed(1)}`} points`;

/** `× 1.20 (1.15 to 1.25)`. */
export function ratio({ mean, low, high }) {
  const interval = low === null ? '' : ` (${low.toFixed(2)} to ${high.toFixed(2)})`;
  return `× ${mean.toFixed(2)}${interval}`;
}

const notRun = (id, text) => ({ id, text, isMet: null, figures: 'not run', worst: '', misses: [] });

/** `dualmap` in each setting against the best of the named rivals there. */
function againstBest(rows, names) {
  return settingsOf(rows).flatMap((setting) => {
    const own = setting.get('dualmap');
    const best = bestOf(setting, names, attainmentOf);
    if (own === undefined || best === null) return [];
    return [{ own, best, difference: differenceOf(own, best) }];
  });
}

const versus = ({ own, best, difference: by }) =>
  `${whereOf(own)}: ${difference(by)} (${percent(own.attainment)}, ${best.policy} ${percent(best.attainment)})`;

/** 1: nowhere behind. */
function nowhereBehind(rows) {
  const text =
    'One router, everybody behind the same queue: in no cell more than 1 point below the best rival, beyond the interval';
  const cells = againstBest(rows, rivals);
  if (cells.length === 0) return notRun('behind', text);
  const behind = cells.filter(({ difference: by }) => by.mean < -0.01);
  const beyond = behind.filter(({ difference: by }) => by.mean + (by.ci95 ?? 0) < -0.01);
  const ahead = cells.filter(({ difference: by }) => by.mean >= 0);
  return {
    id: 'behind',
    text,
    isMet: beyond.length === 0,
    figures: `${cells.length} cells: ahead or equal in ${ahead.length}, more than 1 point below in ${behind.length}, beyond the interval in ${beyond.length}`,
    worst: versus(least(cells, ({ difference: by }) => by.mean)),
    misses: beyond.map(versus),
  };
}

/** Of each policy, over all settings of `rows`: one mean for each seed. */
function seedMeans(rows, name, field) {
  const own = rows.filter((row) => row.policy === name && row.variant === '');
  if (own.length === 0) return null;
  const lists = own.map((row) => row[field]);
  return lists[0].map((_, seed) => meanOf(lists.map((list) => list[seed] ?? Number.NaN)));
}

/** Means over the cells under load; `null` if one is missing. */
export function underLoad(rows, names, field) {
  const loaded = rows.filter((row) => isFrom(row, 0.9));
  return names.flatMap((name) => {
    const seeds = seedMeans(loaded, name, field);
    return seeds === null ? [] : [{ name, seeds, mean: meanOf(seeds) }];
  });
}

/** 2: ahead in the mean. */
function aheadInTheMean(rows) {
  const text =
    'The same, mean attainment over all cells with load 0.9 and above: above every rival';
  const [own] = underLoad(rows, ['dualmap'], 'attainmentSeeds');
  const others = underLoad(rows, rivals, 'attainmentSeeds');
  if (own === undefined || others.length === 0) return notRun('mean', text);
  const best = least(others, ({ mean }) => -mean);
  const by = meanDifference(own.seeds, best.seeds);
  return {
    id: 'mean',
    text,
    isMet: by.mean > 0,
    figures: `${percent(own.mean)}, the best rival ${best.name} ${percent(best.mean)}: ${difference(by)}`,
    worst: '',
    misses: [],
  };
}

/** 3: faster in the mean. */
function fasterInTheMean(rows) {
  const text = 'The same cells, mean P50 TTFT: at least 10 % below the best rival’s';
  const field = 'ttftP50MsSeeds';
  const [own] = underLoad(rows, ['dualmap'], field);
  const others = underLoad(rows, rivals, field).filter(({ mean }) => !Number.isNaN(mean));
  if (own === undefined || others.length === 0) return notRun('p50', text);
  const best = least(others, ({ mean }) => mean);
  const by = meanRatio(own.seeds, best.seeds);
  return {
    id: 'p50',
    text,
    isMet: by !== null && by.mean <= 0.9,
    figures: `${seconds(own.mean)}, the best rival ${best.name} ${seconds(best.mean)}${by === null ? '' : `: ${ratio(by)}`}`,
    worst: '',
    misses: [],
  };
}

/** 4: as shipped, where the best of the others breaks down. */
function beyondSaturation(rows) {
  const text =
    'Rivals as their systems ship them, load 1.1 and above: at least 20 points ahead wherever the best of them is below 75 %';
  const loaded = rows.filter((row) => isFrom(row, 1.1));
  const cells = againstBest(loaded, rivals).filter(({ best }) => best.attainment < 0.75);
  if (cells.length === 0) return notRun('shipped', text);
  const missed = cells.filter(({ difference: by }) => by.mean < 0.2);
  return {
    id: 'shipped',
    text,
    isMet: missed.length === 0,
    figures: `${cells.length} such cells, less than 20 points in ${missed.length}; mean ${points(meanOf(cells.map(({ difference: by }) => by.mean)))}`,
    worst: versus(least(cells, ({ difference: by }) => by.mean)),
    misses: missed.map(versus),
  };
}

/** `dualmap` in each setting against the highest goodput of the named others. */
export function goodputCells(rows, own, names) {
  return settingsOf(rows).flatMap((setting) => {
    const mine = setting.get(own);
    const best = bestOf(setting, names, (row) => row.qps);
    if (mine === undefined || best === null) return [];
    // Where too many are out of reach at any rate, a bisection ends at its lowest one.
    if (Math.max(mine.attainment, best.attainment) < attainmentMin) return [];
    const by = meanRatio(mine.qpsSeeds, best.qpsSeeds);
    return by === null ? [] : [{ own: mine, best, ratio: by }];
  });
}

const timesOf = ({ own, best, ratio: by }) => `${whereOf(own)}: ${ratio(by)} of ${best.policy}`;

/** 5 and 6. */
function goodput(rows, { id, text, atLeast, isWanted }) {
  const cells = goodputCells(rows, 'dualmap', rivals).filter(({ own }) => isWanted(own));
  if (cells.length === 0) return notRun(id, text);
  const missed = cells.filter(({ ratio: by }) => by.mean < atLeast);
  const worst = least(cells, ({ ratio: by }) => by.mean);
  const mean = Math.exp(meanOf(cells.map(({ ratio: by }) => Math.log(by.mean))));
  return {
    id,
    text,
    isMet: missed.length === 0,
    figures: `${cells.length} cells, below in ${missed.length}; geometric mean × ${mean.toFixed(2)}`,
    worst: timesOf(worst),
    misses: missed.map(timesOf),
  };
}

const shareOf = ({ row, alone, share }) =>
  `${whereOf(row)}: ${share.toFixed(2)} (${percent(row.hitRatio)}, one router ${percent(alone.hitRatio)})`;

/** 7: several routers reuse as much. */
function eightReuse(rows) {
  const text = 'Eight routers that share nothing: hit ratio at least 0.9 of one router’s';
  const own = rows.filter(({ policy, variant }) => policy === 'dualmap' && variant === '');
  const cells = own
    .filter(({ routers }) => routers === 8)
    .flatMap((row) => {
      const alone = own.find(
        ({ routers, trace, preset, load }) =>
          routers === 1 &&
          trace === row.trace &&
          preset === row.preset &&
          Math.abs(load - row.load) < 1e-6,
      );
      return alone === undefined ? [] : [{ row, alone, share: row.hitRatio / alone.hitRatio }];
    });
  if (cells.length === 0) return notRun('eight-hits', text);
  const worst = least(cells, ({ share }) => share);
  return {
    id: 'eight-hits',
    text,
    isMet: worst.share >= 0.9,
    figures: `${cells.length} cells, below in ${cells.filter(({ share }) => share < 0.9).length}`,
    worst: shareOf(worst),
    misses: cells.filter(({ share }) => share < 0.9).map(shareOf),
  };
}

/** 8 and 9. */
function eightAttain(rows, { id, text, names, loads, atLeast }) {
  const eight = rows.filter((row) => row.routers === 8 && (loads === null || isAt(row, loads)));
  const cells = againstBest(eight, names);
  if (cells.length === 0) return notRun(id, text);
  const missed = cells.filter(({ difference: by }) => by.mean < atLeast);
  return {
    id,
    text,
    isMet: missed.length === 0,
    figures: `${cells.length} cells, missed in ${missed.length}; mean ${points(meanOf(cells.map(({ difference: by }) => by.mean)))}`,
    worst: versus(least(cells, ({ difference: by }) => by.mean)),
    misses: missed.map(versus),
  };
}

const thousands = (value) => Math.round(value).toLocaleString('en-US');

/** 10. */
function fastEnough(speeds) {
  const text = 'The simulator: 50,000 requests a second a core with paper-7b, 10,000 with a100-7b';
  if (speeds.length === 0) return notRun('speed', text);
  const each = speeds.map(
    ({ preset, median, rates }) =>
      `${preset} ${thousands(median)} (${thousands(Math.min(...rates))} to ${thousands(Math.max(...rates))})`,
  );
  const isMet = speeds.every(({ median, atLeast }) => median >= atLeast);
  return { id: 'speed', text, isMet, figures: each.join(', '), worst: '', misses: [] };
}

/** `study`: rows by part, an empty list where it was not run; `speeds` of the part `speed`. */
export function targetsOf(study) {
  const isNamed = ({ trace }) => /^(conversation|toolagent)/.test(trace);
  return [
    nowhereBehind([...study['same-queue'], ...study.view]),
    aheadInTheMean(study['same-queue']),
    fasterInTheMean(study['same-queue']),
    beyondSaturation(study.shipped),
    goodput(study.goodput, {
      id: 'goodput',
      text: 'Rivals as shipped, goodput on conversation and tool-agent-like: at least 1.15 times the best',
      atLeast: 1.15,
      isWanted: isNamed,
    }),
    goodput(study.goodput, {
      id: 'goodput-anywhere',
      text: 'Rivals as shipped, goodput: never below the best, anywhere',
      atLeast: 1,
      isWanted: () => true,
    }),
    eightReuse(study.routers),
    eightAttain(study.routers, {
      id: 'eight-ring',
      text: 'Eight routers: within 1 point of consistent_hash behind the same queue, or above',
      names: ['consistent_hash'],
      loads: null,
      atLeast: -0.01,
    }),
    eightAttain(study.routers, {
      id: 'eight-aware',
      text: 'Eight routers, load 0.9 and 1.0: at least 3 points above the best load-aware rival',
      names: loadAware,
      loads: [0.9, 1],
      atLeast: 0.03,
    }),
    fastEnough(study.speeds),
  ];
}
