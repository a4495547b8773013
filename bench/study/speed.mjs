/**
 * How fast the simulator itself is: simulated requests a second on one core, the median of ten
 * runs of the same scenario. In this thread, while nothing else runs.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { medianOf } from '../../dist/bench/statistics.js';
import runCell from '../../dist/simulate/cell-task.js';
import { parseSimulateOptions } from '../../dist/simulate/options.js';
import { tasksOf } from '../../dist/simulate/sweep.js';

const rounds = 10;
/** What is asked of it, with eight instances. */
const budgets = [
  { preset: 'paper-7b', atLeast: 50_000 },
  { preset: 'a100-7b', atLeast: 10_000 },
];

export async function measureSpeed(workload) {
  const speeds = [];
  for (const { preset, atLeast } of budgets) {
    const flags = { trace: workload.trace, preset, policy: 'dualmap', load: '0.9' };
    const [task] = tasksOf([workload], parseSimulateOptions(flags));
    const rates = [];
    while (rates.length < rounds) {
      const startMs = performance.now();
      runCell(task);
      rates.push(Math.round((1000 * workload.count) / (performance.now() - startMs)));
      // As a worker does between two runs: only then is the memory of the last one given back.
      await turn();
    }
    speeds.push({ preset, atLeast, rates, median: medianOf(rates) });
  }
  return { speeds };
}
