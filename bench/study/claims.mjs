/**
 * What the paper publishes, and what the study measured of it, with the rule as published
 * (`dualmap-paper`) and with ours. Pure. Gains are relative: 0.4 is 40 % more.
 */
import { percent, short } from '../../dist/simulate/report/format.js';
import { paperRivals } from './parts.mjs';
import { bestOf, settingsOf } from './rows.mjs';

const presets = ['paper-7b', 'paper-14b'];
const loads = [0.9, 1, 1.1];
const contenders = ['dualmap-paper', 'dualmap'];
const traceWords = { conversation: 'Conversation', toolagent: 'Tool&Agent (synthetic stand-in)' };

/** `+12 %`, `−36 %`, `× 31` of what is far beyond. */
export function gainText(gain) {
  if (gain === null) return 'lost';
  if (gain >= 9) return `× ${Math.round(1 + gain)}`;
  const text = (100 * gain).toFixed(Math.abs(gain) < 0.1 ? 1 : 0);
  if (Number(text) === 0) return '0 %';
  return `${gain > 0 ? '+' : ''}${text.replace('-', '−')} %`;
}

const measures = {
  attainment: { of: (row) => row.attainment, isLessBetter: false },
  p50: { of: (row) => row.ttftP50Ms, isLessBetter: true },
  p90: { of: (row) => row.ttftP90Ms, isLessBetter: true },
  goodput: { of: (row) => row.qps, isLessBetter: false },
};

/** Own value over the best of the paper's rivals, less 1; by preset, in the order of the loads. */
function gainsOf(rows, trace, own, { of, isLessBetter }) {
  const better = (row) => (of(row) === null ? -Infinity : isLessBetter ? -of(row) : of(row));
  const isGoodput = rows.some(({ goodputQps }) => goodputQps !== null);
  return presets.flatMap((preset) => {
    const settings = settingsOf(
      rows.filter((row) => row.trace.startsWith(trace) && row.preset === preset),
    );
    const at = (load) =>
      settings.find((setting) => {
        const [row] = setting.values();
        return isGoodput || Math.abs(row.load - load) < 1e-6;
      });
    const gains = (isGoodput ? [0] : loads).flatMap((load) => {
      const setting = at(load);
      const mine = setting?.get(own);
      const best = setting === undefined ? null : bestOf(setting, paperRivals, better);
      if (mine === undefined || best === null) return [];
      const isKnown = of(mine) !== null && of(best) !== null && of(best) > 0;
      return [isKnown ? of(mine) / of(best) - 1 : null];
    });
    return gains.length === 0 ? [] : [{ preset, gains }];
  });
}

const gainsText = (gains) =>
  gains.map(({ preset, gains: list }) => `${preset}: ${list.map(gainText).join(', ')}`).join('; ');

/** Is there a gain of `wanted`, or more, in its direction? `null`: nothing was run. */
function isReached(gains, wanted) {
  const all = gains.flatMap((one) => one.gains).filter((gain) => gain !== null);
  if (all.length === 0) return null;
  return wanted > 0 ? Math.max(...all) >= wanted : Math.min(...all) <= wanted;
}

/** A claim of a gain on one trace, in one measure, against the best of the paper's rivals. */
function gainClaim(rows, { trace, measure, ...claim }) {
  const found = contenders.map((own) => gainsOf(rows, trace, own, measures[measure]));
  return {
    ...claim,
    trace: traceWords[trace],
    figures: found.map(gainsText),
    isReached: found.map((gains) => isReached(gains, claim.wanted)),
  };
}

/** One value of each preset at one load, as a share. */
function hitClaim(rows, { trace, wanted, ...claim }) {
  const found = contenders.map((own) =>
    presets.flatMap((preset) => {
      const row = rows.find(
        (one) =>
          one.trace.startsWith(trace) &&
          one.preset === preset &&
          one.policy === own &&
          Math.abs(one.load - 0.9) < 1e-6,
      );
      return row === undefined ? [] : [{ preset, share: row.hitShareOfLimit }];
    }),
  );
  return {
    ...claim,
    trace: traceWords[trace],
    figures: found.map((list) =>
      list.map(({ preset, share }) => `${preset}: ${percent(share)}`).join('; '),
    ),
    isReached: found.map((list) =>
      list.length === 0 ? null : list.some(({ share }) => share >= wanted),
    ),
  };
}

