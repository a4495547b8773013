/**
 * `dualmap simulate`: reads traces, runs every combination of the options, prints a table, writes
 * JSON and a page. Main thread.
 */
import { access, constants, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import cliProgress from 'cli-progress';
import { blockSizes, readTraceOf, TraceFault } from '../replay/trace.ts';
import {
  type GivenSimulateOptions,
  parseSimulateOptions,
  SimulateFault,
  type SimulateOptions,
} from './options.ts';
import { type SimulateReport, simulateFacts, withoutFolders } from './output.ts';
import { reportPage } from './report/page.ts';
import { type SummaryRow, summarize } from './summary.ts';
import { runTasks, tasksOf } from './sweep.ts';
import { makeWorkload, type Workload } from './workload.ts';

/** Runs the sweep. Rejects with `SimulateFault` if it cannot start. */
async function runSimulate(
  settings: SimulateOptions,
  given: GivenSimulateOptions,
): Promise<SimulateReport> {
  await checkWritable('--json', settings.json);
  await checkWritable('--report', settings.report);
  // Before the run: what is committed meanwhile did not make these figures.
  const facts = simulateFacts(given);
  const workloads: Workload[] = [];
  for (const path of settings.trace) workloads.push(await readWorkload(path, settings));
  const tasks = tasksOf(workloads, settings);
  const progress = showProgress(tasks.length);
  try {
    const cells = await runTasks(tasks, settings.threads, progress.step);
    const summary = summarize(cells, settings);
    return { facts, settings: withoutFolders(settings), cells, summary };
  } finally {
    progress.stop();
  }
}

/** The command itself. Exit code: 0, or 2 for bad options or traces. */
export async function simulateCommand(given: GivenSimulateOptions): Promise<number> {
  try {
    const settings = parseSimulateOptions(given);
    const results = await runSimulate(settings, given);
    process.stdout.write(formatSummary(results.summary));
    const { json, report } = settings;
    if (json !== null) await writeFile(json, `${JSON.stringify(results, null, 1)}\n`);
    if (report !== null) await writeFile(report, reportPage(results));
    return 0;
  } catch (error) {
    if (!(error instanceof SimulateFault)) throw error;
    for (const fault of error.faults) process.stderr.write(`${fault}\n`);
    return 2;
  }
}

/** Before the run, not after an hour of it. */
async function checkWritable(flag: string, path: string | null): Promise<void> {
  if (path === null) return;
  try {
    await access(dirname(path), constants.W_OK);
  } catch (error) {
    throw new SimulateFault([`${flag}: cannot write to ${dirname(path)}`], error);
  }
}

async function readWorkload(path: string, options: SimulateOptions): Promise<Workload> {
  const { limit, maxInputTokens } = options;
  const trace = basename(path).replace(/\.jsonl(\.gz)?$/, '');
  try {
    const { rows, blockTokens } = await readTraceOf(path, blockSizes);
    return makeWorkload(rows, { trace, blockTokens, limit, maxInputTokens });
  } catch (error) {
    if (!(error instanceof TraceFault) && !(error instanceof RangeError)) throw error;
    throw new SimulateFault([error.message], error);
  }
}

/** On a terminal only. */
function showProgress(total: number): { step: () => void; stop: () => void } {
  if (!process.stderr.isTTY) return { step: () => undefined, stop: () => undefined };
  const bar = new cliProgress.SingleBar({
    format: '{bar} {value}/{total} runs | {eta_formatted} left',
    clearOnComplete: true,
    hideCursor: true,
    etaBuffer: 100,
  });
  bar.start(total, 0);
  return { step: () => bar.increment(), stop: () => bar.stop() };
}

const columns = 'trace preset instances routers policy queue load qps attained +- p50 p90 hit';

/** A table for a terminal: one line a combination. After a join: in how long attainment was back. */
export function formatSummary(summary: readonly SummaryRow[]): string {
  const hasJoined = summary.some(({ joined }) => joined !== null);
  const rows = summary.map((row) => [
    row.trace,
    row.preset,
    String(row.instances),
    String(row.routers),
    row.variant === '' ? row.policy : `${row.policy} ${row.variant}`,
    row.queue,
    row.load.toFixed(3),
    row.qps.toFixed(2),
    formatShare(row.attainment),
    row.attainmentCi95 === null ? '-' : formatShare(row.attainmentCi95),
    formatSeconds(row.ttftP50Ms),
    formatSeconds(row.ttftP90Ms),
    formatShare(row.hitRatio),
    ...(hasJoined ? [row.backInMs === null ? 'never' : formatSeconds(row.backInMs)] : []),
  ]);
  const table = [[...columns.split(' '), ...(hasJoined ? ['back'] : [])], ...rows];
  const widths = table[0]!.map((_, at) => Math.max(...table.map((row) => row[at]!.length)));
  const lines = table.map((row) => row.map((text, at) => text.padEnd(widths[at]!)).join('  '));
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

const formatShare = (share: number): string => `${(100 * share).toFixed(1)} %`;
const formatSeconds = (ms: number | null): string =>
  ms === null ? 'lost' : `${(ms / 1000).toFixed(2)} s`;
