/**
 * One run of a live fleet at one load, and its figures. The engines stay, their caches are emptied;
 * the router is a new one.
 */
import { Tally } from '../../dist/replay/tally.js';
import { replay, startRouter } from './fleet.mjs';
import { Observer } from './observer.mjs';
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

/** `contender`: `{ policy, args }`, options of `serve`. */
export async function measure(engines, requests, load, contender) {
  const { settings, workload } = requests;
  const { warmup, timeScale } = settings;
  await engines.clear();
  const router = await startRouter(engines.urls, { ...settings, ...contender });
  const observer = new Observer(router.url);
  try {
    await engines.status();
    observer.start({ from: warmup, to: workload.count });
    const startMs = performance.now();
    const plan = { ...settings, path: requests.path, stretch: stretchOf(requests, load) };
    const outcomes = await replay(router.url, plan, settings);
    const wallMs = performance.now() - startMs;
    const { cpuMs, lateP99Ms } = await engines.status();
    return {
      ...figuresOf(outcomes.slice(warmup), settings),
      ...failuresOf(outcomes),
      ...(await observer.stop()),
      engines: { cpuShare: cpuMs / wallMs, lateP99Ms: lateP99Ms * timeScale },
      wallSeconds: wallMs / 1000,
    };
  } finally {
    await router.stop();
  }
}