const alone = 'rebalance=off';
const minTtft = 'rebalance=off,slo-fraction=0.01';

/** The published rule with a switch against itself without; gains over the loads. */
function switchClaim(rows, { withIt, without, measure, ...claim }) {
  const own = rows.filter((row) => row.sweep === 'paper' && row.preset === 'paper-14b');
  const { of } = measures[measure];
  const found = own
    .filter(({ variant }) => variant === withIt)
    .flatMap((row) => {
      const other = own.find((one) => one.variant === without && one.load === row.load);
      return other === undefined ? [] : [{ load: row.load, gain: of(row) / of(other) - 1 }];
    });
  const text = found.map(({ load, gain }) => `load ${short(load)}: ${gainText(gain)}`).join('; ');
  const least = Math.min(...found.map(({ gain }) => gain));
  return {
    ...claim,
    trace: traceWords.conversation,
    figures: [text, ''],
    isReached: [found.length === 0 ? null : least <= claim.wanted, null],
  };
}

const kinds = { gain: gainClaim, hit: hitClaim, switch: switchClaim };
const asShipped = `against the best of ${paperRivals.join(', ')}, straight to their engines as shipped`;
const sameQueue = 'the same, with those rivals behind the same queue';
const atLoads = `; load ${loads.join(', ')}`;

const onBoth = (conversation, toolagent, common) => [
  { ...common, ...conversation, trace: 'conversation' },
  { ...common, ...toolagent, trace: 'toolagent' },
];
const capacity = { kind: 'gain', what: 'requests in time', measure: 'attainment' };
const capacityOf = (more) =>
  onBoth(
    { published: '+40.6 to +80 %', wanted: 0.406 },
    { published: 'up to +125 %', wanted: 1.25 },
    { ...capacity, ...more },
  );
const ttft = { kind: 'gain', part: 'shipped', how: asShipped + atLoads };
const p50 = { measure: 'p50', what: 'TTFT P50', published: '−55.4 to −97.4 %', wanted: -0.554 };
const p90 = { measure: 'p90', what: 'TTFT P90', published: '−82.3 to −97 %', wanted: -0.823 };
const routing = {
  kind: 'switch',
  part: 'ablation',
  withIt: alone,
  without: minTtft,
  how: 'against min-TTFT inside the pair, both without rebalancing; paper-14b',
};

/** `wanted`: the lower end of what was published. */
const claims = [
  ...capacityOf({ part: 'shipped', how: asShipped + atLoads }),
  ...capacityOf({ part: 'same-queue', how: sameQueue + atLoads }),
  ...onBoth(
    { published: '+14.3 to +40 %', wanted: 0.143 },
    { published: '+16.7 to +48 %', wanted: 0.167 },
    { kind: 'gain', part: 'goodput', what: 'goodput', measure: 'goodput', how: asShipped },
  ),
  ...onBoth({}, {}, { ...ttft, ...p50 }),
  ...onBoth({}, {}, { ...ttft, ...p90 }),
  { ...routing, ...p50, what: 'TTFT P50, SLO routing', published: '−23.5 %', wanted: -0.235 },
  { ...routing, ...p90, what: 'TTFT P90, SLO routing', published: '−18.5 %', wanted: -0.185 },
  {
    ...{ kind: 'switch', part: 'ablation', what: 'TTFT P90, rebalancing', measure: 'p90' },
    ...{ published: '−11.3 %', wanted: -0.113, withIt: '', without: alone },
    how: 'against the same without rebalancing; paper-14b',
  },
  ...onBoth(
    { published: '62.5 %', wanted: 0.625 },
    { published: '96.4 %', wanted: 0.964 },
    {
      ...{ kind: 'hit', part: 'same-queue', what: 'hits, share of the limit' },
      how: 'tokens, of one infinite cache for all; load 0.9',
    },
  ),
];

/** `study`: rows by part. */
export function claimsOf(study) {
  return claims.map(({ kind, part, ...claim }) => kinds[kind](study[part], claim));
}
