/**
 * The whole of `bench overhead`: starts instances and contenders, measures every cell in several
 * rounds in turn, ends everything. Main thread.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Cell, type FleetKind, fleetOf } from './cells.ts';
import {
  type Contender,
  type ContenderName,
  contenderNames,
  refereeConnections,
  startContenders,
} from './contenders.ts';
import { startInstances } from './instances.ts';
import { measure, type RunResult, type Stage, startGenerator } from './measure.ts';
import type { OverheadOptions } from './options.ts';
import { type Child, usageOf } from './processes.ts';
import { streamsWithinLimit } from './tools.ts';

/** All rounds of one cell, by contender. */
export interface CellRuns {
  readonly cell: Cell;
  readonly runs: Map<ContenderName, RunResult[]>;
  /** Requests a second that were offered; `null`: as many as there was time for. */
  offeredPerSecond: number | null;
}

export interface OverheadRuns {
  readonly cells: readonly CellRuns[];
  /** Highest resident memory, in bytes, of each contender over all cells of a fleet. */
  readonly peaks: readonly { fleet: FleetKind; contender: ContenderName; bytes: number }[];
  readonly streams: number;
}

export type OnRun = (cell: Cell, round: number, contender: ContenderName, run: RunResult) => void;

export async function runOverhead(options: OverheadOptions, onRun: OnRun): Promise<OverheadRuns> {
  const harness = new Harness(options, onRun);
  const onSignal = () => {
    void harness.stop().then(() => process.exit(130));
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    return await harness.run();
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    await harness.stop();
  }
}

/** What a rival is allowed for so many streams. nginx drops idle ones when fewer than 1/16 are left. */
const connectionsFor = (streams: number) => ({ nginx: streams * 2 + 2500, haproxy: streams + 200 });

class Harness {
  readonly #options: OverheadOptions;
  readonly #onRun: OnRun;
  readonly #folder: string;
  readonly #cells: readonly CellRuns[];
  readonly #streams: number;
  readonly #peaks: { fleet: FleetKind; contender: ContenderName; bytes: number }[] = [];
  #children: Child[] = [];

  constructor(options: OverheadOptions, onRun: OnRun) {
    this.#options = options;
    this.#onRun = onRun;
    this.#streams = streamsWithinLimit(options.streamsMax);
    this.#folder = mkdtempSync(join(tmpdir(), 'dualmap-overhead-'));
    // nginx gives up its rights and must still find its folder.
    chmodSync(this.#folder, 0o755);
    mkdirSync(join(this.#folder, 'temp'));
    this.#cells = options.cells.map((cell) => ({ cell, runs: new Map(), offeredPerSecond: null }));
  }

  async run(): Promise<OverheadRuns> {
    for (const kind of ['unary', 'sse', 'hold'] as const) {
      const cells = this.#cells.filter(({ cell }) => fleetOf(cell) === kind);
      if (cells.length === 0) continue;
      try {
        await this.#runFleet(kind, cells);
      } catch (error) {
        this.#voidAll(cells, String(error));
      }
      await this.#stopChildren();
    }
    return { cells: this.#cells, peaks: this.#peaks, streams: this.#streams };
  }

  async stop(): Promise<void> {
    await this.#stopChildren();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #runFleet(kind: FleetKind, cells: readonly CellRuns[]): Promise<void> {
    const onStart = (child: Child) => {
      this.#children.push(child);
    };
    const instances = await startInstances(kind, this.#folder);
    onStart(instances.child);
    const generator = startGenerator();
    onStart(generator);
    const { routerCommand, quick } = this.#options;
    const connectionsMax = kind === 'hold' ? connectionsFor(this.#streams) : refereeConnections;
    const started = { routerCommand, quick, connectionsMax, folder: this.#folder };
    const contenders = await startContenders(instances, started, onStart);
    const { seconds, warmSeconds } = this.#options;
    const streams = this.#streams;
    const stage = { instances, generator, seconds, warmSeconds, streams, onStart };
    // Memory is asked of fresh processes: what a first round left behind is not given back.
    const rounds = kind === 'hold' ? 1 : this.#options.rounds;
    for (let round = 0; round < rounds; round += 1) {
      for (const one of cells) {
        for (const contender of contenders) {
          // Nothing in between takes no memory.
          if (kind === 'hold' && contender.child === null) continue;
          const run = await this.#measureOne(one, contender, stage);
          one.runs.set(contender.name, [...(one.runs.get(contender.name) ?? []), run]);
          this.#onRun(one.cell, round, contender.name, run);
        }
      }
    }
    this.#notePeaks(kind, contenders);
  }

  async #stopChildren(): Promise<void> {
    const children = this.#children;
    this.#children = [];
    await Promise.all(children.map((child) => child.stop()));
  }

  /** Not everyone could be started: nothing to compare, but what was measured before stays. */
  #voidAll(cells: readonly CellRuns[], voidReason: string): void {
    for (const { cell, runs } of cells) {
      const run = { figures: null, voidReason };
      runs.set('router', [run]);
      this.#onRun(cell, 0, 'router', run);
    }
  }

  /** A run that cannot be brought to its end is void; the others go on. */
  async #measureOne(runs: CellRuns, contender: Contender, stage: Stage): Promise<RunResult> {
    try {
      return await measure(runs.cell, contender, stage, this.#perSecondOf(runs));
    } catch (error) {
      const { child, name } = contender;
      const hasEnded = child !== null && !child.isRunning;
      const reason = hasEnded ? `${name} has ended: ${child.output}` : String(error);
      return { figures: null, voidReason: reason.trim() };
    }
  }

  #notePeaks(fleet: FleetKind, contenders: readonly Contender[]): void {
    for (const { name, child } of contenders) {
      if (child === null || !child.isRunning) continue;
      this.#peaks.push({ fleet, contender: name, bytes: usageOf(child.pid).residentBytesMax });
    }
  }

  /** Half of what the slowest of all took in the first round; the same for everyone ever after. */
  #perSecondOf(runs: CellRuns): number | null {
    const { load } = runs.cell;
    if (load.kind !== 'rate') return null;
    if (load.capacityFrom === undefined) runs.offeredPerSecond = load.perSecond;
    else runs.offeredPerSecond ??= this.#halfCapacity(load.capacityFrom);
    return runs.offeredPerSecond;
  }

  #halfCapacity(cellName: string): number | null {
    const full = this.#cells.find(({ cell }) => cell.name === cellName);
    const capacities = contenderNames.flatMap((name) => {
      const figure = full?.runs.get(name)?.[0]?.figures?.perSecond;
      return figure === undefined ? [] : [figure];
    });
    return capacities.length === 0 ? null : Math.floor(Math.min(...capacities) / 2);
  }
}
