/**
 * All combinations of a sweep, spread over threads. Main thread. Results come in the order of the
 * combinations, whatever thread was done first.
 */
import { Piscina } from 'piscina';
import type { Config, PolicyName, QueueMode } from '../config/config.ts';
import runCell, { type CellTask, type SweptCell } from './cell-task.ts';
import type { SimulateOptions } from './options.ts';
import type { PresetName } from './presets.ts';
import type { Workload } from './workload.ts';

/** A policy as it was asked for. */
interface Rule {
  readonly policy: PolicyName;
  readonly queueMode: QueueMode;
  readonly variant: string;
  readonly set: Partial<Config>;
}

/** Each policy behind each queue, and after them the variants of the first one. */
function rulesOf({ policy, queue, set, vary }: SimulateOptions): Rule[] {
  const policies = policy as readonly PolicyName[];
  const plain = policies.map((policy) => ({ policy, variant: '', set }));
  const varied = vary.map((variant) => {
    return { policy: policies[0]!, variant: variant.name, set: { ...set, ...variant.set } };
  });
  const queueModes = queue as readonly QueueMode[];
  return [...plain, ...varied].flatMap((rule) =>
    queueModes.map((queueMode) => ({ ...rule, queueMode })),
  );
}

/** Every cell to run: traces outermost, seeds innermost. */
export function tasksOf(workloads: readonly Workload[], options: SimulateOptions): CellTask[] {
  const { load, qps, goodput, sloTtftMs, arrivals, viewDelayMs, warmup, report } = options;
  const { join } = options;
  const rates = qps.length > 0 ? qps.map((qps) => ({ qps })) : load.map((load) => ({ load }));
  const rules = rulesOf(options);
  const tasks: CellTask[] = [];
  for (const workload of workloads) {
    for (const preset of options.preset as readonly PresetName[]) {
      for (const instances of options.instances) {
        for (const routers of options.routers) {
          for (const rate of rates) {
            for (const { policy, queueMode, variant, set } of rules) {
              for (let seed = 1; seed <= options.seeds; seed++) {
                const config = { ...set, policy, queueMode, sloTtftMs };
                const fleet = { preset, instances, join, routers, config };
                const scenario = { ...fleet, rate, seed, arrivals, viewDelayMs, warmup };
                const withTimeline = report !== null && seed === 1;
                tasks.push({ workload, scenario, goodput, variant, withTimeline });
              }
            }
          }
        }
      }
    }
  }
  return tasks;
}

/** Runs all tasks; `onDone` is called after each. */
export async function runTasks(
  tasks: readonly CellTask[],
  threads: number,
  onDone: () => void,
): Promise<SweptCell[]> {
  if (threads === 1 || tasks.length === 1) return runHere(tasks, onDone);
  const pool = new Piscina<CellTask, SweptCell>({
    filename: cellTaskUrl().href,
    minThreads: 1,
    maxThreads: Math.min(threads, tasks.length),
    // The default mode freezes a thread's timers between tasks.
    atomics: 'disabled',
  });
  try {
    return await Promise.all(
      tasks.map(async (task) => {
        const cell = await pool.run(task);
        onDone();
        return cell;
      }),
    );
  } finally {
    await pool.destroy();
  }
}

async function runHere(tasks: readonly CellTask[], onDone: () => void): Promise<SweptCell[]> {
  const cells: SweptCell[] = [];
  for (const task of tasks) {
    cells.push(runCell(task));
    onDone();
    // Lets the progress bar draw, and signals in.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return cells;
}

/** Threads load built files; sources run by a test runner find them in dist/. */
function cellTaskUrl(): URL {
  const isSource = import.meta.url.endsWith('.ts');
  return new URL(isSource ? '../../dist/simulate/cell-task.js' : './cell-task.js', import.meta.url);
}
