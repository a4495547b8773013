import { access, constants, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { request } from 'undici';
import { type Clock, systemClock } from '../clock.ts';
import { spreadArrivals } from './arrivals.ts';
import type { Outcome } from './call.ts';
import { Load, type PlannedRequest, type Target } from './load.ts';
import {
  type GivenReplayOptions,
  parseReplayOptions,
  ReplayFault,
  type ReplayOptions,
} from './options.ts';
import { showProgress } from './progress.ts';
import { createRandom } from './random.ts';
import { formatReport, makeReport, type ReplayReport, replayExitCode } from './report.ts';
import { Tally } from './tally.ts';
import { PromptText } from './text.ts';
import { readTrace, TraceFault, type TraceRow } from './trace.ts';

/**
 * `dualmap replay`: open-loop load from a trace on a live router. Main thread of a process of its
 * own: it must not share an event loop with what it measures.
 */

export interface ReplaySurroundings {
  readonly clock?: Clock;
  /** Stops sending; the report then covers what had its outcome. */
  readonly signal?: AbortSignal;
  /** Told of every request as soon as it has its outcome. */
  readonly onOutcome?: (outcome: Outcome, request: DueRequest) => void;
}

/** Which request of a run an outcome is of. */
export interface DueRequest {
  /** Place in the run, from 0 on. */
  readonly request: number;
  /** Real milliseconds after the first one. */
  readonly dueMs: number;
}

/** Checks the options, replays and reports. Rejects with `ReplayFault` if it cannot start. */
export async function runReplay(
  given: GivenReplayOptions,
  { clock = systemClock, signal, onOutcome }: ReplaySurroundings = {},
): Promise<ReplayReport> {
  const options = parseReplayOptions(given);
  const planned = selectRows(await readRows(options.trace), options);
  const urls = options.url.split(',');
  const model = options.model ?? (await Promise.all(urls.map(firstModel)))[0]!;
  const text = new PromptText();
  const targets = urls.map((url) => targetOf(url, options));
  const random = createRandom(~options.seed);
  const plan = planned.map(({ dueMs, row }) => ({
    dueMs,
    target: targets[Math.floor(random() * targets.length)]!,
    body: () => makeBody(row, model, options, text),
  }));
  const tally = new Tally(options);
  const load = new Load(plan, {
    connectionsMax: options.connectionsMax,
    timeoutMs: options.timeoutSecs * 1000,
    clock,
    onOutcome: (outcome, place) => {
      tally.add(outcome);
      onOutcome?.(outcome, { request: place, dueMs: plan[place]!.dueMs });
    },
  });
  const wallSeconds = await watch(load, plan, clock, signal);
  const facts = {
    interrupted: load.stopped,
    connectionsMaxReached: load.connectionsMaxReached,
    wallSeconds,
  };
  return makeReport(tally.measurements(), facts, { ...options, model });
}

/**
 * The command itself: options as given on the command line, SIGINT, table, JSON file. Returns the
 * exit code: 0, 1 report not written, 2 bad options or trace, 3 void, 130 interrupted.
 */
export async function replayCommand(given: GivenReplayOptions): Promise<number> {
  const interrupt = new AbortController();
  // Once: a second SIGINT ends the process as usual.
  const onSigint = () => interrupt.abort();
  process.once('SIGINT', onSigint);
  try {
    await checkWritable('--json', given.json ?? null);
    await checkWritable('--outcomes', given.outcomes ?? null);
    const lines: string[] = [];
    const report = await runReplay(given, {
      signal: interrupt.signal,
      onOutcome: (outcome, due) => lines.push(`${JSON.stringify({ ...due, ...outcome })}\n`),
    });
    process.stdout.write(formatReport(report));
    const { json, outcomes } = report.settings;
    const isSaved =
      (await save('--json', json, `${JSON.stringify(report, null, 2)}\n`)) &&
      (await save('--outcomes', outcomes, lines.join('')));
    return isSaved ? replayExitCode(report) : 1;
  } catch (error) {
    if (!(error instanceof ReplayFault)) throw error;
    for (const fault of error.faults) process.stderr.write(`${fault}\n`);
    return 2;
  } finally {
    process.removeListener('SIGINT', onSigint);
  }
}

/** Before the run, not after an hour of it. */
async function checkWritable(flag: string, path: string | null): Promise<void> {
  if (path === null) return;
  try {
    await access(dirname(path), constants.W_OK);
  } catch (error) {
    throw new ReplayFault([`${flag}: cannot write to ${dirname(path)}`], error);
  }
}

/** Whether there was nothing to write, or it was written. */
async function save(flag: string, path: string | null, text: string): Promise<boolean> {
  try {
    if (path !== null) await writeFile(path, text);
    return true;
  } catch (error) {
    process.stderr.write(`${flag}: ${error instanceof Error ? error.message : String(error)}\n`);
    return false;
  }
}

function targetOf(url: string, { endpoint }: ReplayOptions): Target {
  const { origin, pathname } = new URL(url);
  return { origin, path: `${pathname.replace(/\/$/, '')}${paths[endpoint]}` };
}

const paths = { chat: '/v1/chat/completions', completions: '/v1/completions' } as const;

async function readRows(path: string): Promise<TraceRow[]> {
  try {
    return await readTrace(path);
  } catch (error) {
    if (error instanceof TraceFault) throw new ReplayFault([error.message], error);
    throw error;
  }
}

interface DueRow {
  readonly dueMs: number;
  readonly row: TraceRow;
}

/**
 * The rows to send and when, from the first one on, in real milliseconds. Spread before anything
 * is left out: a request arrives at the same moment whatever the filters are.
 */
export function selectRows(rows: readonly TraceRow[], options: ReplayOptions): DueRow[] {
  const timestampsMs = rows.map((row) => row.timestampMs);
  const arrivalsMs =
    options.arrivals === 'raw' ? timestampsMs : spreadArrivals(timestampsMs, options.seed);
  const { maxInputTokens, limit, speed } = options;
  const selected = rows
    .map((row, index) => ({ row, arrivalMs: arrivalsMs[index]! }))
    .filter(({ row }) => maxInputTokens === null || row.inputTokens <= maxInputTokens)
    .slice(0, limit ?? undefined);
  const first = selected[0];
  if (first === undefined) throw new ReplayFault(['the trace has no request to send']);
  return selected.map(({ row, arrivalMs }) => ({
    row,
    dueMs: (arrivalMs - first.arrivalMs) / speed,
  }));
}

function makeBody(
  row: TraceRow,
  model: string,
  { endpoint, maxOutputTokens }: ReplayOptions,
  text: PromptText,
): Buffer {
  const fields = {
    model,
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: Math.max(1, Math.min(row.outputTokens, maxOutputTokens ?? row.outputTokens)),
    // The output has the length of the trace, whatever the model thinks of the text.
    ignore_eos: true,
  };
  const open = JSON.stringify(fields).slice(0, -1);
  const [before, after] =
    endpoint === 'chat'
      ? [`${open},"messages":[{"role":"user","content":"`, '"}]}']
      : [`${open},"prompt":"`, '"}'];
  const bytes = Buffer.byteLength(before) + PromptText.promptBytes(row) + after.length;
  const body = Buffer.allocUnsafe(bytes);
  const end = text.write(row, body, body.write(before));
  body.write(after, end);
  return body;
}

/** The first model that is listed: also a proof that something answers before the load starts. */
async function firstModel(url: string): Promise<string> {
  const timeouts = { headersTimeout: 10_000, bodyTimeout: 10_000 };
  try {
    const answer = await request(`${url}/v1/models`, timeouts);
    const list = (await answer.body.json()) as { data?: { id?: unknown }[] };
    const id = list.data?.[0]?.id;
    if (typeof id === 'string') return id;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ReplayFault([`${url}/v1/models: ${reason}`], error);
  }
  throw new ReplayFault([`${url}/v1/models lists no model: give one with --model`]);
}

/** Runs the load; returns how long it took, in seconds. */
async function watch(
  load: Load,
  plan: readonly PlannedRequest[],
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<number> {
  const stop = () => load.stop();
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  const hideProgress = showProgress(load, plan.length);
  const startMs = clock.nowMs();
  try {
    await load.run();
  } finally {
    hideProgress();
    signal?.removeEventListener('abort', stop);
  }
  return (clock.nowMs() - startMs) / 1000;
}
