/**
 * One run of a live fleet at one load, and its figures. The engines stay, their caches are emptied;
 * the router is a new one.
 */
import { Tally } from '../../dist/replay/tally.js';
import { replay, startRouter } from './fleet.mjs';
import { Observer } from './observer.mjs';
import { orderOf, waitsOf } from './order.mjs';
import { stretchOf } from './workload.mjs';

/** What came of the requests that count; times in the engines' own milliseconds. */
export function figuresOf(outcomes, { sloTtftMs, timeScale }) {
  const tally = new Tally({ sloTtftMs, speed: timeScale });
  for (const outcome of outcomes) tally.add(outcome);
  const { perInstance, promptTokens, cachedTokens, ...figures } = tally.measurements();
  const { p99, limit } = figures.sendLateMs;
  return { ...figures, void: p99 > limit };
}

/** Of all requests: what fails in the warm-up has failed. */
export function failuresOf(outcomes) {
  const count = (wanted) => outcomes.filter(({ kind }) => kind === wanted).length;
  return { errors: count('error'), lost: count('lost') };
}

/**
 * `contender`: `{ policy, args, routers }`, options of `serve`, and how many routers (1) there are.
 * What they observe is added up; what one of several sees of imbalance is none.
 */
export async function measure(engines, requests, load, { routers = 1, ...contender }) {
  const { settings, workload } = requests;
  const { warmup, timeScale } = settings;
  await engines.clear();
  const started = await startRouters(routers, engines.urls, { ...settings, ...contender });
  const observers = started.map(({ url }) => new Observer(url));
  try {
    await engines.status();
    for (const observer of observers) observer.start({ from: warmup, to: workload.count });
    const startMs = performance.now();
    const plan = { ...settings, path: requests.path, stretch: stretchOf(requests, load) };
    const url = started.map(({ url }) => url).join(',');
    const outcomes = await replay(url, plan, settings);
    const wallMs = performance.now() - startMs;
    const { cpuMs, lateP99Ms } = await engines.status();
    const counted = outcomes.slice(warmup);
    return {
      ...figuresOf(counted, settings),
      ...failuresOf(outcomes),
      ...(await observedBy(observers)),
      ...waitsOf(counted, settings),
      order: orderOf(counted, settings),
      engines: { cpuShare: cpuMs / wallMs, lateP99Ms: lateP99Ms * timeScale },
      wallSeconds: wallMs / 1000,
    };
  } finally {
    await Promise.all(started.map((router) => router.stop()));
  }
}

/** One after the other: all at once they would take longer to start than an engine's answer may. */
async function startRouters(count, urls, options) {
  const started = [];
  while (started.length < count) started.push(await startRouter(urls, options));
  return started;
}

async function observedBy(observers) {
  const observed = await Promise.all(observers.map((observer) => observer.stop()));
  const sum = (key) => observed.reduce((total, one) => total + one[key], 0);
  return {
    migrations: sum('migrations'),
    coldClaims: sum('coldClaims'),
    imbalance: observed.length === 1 ? observed[0].imbalance : null,
  };
}
