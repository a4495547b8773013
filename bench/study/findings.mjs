/**
 * What holds, in sentences: every number in them is taken from the study's rows. Pure. A sentence
 * whose part was not run is left out.
 */
import { percent, points, seconds } from '../../dist/simulate/report/format.js';
import { rivals } from './parts.mjs';
import { goodputCells, underLoad } from './targets.mjs';

const meanOf = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const near = (a, b) => Math.abs(a - b) < 1e-6;

/** The first row with all of these; `null` if there is none. */
function find(rows, { load, variant = '', trace, ...wanted }) {
  const found = rows.find(
    (row) =>
      row.trace.startsWith(trace) &&
      row.variant === variant &&
      (load === undefined || near(row.load, load)) &&
      Object.entries(wanted).every(([name, value]) => row[name] === value),
  );
  return found ?? null;
}

const byMean = (entries) => [...entries].sort((a, b) => b.mean - a.mean);

/** Own mean under load, and the best of the rivals'. */
function leaders(rows) {
  const [own] = underLoad(rows, ['dualmap'], 'attainmentSeeds');
  const [best] = byMean(underLoad(rows, rivals, 'attainmentSeeds'));
  return own === undefined || best === undefined ? null : { own, best };
}

/** How much is the queue, how much the rule. */
function queueAndRule(study) {
  const shipped = leaders(study.shipped);
  const same = leaders(study['same-queue']);
  if (shipped === null || same === null) return [];
  return [
    `As shipped, the best of the others has ${percent(shipped.best.mean)} in time (${shipped.best.name}); behind this router’s queue, in order of deadline, the best has ${percent(same.best.mean)} (${same.best.name}); dualmap has ${percent(same.own.mean)}. So the queue brings ${points(same.best.mean - shipped.best.mean)} points to whoever waits in it, and the rule ${points(same.own.mean - same.best.mean)} more.`,
  ];
}

function medians(study) {
  const rows = study['same-queue'];
  const [own] = underLoad(rows, ['dualmap'], 'ttftP50MsSeeds');
  const others = underLoad(rows, rivals, 'ttftP50MsSeeds').filter(
    ({ mean }) => !Number.isNaN(mean),
  );
  if (own === undefined || others.length === 0) return [];
  const [best] = byMean(others).slice(-1);
  const share = percent(1 - own.mean / best.mean, 0);
  return [
    `Behind the same queue the median TTFT is ${seconds(own.mean)}, ${share} below that of the fastest other (${best.name}, ${seconds(best.mean)}).`,
  ];
}

function goodputs(study) {
  const cells = goodputCells(study.goodput, 'dualmap', rivals);
  if (cells.length === 0) return [];
  const ratios = cells.map(({ ratio }) => ratio.mean);
  const ahead = ratios.filter((ratio) => ratio >= 1).length;
  const mean = Math.exp(meanOf(ratios.map(Math.log)));
  return [
    `The highest rate with 90 % in time is × ${mean.toFixed(2)} that of the best of the others as shipped, on the geometric mean of ${cells.length} traces and engines; it is ahead in ${ahead} of them.`,
  ];
}

function eightRouters(study) {
  const of = (policy, routers) =>
    study.routers.filter((row) => row.policy === policy && row.routers === routers);
  const [one, eight, ring, load] = [
    of('dualmap', 1),
    of('dualmap', 8),
    of('consistent_hash', 8),
    of('preble', 8),
  ];
  if ([one, eight, ring, load].some((rows) => rows.length === 0)) return [];
  const hit = (rows) => percent(meanOf(rows.map((row) => row.hitRatio)), 0);
  const inTime = (rows) => percent(meanOf(rows.map((row) => row.attainment)), 0);
  return [
    `With eight routers that share nothing dualmap still finds ${hit(eight)} of the prompt tokens in caches (${hit(one)} with one), preble ${hit(load)}, one ring ${hit(ring)}; in time are ${inTime(eight)} (one router ${inTime(one)}), ${inTime(load)} and ${inTime(ring)}, means over loads, traces and engines. Who can do with one router and a spare should not run eight.`,
  ];
}

/** At the highest load, where the four alone cannot keep up. */
function doubling(study) {
  const most = Math.max(...study.elastic.map((row) => row.load));
  const of = (queueMode, policy) =>
    find(study.elastic, {
      ...{ trace: 'conversation', preset: 'paper-7b', load: most },
      ...{ queueMode, policy },
    });
  const [own, shipped] = [of('router', 'dualmap'), of('auto', 'preble')];
  if (own === null || shipped === null) return [];
  const back = ({ backInMs }) => {
    if (backInMs === null) return 'never, with one seed at least';
    return backInMs < 1000 ? 'at once' : `after ${seconds(backInMs)}`;
  };
  return [
    `When four instances at ${percent(most, 0)} of what they can do become eight (conversation on paper-7b), 90 % are in time again ${back(own)} with dualmap, with preble as shipped ${back(shipped)}.`,
  ];
}

