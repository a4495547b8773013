/**
 * What a thread of a sweep runs: one scenario, or the bisection of a rate. Entry of a pool's
 * thread; also called directly when there is only one. No state between two calls.
 */
import type { QueueMode } from '../config/config.ts';
import { attainmentMin, type Cell } from './results.ts';
import { runScenario, type Scenario } from './scenario.ts';
import type { Timeline } from './timeline.ts';
import type { Workload } from './workload.ts';

export interface CellTask {
  readonly workload: Workload;
  readonly scenario: Scenario;
  /** Finds the highest load with `attainmentMin`; the rate of the scenario does not count. */
  readonly goodput: boolean;
  /** What differs from the plain policy, as it was asked for; empty: nothing. */
  readonly variant: string;
  readonly withTimeline: boolean;
}

/** One run of a sweep: its result, and as what it was asked for. */
export interface SweptCell extends Omit<Cell, 'timeline'> {
  readonly queueMode: QueueMode;
  readonly variant: string;
  /** If it was asked for. */
  readonly timeline?: Timeline;
}

const loadMax = 4;
const loadStep = 0.005;

export default function runCell(task: CellTask): SweptCell {
  const { timeline, ...cell } = task.goodput ? findGoodput(task) : runHere(task);
  const queueMode = task.scenario.config.queueMode ?? 'auto';
  const asked = { ...cell, queueMode, variant: task.variant };
  return task.withTimeline ? { ...asked, timeline } : asked;
}

function runHere({ workload, scenario }: CellTask): Cell {
  return runScenario(workload, scenario);
}

/** Of a bisection, the cell at the highest rate found. */
function findGoodput({ workload, scenario }: CellTask): Cell {
  const at = (load: number) => runScenario(workload, { ...scenario, rate: { load } });
  let low = loadStep;
  let high = loadMax;
  let best = at(low);
  if (best.attainment < attainmentMin) return best;
  while (high - low > loadStep) {
    // Most answers lie near saturation, so that is where it starts.
    const middle = high === loadMax && low < 1 ? 1 : (low + high) / 2;
    const cell = at(middle);
    if (cell.attainment >= attainmentMin) {
      low = middle;
      best = cell;
    } else {
      high = middle;
    }
  }
  return best;
}
