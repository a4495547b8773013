/**
 * `dualmap bench decide`: runs the stages of bench/micro, each as a process of its own, and holds
 * their figures against the budgets. Main thread.
 */
import { fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatFacts, packageRoot, type RunFacts, runFacts } from './environment.ts';
import { formatNumber, formatTable } from './text.ts';

export interface StageBudget {
  readonly what: string;
  readonly atLeast?: number;
  readonly atMost?: number;
  readonly measured: number;
}

/** What a stage reports; a figure that it does not take is missing. */
export interface StageRow {
  readonly name: string;
  readonly perSecond?: number;
  readonly marginPercent?: number;
  readonly bytesPerSecond?: number;
  /** Of the speed of what it is compared with. */
  readonly share?: number;
  readonly p50Ns?: number;
  readonly p99Ns?: number;
  readonly p999Ns?: number;
  readonly budgets: readonly StageBudget[];
}

export type GivenDecideOptions = {
  readonly [name in 'instances' | 'seconds' | 'rounds' | 'only' | 'json']?: string | undefined;
};

export interface DecideOptions {
  readonly instances: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly stages: readonly StageName[];
  readonly json: string | null;
}

const microFolder = join(packageRoot, 'bench/micro');
/** In the order of the table. */
export const stageNames = [
  'timer',
  'decision',
  'threads',
  'body',
  'scan',
  'hash',
  'ring',
  'prefix-index',
] as const;
type StageName = (typeof stageNames)[number];
const isStage = (name: string): name is StageName => stageNames.some((one) => one === name);

/** Every fault of what was given, or the options. */
export function parseDecideOptions(
  given: GivenDecideOptions,
): { options: DecideOptions; faults: [] } | { options: null; faults: readonly string[] } {
  const faults: string[] = [];
  const number = (name: 'instances' | 'seconds' | 'rounds', preset: number, range: Range) => {
    const text = given[name];
    if (text === undefined) return preset;
    const value = text.trim() === '' ? Number.NaN : Number(text);
    const { min, max, isInteger } = range;
    if (value >= min && value <= max && (!isInteger || Number.isInteger(value))) return value;
    const kind = isInteger ? 'a whole number' : 'a number';
    faults.push(`--${name}: ${text}: expected ${kind} from ${min} to ${max}`);
    return preset;
  };
  const instances = number('instances', 64, { min: 2, max: 4096, isInteger: true });
  const seconds = number('seconds', 2, { min: 0.05, max: 600, isInteger: false });
  const rounds = number('rounds', 3, { min: 1, max: 100, isInteger: true });
  const wanted = given.only?.split(',').map((name) => name.trim()) ?? stageNames;
  for (const name of wanted) {
    if (!isStage(name)) faults.push(`--only: ${name}: expected some of ${stageNames.join(',')}`);
  }
  const stages = stageNames.filter((name) => wanted.includes(name));
  if (faults.length > 0) return { options: null, faults };
  return { options: { instances, seconds, rounds, stages, json: given.json ?? null }, faults: [] };
}

interface Range {
  readonly min: number;
  readonly max: number;
  readonly isInteger: boolean;
}

/** 0 measured, whatever the budgets say; 2 bad options. */
export async function decideCommand(given: GivenDecideOptions): Promise<number> {
  const { options, faults } = parseDecideOptions(given);
  for (const fault of faults) process.stderr.write(`dualmap bench decide: ${fault}\n`);
  if (options === null) return 2;
  const facts = runFacts(process.argv.slice(2), {});
  const rows: StageRow[] = [];
  for (const name of options.stages) {
    process.stderr.write(`${name} ...\n`);
    rows.push(...(await runStage(name, options)));
  }
  process.stdout.write(`\n${formatDecide(facts, rows)}`);
  if (options.json !== null) {
    const { instances, seconds, rounds } = options;
    const report = { facts, settings: { instances, seconds, rounds }, rows };
    writeFileSync(options.json, `${JSON.stringify(report, null, 1)}\n`);
  }
  return 0;
}

function runStage(name: StageName, options: DecideOptions): Promise<readonly StageRow[]> {
  const flags = (['instances', 'seconds', 'rounds'] as const).flatMap((option) => [
    `--${option}`,
    String(options[option]),
  ]);
  const stage = fork(join(microFolder, `${name}.mjs`), flags, {
    // benny announces every suite.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    stage.once('message', (rows) => resolve(rows as readonly StageRow[]));
    stage.once('error', reject);
    stage.once('exit', (code) => reject(new Error(`stage ${name} ended with ${code}`)));
  });
}

export function formatDecide(facts: RunFacts, rows: readonly StageRow[]): string {
  const cell = (value: number | undefined) => (value === undefined ? '-' : formatNumber(value));
  const head = ['', 'a second', '+- %', 'MB/s', 'share', 'p50 ns', 'p99 ns', 'p99.9 ns'];
  const table = rows.map((row) => [
    row.name,
    cell(row.perSecond),
    cell(row.marginPercent),
    cell(row.bytesPerSecond === undefined ? undefined : row.bytesPerSecond / 1e6),
    cell(row.share),
    cell(row.p50Ns),
    cell(row.p99Ns),
    cell(row.p999Ns),
  ]);
  const judged = rows.flatMap(({ budgets }) => budgets).map(judge);
  const blocks = [formatFacts(facts), formatTable(head, table)];
  if (judged.length > 0) blocks.push(formatTable(['budgets', 'limit', 'measured', ''], judged));
  return `${blocks.join('\n\n')}\n`;
}

function judge({ what, atLeast, atMost, measured }: StageBudget): string[] {
  const isMet = measured >= (atLeast ?? -Infinity) && measured <= (atMost ?? Infinity);
  const limit =
    atLeast === undefined
      ? `at most ${formatNumber(atMost!)}`
      : `at least ${formatNumber(atLeast)}`;
  return [what, limit, formatNumber(measured), isMet ? 'met' : 'MISSED'];
}