export function findings(study, targets) {
  const judged = targets.filter(({ isMet }) => isMet !== null);
  const met = judged.filter(({ isMet }) => isMet).length;
  return [
    ...queueAndRule(study),
    ...medians(study),
    ...goodputs(study),
    ...eightRouters(study),
    ...doubling(study),
    `${met} of ${judged.length} targets are met; those that are missed name their worst cell.`,
  ];
}

/** Goodput at 1.15 times the best of the others: what that would take where it is missed. */
function goodputReasons(study) {
  const short = goodputCells(study.goodput, 'dualmap', rivals).filter(({ own, ratio }) => {
    return /^(conversation|toolagent)/.test(own.trace) && ratio.mean < 1.15;
  });
  if (short.length === 0) return [];
  const cells = short.map(({ own, best }) => {
    const where = `${own.trace} on ${own.preset}`;
    return `${where}: ${best.policy} ${best.load.toFixed(2)}, dualmap ${own.load.toFixed(2)}, wanted ${(1.15 * best.load).toFixed(2)}`;
  });
  return [
    `Goodput, 1.15 times the best rival: load 1 is what an infinite cache, shared by all, would just keep up with; real caches are smaller, so engines are full before it, and the best of the others, as shipped, is near that. Loads at which 90 % are in time: ${cells.join('; ')}.`,
  ];
}

/** Why the targets that are missed are, and what is possible. */
export function missReasons(study, targets) {
  const isMissed = (id) => targets.some((target) => target.id === id && target.isMet === false);
  return [
    ...(isMissed('goodput') ? goodputReasons(study) : []),
    ...(isMissed('behind')
      ? [
          'Behind a rival by more than a point: of so many 95 % intervals a few lie beside the truth by chance.',
        ]
      : []),
  ];
}

/** Why claims come out otherwise. */
export function claimReasons(study) {
  const { ablation } = study;
  const paper = { sweep: 'paper', trace: 'conversation', load: 1 };
  const order = ['paper-7b', 'paper-14b'].flatMap((preset) => {
    const hit = find(ablation, { ...paper, preset });
    const deadline = find(ablation, { ...paper, preset, variant: 'queue-order=deadline' });
    if (hit === null || deadline === null) return [];
    return [`${preset} ${percent(hit.attainment)} and ${percent(deadline.attainment)}`];
  });
  const room = ['queue-order=deadline', 'queue-order=deadline,prefill-window-tokens=4096'].map(
    (variant) => find(ablation, { ...paper, preset: 'a100-7b', variant }),
  );
  const routing = ['rebalance=off', 'rebalance=off,slo-fraction=0.01'].map((variant) =>
    find(ablation, { ...paper, load: 0.7, preset: 'paper-14b', variant }),
  );
  const own = find(study['same-queue'], {
    ...{ trace: 'conversation', preset: 'paper-7b', policy: 'dualmap', load: 1.1 },
  });
  return [
    ...(order.length === 0
      ? []
      : [
          `The published queue serves the longest hit first, whatever its deadline. Near saturation that decides more than the rule: in time at load 1, hit first and by deadline: ${order.join('; ')}.`,
        ]),
    ...(room.includes(null)
      ? []
      : [
          `It hands an engine one request at a time. An engine that batches step by step then computes steps that are not full: on a100-7b at load 1, ${percent(room[0].attainment)} by deadline, ${percent(room[1].attainment)} with room for two steps.`,
        ]),
    ...(own === null
      ? []
      : [
          `In order of deadline what is late waits behind everything that is not: where more than a tenth is late, the P90 is that of the late ones (dualmap on paper-7b at load 1.1: ${percent(own.attainment)} in time, P90 ${seconds(own.ttftP90Ms)}). No P90 claim can be reached there, on purpose.`,
        ]),
    ...(routing.includes(null)
      ? []
      : [
          `SLO routing keeps a request with its warm instance while that is in time: more hits (load 0.7 on paper-14b: ${percent(routing[0].hitRatio)} against ${percent(routing[1].hitRatio)}) for longer queues. Its gain in TTFT shows only near the rates at which those hits decide.`,
        ]),
    'The paper’s Tool&Agent trace is not to be had: its stand-in repeats two system prompts, on which every policy hits nearly as much. The paper’s rivals ran behind their own engines’ queues, so the first claims are as shipped; the rows below them give the rivals the same queue.',
  ];
}
