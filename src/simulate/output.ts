/**
 * What a sweep hands out, as `--json` writes it and `--report` shows it, and under what it ran.
 * Nothing of it names a folder of the machine. Main thread; runs git.
 */
import { basename } from 'node:path';
import { type RunFacts, runFacts } from '../bench/environment.ts';
import type { SweptCell } from './cell-task.ts';
import { type GivenSimulateOptions, type SimulateOptions, simulateOptionRows } from './options.ts';
import type { SummaryRow } from './summary.ts';

export interface SimulateReport {
  readonly facts: RunFacts;
  readonly settings: SimulateOptions;
  readonly cells: readonly SweptCell[];
  readonly summary: readonly SummaryRow[];
}

/** The command line as it was given, in the order of the option table, files without folders. */
export function simulateFacts(given: GivenSimulateOptions): RunFacts {
  const words = simulateOptionRows.flatMap(({ key, flag, is }) => {
    const value = given[key];
    if (value === undefined || value === false) return [];
    const name = flag.split(' ')[0]!;
    if (value === true) return [name];
    const isPath = is.kind === 'file' || is.kind === 'files';
    return [name, isPath ? value.split(',').map(fileName).join(',') : value];
  });
  return runFacts(['simulate', ...words], {});
}

export function withoutFolders(settings: SimulateOptions): SimulateOptions {
  const { trace, json, report } = settings;
  const name = (path: string | null) => (path === null ? null : fileName(path));
  return { ...settings, trace: trace.map(fileName), json: name(json), report: name(report) };
}

const fileName = (path: string) => basename(path.trim());
