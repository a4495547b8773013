/**
 * The study: every part of `parts.mjs`, one JSON file each, from which `page.mjs` makes the page.
 * Run after the build:
 *
 *   node bench/study/study.mjs --traces FOLDER [--only PART,...] [--seeds 5] [--limit 4000]
 *        [--threads N] [--out bench/results/study]
 *
 * A part runs `--seeds` seeds, or fewer where its table says so. Nothing is random but by its seed:
 * the same commit makes the same rows, on any machine.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { blockSizes, readTraceOf } from '../../dist/replay/trace.js';
import { parseSimulateOptions } from '../../dist/simulate/options.js';
import { simulateFacts } from '../../dist/simulate/output.js';
import { summarize } from '../../dist/simulate/summary.js';
import { runTasks, tasksOf } from '../../dist/simulate/sweep.js';
import { makeWorkload } from '../../dist/simulate/workload.js';
import { factsOf } from '../replay/facts.mjs';
import { parts } from './parts.mjs';
import { packRows, withSeeds } from './rows.mjs';
import { measureSpeed } from './speed.mjs';

const { values } = parseArgs({
  options: {
    traces: { type: 'string' },
    only: { type: 'string', default: ['speed', ...Object.keys(parts)].join(',') },
    seeds: { type: 'string', default: '5' },
    limit: { type: 'string', default: '4000' },
    threads: { type: 'string', default: String(availableParallelism()) },
    out: { type: 'string', default: 'bench/results/study' },
  },
});
if (values.traces === undefined) throw new Error('--traces: the folder of the traces is missing');
const wanted = values.only.split(',');
const unknown = wanted.filter((name) => name !== 'speed' && parts[name] === undefined);
if (unknown.length > 0) throw new Error(`--only: there is no part ${unknown.join(', ')}`);
const [seedsAsked, limitAsked, threads] = ['seeds', 'limit', 'threads'].map((name) => {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name}: ${values[name]}`);
  return value;
});
// Before the runs: what is committed meanwhile did not make these figures.
const facts = factsOf('study.mjs', 'bench/study');

const madeFolder = mkdtempSync(join(tmpdir(), 'dualmap-shapes-'));
process.on('exit', () => rmSync(madeFolder, { recursive: true }));

const traceRows = new Map();
const workloads = new Map();

/** Traces are read once, and each selection of their rows is made once. */
async function workloadOf({ file, maxInputTokens, isMade = false }, limit) {
  const key = [file, maxInputTokens, limit].join(' ');
  if (!traceRows.has(file)) {
    const folder = isMade ? madeFolder : values.traces;
    traceRows.set(file, await readTraceOf(join(folder, file), blockSizes));
  }
  if (!workloads.has(key)) {
    const { rows, blockTokens } = traceRows.get(file);
    const trace = file.replace(/\.jsonl\.gz$/, '');
    workloads.set(key, makeWorkload(rows, { trace, blockTokens, limit, maxInputTokens }));
  }
  return workloads.get(key);
}

/** A sweep as the command line of `dualmap simulate` would have it, and its runs. */
async function planOf(sweep, seeds) {
  const { name, trace, flags } = sweep;
  const limit = sweep.limit ?? limitAsked;
  const given = {
    trace: trace.file,
    ...flags,
    seeds: String(seeds),
    limit: String(limit),
    ...(trace.maxInputTokens === null ? {} : { maxInputTokens: String(trace.maxInputTokens) }),
  };
  const options = parseSimulateOptions(given);
  const tasks = tasksOf([await workloadOf(trace, limit)], options);
  return { name, options, tasks, command: simulateFacts(given).command };
}

function progressOf(name, total) {
  let done = 0;
  return () => {
    done++;
    if (done % Math.ceil(total / 10) === 0 && done < total) {
      process.stderr.write(`${name}: ${done} of ${total} runs\n`);
    }
  };
}

async function runPart(name) {
  const { seedsMax, sweepsOf } = parts[name];
  if (name === 'shapes') {
    const program = fileURLToPath(new URL('shapes.mjs', import.meta.url));
    execFileSync(process.execPath, [program, '--out', madeFolder, '--rows', String(limitAsked)]);
  }
  const seeds = Math.min(seedsMax, seedsAsked);
  const plans = [];
  for (const sweep of sweepsOf(limitAsked)) plans.push(await planOf(sweep, seeds));
  const tasks = plans.flatMap((plan) => plan.tasks);
  const startMs = performance.now();
  const cells = await runTasks(tasks, threads, progressOf(name, tasks.length));
  const wallSeconds = Math.round((performance.now() - startMs) / 1000);
  let next = 0;
  const rows = plans.flatMap(({ name: sweep, options, tasks: own }) => {
    const ownCells = cells.slice(next, next + own.length);
    next += own.length;
    return withSeeds(summarize(ownCells, options), ownCells, sweep);
  });
  process.stderr.write(`${name}: ${tasks.length} runs in ${wallSeconds} s\n`);
  const settings = { seeds, limit: limitAsked, sloTtftMs: plans[0].options.sloTtftMs };
  const sweeps = plans.map(({ command }) => command);
  const cost = { runs: tasks.length, threads, wallSeconds };
  return { part: name, facts, settings, cost, sweeps, ...packRows(rows) };
}

async function runSpeed() {
  const sweep = parts['same-queue'].sweepsOf(limitAsked)[0];
  const workload = await workloadOf(sweep.trace, limitAsked);
  return {
    part: 'speed',
    facts,
    settings: { limit: limitAsked },
    ...(await measureSpeed(workload)),
  };
}

/** A row a line: differences between two runs of the study can be read. */
function textOf({ columns, rows, ...rest }) {
  if (rows === undefined) return `${JSON.stringify(rest, null, 1)}\n`;
  const head = JSON.stringify(rest, null, 1).slice(0, -2);
  const lines = rows.map((row) => JSON.stringify(row)).join(',\n');
  return `${head},\n "columns": ${JSON.stringify(columns)},\n "rows": [\n${lines}\n ]\n}\n`;
}

mkdirSync(values.out, { recursive: true });
for (const name of wanted) {
  const result = name === 'speed' ? await runSpeed() : await runPart(name);
  writeFileSync(join(values.out, `${name}.json`), textOf(result));
}
