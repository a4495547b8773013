/**
 * Results of sweeps that were never run, for tests of what is made of them.
 */
import type { SweptCell } from '../../src/simulate/cell-task.ts';
import { parseSimulateOptions } from '../../src/simulate/options.ts';
import type { SimulateReport } from '../../src/simulate/output.ts';
import { summarize } from '../../src/simulate/summary.ts';

export function cellOf(given: Partial<SweptCell>): SweptCell {
  const load = given.load ?? 0.9;
  return {
    trace: 'made',
    preset: 'paper-7b',
    policy: 'dualmap',
    variant: '',
    queue: 'router',
    queueMode: 'auto',
    routers: 1,
    instances: 8,
    viewDelayMs: 0,
    load,
    qps: 10 * load,
    seed: 1,
    requests: 400,
    lost: 0,
    attainment: 0.9,
    outOfReach: 0,
    ttftMs: { p50: 800, p90: 2400, p99: 6000 },
    hitRatio: 0.2,
    hitShareOfLimit: 0.5,
    imbalanceCv: 0.7,
    workMaxOverMean: 1.2,
    migrations: 3,
    joined: null,
    backInMs: null,
    ...given,
  };
}

/** Cells of one combination lie side by side. */
export function reportOf(
  cells: readonly SweptCell[],
  given: { readonly seeds?: number; readonly goodput?: boolean } = {},
): SimulateReport {
  const { seeds = 1, goodput = false } = given;
  const settings = { ...parseSimulateOptions({ trace: 'made.jsonl' }), seeds, goodput };
  const facts = { command: 'dualmap simulate', commit: 'abc', date: '2026-01-01 00:00' };
  return {
    facts: { ...facts, machine: 'a machine', versions: { node: 'v20' } },
    settings,
    cells,
    summary: summarize(cells, settings),
  };
}
