/**
 * `dualmap bench overhead`, from its options to its exit code. Main thread.
 */
import { writeFileSync } from 'node:fs';
import { drawChart } from '../chart.ts';
import { runFacts } from '../environment.ts';
import { formatNumber } from '../text.ts';
import type { Figures, Metric } from './cells.ts';
import { metrics } from './cells.ts';
import { type GivenOverheadOptions, parseOverheadOptions } from './options.ts';
import { chartOf, formatReport, makeReport } from './report.ts';
import { type OnRun, runOverhead } from './run.ts';
import { findTools } from './tools.ts';

/** 0 measured, 2 bad options or missing tools, 3 a run was void, 130 interrupted. */
export async function overheadCommand(given: GivenOverheadOptions): Promise<number> {
  const { options, faults } = parseOverheadOptions(given);
  const tools = findTools();
  for (const fault of [...faults, ...tools.faults]) {
    process.stderr.write(`dualmap bench overhead: ${fault}\n`);
  }
  if (options === null || tools.faults.length > 0) return 2;
  const facts = runFacts(process.argv.slice(2), tools.versions);
  const runs = await runOverhead(options, showRun);
  const report = makeReport(runs, facts, options);
  process.stdout.write(`\n${formatReport(report)}`);
  if (runs.streams < options.streamsMax) {
    process.stdout.write(
      `\n${runs.streams} streams instead of ${options.streamsMax}: the limit of file descriptors (ulimit -Hn) allows no more\n`,
    );
  }
  if (options.json !== null) save(options.json, report);
  return report.isVoid ? 3 : 0;
}

function save(path: string, report: ReturnType<typeof makeReport>): void {
  writeFileSync(path, `${JSON.stringify(report, null, 1)}\n`);
  const chart = chartOf(report);
  if (chart.panels.length > 0)
    writeFileSync(`${path.replace(/\.json$/, '')}.svg`, drawChart(chart));
}

/** A line for every run, as it ends. */
const showRun: OnRun = ({ name }, round, contender, { figures, voidReason }) => {
  const parts = [
    ...(figures === null ? [] : [formatFigures(figures)]),
    ...(voidReason === null ? [] : [`VOID: ${voidReason}`]),
  ];
  const text = parts.join(', ');
  process.stderr.write(`round ${round + 1}  ${name.padEnd(14)} ${contender.padEnd(9)} ${text}\n`);
};

function formatFigures(figures: Figures): string {
  return (Object.entries(figures) as [Metric, number][])
    .map(([metric, value]) => `${metrics[metric]} ${formatNumber(value)}`)
    .join(', ');
}
