/**
 * All combinations of a sweep, spread over threads. Main thread. Results come in the order of the
 * combinations, whatever thread was done first.
 */
import { Piscina } from 'piscina';
import type { PolicyName, QueueMode } from '../config/config.ts';
import runCell, { type CellTask } from './cell-task.ts';
import type { SimulateOptions } from './options.ts';
import type { PresetName } from './presets.ts';
import { type Cell, meanOf } from './results.ts';
import type { Workload } from './workload.ts';

/** Every cell to run: traces outermost, seeds innermost. */
export function tasksOf(workloads: readonly Workload[], options: SimulateOptions): CellTask[] {
  const { load, qps, goodput, sloTtftMs, set, arrivals, viewDelayMs, warmup } = options;
  const rates = qps.length > 0 ? qps.map((qps) => ({ qps })) : load.map((load) => ({ load }));
  const seeds = Array.from({ length: options.seeds }, (_, index) => index + 1);
  const tasks: CellTask[] = [];
  for (const workload of workloads) {
    for (const preset of options.preset as readonly PresetName[]) {
      for (const instances of options.instances) {
        for (const routers of options.routers) {
          for (const rate of rates) {
            for (const policy of options.policy as readonly PolicyName[]) {
              for (const queueMode of options.queue as readonly QueueMode[]) {
                for (const seed of seeds) {
                  const config = { ...set, policy, queueMode, sloTtftMs };
                  const fleet = { preset, instances, routers, config };
                  const scenario = { ...fleet, rate, seed, arrivals, viewDelayMs, warmup };
                  tasks.push({ workload, scenario, goodput });
                }
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
): Promise<Cell[]> {
  if (threads === 1 || tasks.length === 1) return runHere(tasks, onDone);
  const pool = new Piscina<CellTask, Cell>({
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

async function runHere(tasks: readonly CellTask[], onDone: () => void): Promise<Cell[]> {
  const cells: Cell[] = [];
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

/** The seeds of one combination together. */
export interface SummaryRow
  extends Pick<Cell, 'trace' | 'preset' | 'policy' | 'queue' | 'routers' | 'instances'> {
  readonly seeds: number;
  readonly load: number;
  readonly qps: number;
  readonly attainment: number;
  readonly attainmentCi95: number | null;
  readonly ttftP50Ms: number | null;
  readonly ttftP90Ms: number | null;
  readonly hitRatio: number;
  /** Highest rate with 90 % attainment; `null` if it was not asked for. */
  readonly goodputQps: number | null;
  /** Half of the 95 % interval of `goodputQps`. */
  readonly ci95: number | null;
}

/** One row for every `seeds` cells in a row. */
export function summarize(
  cells: readonly Cell[],
  { seeds, goodput }: Pick<SimulateOptions, 'seeds' | 'goodput'>,
): SummaryRow[] {
  return Array.from({ length: cells.length / seeds }, (_, index) => {
    const group = cells.slice(index * seeds, (index + 1) * seeds);
    const { trace, preset, policy, queue, routers, instances } = group[0]!;
    const over = (of: (cell: Cell) => number) => meanOf(group.map(of));
    const ttft = (of: (cell: Cell) => number | null) => {
      const { mean } = over((cell) => of(cell) ?? Number.NaN);
      return Number.isNaN(mean) ? null : mean;
    };
    const attainment = over((cell) => cell.attainment);
    const qps = over((cell) => cell.qps);
    return {
      ...{ trace, preset, policy, queue, routers, instances, seeds },
      load: over((cell) => cell.load).mean,
      qps: qps.mean,
      attainment: attainment.mean,
      attainmentCi95: attainment.ci95,
      ttftP50Ms: ttft((cell) => cell.ttftMs.p50),
      ttftP90Ms: ttft((cell) => cell.ttftMs.p90),
      hitRatio: over((cell) => cell.hitRatio).mean,
      goodputQps: goodput ? qps.mean : null,
      ci95: goodput ? qps.ci95 : null,
    };
  });
}
