/**
 * Which requests of a trace a live fleet gets, and how fast. Selection, rates and the simulation
 * are those of `dualmap simulate`, so that the two can be set beside each other. Runs nothing live.
 */
import { basename } from 'node:path';
import { spreadArrivals } from '../../dist/replay/arrivals.js';
import { blockTokens, readTrace } from '../../dist/replay/trace.js';
import runCell from '../../dist/simulate/cell-task.js';
import { parseSimulateOptions } from '../../dist/simulate/options.js';
import { estimatePerTokenMs, presets, saturationQps } from '../../dist/simulate/presets.js';
import { tasksOf } from '../../dist/simulate/sweep.js';
import { makeWorkload } from '../../dist/simulate/workload.js';

/** What every program of this folder takes. */
export const workloadFlags = {
  trace: { type: 'string' },
  instances: { type: 'string', default: '8' },
  limit: { type: 'string', default: '2000' },
  warmup: { type: 'string', default: '200' },
  'max-input-tokens': { type: 'string', default: '20480' },
  'max-output-tokens': { type: 'string', default: '8' },
  'slo-ttft-ms': { type: 'string', default: '5000' },
  preset: { type: 'string', default: 'paper-7b' },
  'time-scale': { type: 'string', default: '10' },
  seed: { type: 'string', default: '1' },
};

/** The flags as numbers, and the trace without its folder. */
export function settingsOf(values) {
  if (values.trace === undefined) throw new Error('--trace is missing');
  const number = (name) => Number(values[name]);
  return {
    trace: basename(values.trace),
    instances: number('instances'),
    limit: number('limit'),
    warmup: number('warmup'),
    maxInputTokens: number('max-input-tokens'),
    maxOutputTokens: number('max-output-tokens'),
    sloTtftMs: number('slo-ttft-ms'),
    preset: values.preset,
    usPerToken: estimatePerTokenMs(presets[values.preset]) * 1000,
    timeScale: number('time-scale'),
    seed: number('seed'),
  };
}

/** The selected requests; `path`: where the trace lies. */
export async function readRequests(path, settings) {
  const { limit, maxInputTokens, maxOutputTokens, preset, instances, seed } = settings;
  const trace = settings.trace.replace(/\.jsonl(\.gz)?$/, '');
  const rows = (await readTrace(path)).map((row) => ({
    ...row,
    outputTokens: Math.min(row.outputTokens, maxOutputTokens),
  }));
  const workload = makeWorkload(rows, { trace, blockTokens, limit, maxInputTokens });
  const { count, inputTokens, limitHitTokens, selected, timestampsMs } = workload;
  const arrivalsMs = spreadArrivals([...timestampsMs], seed);
  const spanMs = arrivalsMs[selected[count - 1]] - arrivalsMs[selected[0]];
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  return {
    path,
    settings,
    workload,
    /** In the trace as it is, and at load 1. */
    qps: (1000 * (count - 1)) / spanMs,
    saturationQps: saturationQps(presets[preset], workload, instances),
    facts: {
      requests: count,
      inputTokensMean: sum(inputTokens) / count,
      hitRatioOfInfiniteCache: sum(limitHitTokens) / sum(inputTokens),
    },
  };
}

/** How many times longer than in the trace everything takes at this load. */
export function stretchOf({ qps, saturationQps }, load) {
  return qps / (load * saturationQps);
}

/** What `dualmap simulate` says of the same requests; `set`: options of `serve`, `name=value`. */
export function simulate({ path, workload, settings }, load, policy, set, routers = 1) {
  const { instances, preset, sloTtftMs, warmup, seed } = settings;
  const options = parseSimulateOptions({
    trace: path,
    policy,
    preset,
    instances: String(instances),
    routers: String(routers),
    load: String(load),
    sloTtftMs: String(sloTtftMs),
    warmup: String(warmup),
    ...(set.length === 0 ? {} : { set: set.join(',') }),
  });
  const [task] = tasksOf([workload], options);
  return runCell({ ...task, scenario: { ...task.scenario, seed } });
}
