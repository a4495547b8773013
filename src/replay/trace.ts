import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';

/**
 * Reads a request trace: one JSON object a line, `.jsonl` or `.jsonl.gz`. Main thread, before the
 * load starts. A bad line is never skipped: a replay of something else than the trace would pass
 * for a replay of the trace.
 */

/** Tokens of one prefix block of Mooncake's traces; `hash_ids` has one id for each begun block. */
export const blockTokens = 512;
/** The sizes that a simulation takes too: those of engines and of other collectors. */
export const blockSizes: readonly number[] = [blockTokens, 16, 32, 64, 128, 256, 1024];

export interface TraceRow {
  /** Arrival, milliseconds; since when is the trace's affair (a journal: since 1970). */
  readonly timestampMs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Chained: equal ids mean equal whole prefixes. 64-bit hashes come as strings. */
  readonly blockIds: readonly (number | string)[];
}

/** The trace cannot be used; the message names every bad line (the first ten, and how many). */
export class TraceFault extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'TraceFault';
  }
}

const lineCharsMax = 16 * 1024 * 1024;
const faultsShownMax = 10;

/** All rows in order of arrival (rows of one timestamp keep their order). */
export async function readTrace(path: string): Promise<TraceRow[]> {
  const { rows } = await readTraceOf(path, [blockTokens]);
  return rows;
}

export interface Trace {
  readonly rows: TraceRow[];
  /** Tokens of a block: the first of the sizes that fits every row. */
  readonly blockTokens: number;
}

/** The same, of a trace whose blocks have one of these sizes. */
export async function readTraceOf(path: string, sizes: readonly number[]): Promise<Trace> {
  const rows: TraceRow[] = [];
  const lines: number[] = [];
  const faults: string[] = [];
  let lineNumber = 0;
  const takeLine = (line: string): void => {
    lineNumber++;
    if (line.trim() === '') return;
    const row = parseRow(line);
    if (typeof row === 'string') faults.push(`line ${lineNumber}: ${row}`);
    else lines[rows.push(row) - 1] = lineNumber;
  };
  const file = createReadStream(path);
  try {
    if (path.endsWith('.gz')) {
      await pipeline(file, createGunzip(), (source) => splitLines(source, takeLine));
    } else {
      await pipeline(file, (source) => splitLines(source, takeLine));
    }
  } catch (error) {
    if (error instanceof TraceFault) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new TraceFault(`${path}, after line ${lineNumber}: ${message}`, error);
  }
  const size = sizes.find((tokens) => rows.every((row) => countFault(row, tokens) === null));
  if (size === undefined) {
    for (const [index, row] of rows.entries()) {
      const fault = countFault(row, sizes[0]!);
      if (fault !== null) faults.push(`line ${lines[index]}: ${fault}`);
    }
  }
  if (faults.length > 0) throw new TraceFault(describeFaults(path, faults));
  rows.sort((a, b) => a.timestampMs - b.timestampMs);
  return { rows, blockTokens: size! };
}

function countFault({ inputTokens, blockIds }: TraceRow, tokens: number): string | null {
  const blockCount = Math.ceil(inputTokens / tokens);
  if (blockIds.length === blockCount) return null;
  return `${blockIds.length} hash_ids, but input_length ${inputTokens} makes ${blockCount} blocks`;
}

async function splitLines(
  source: Readable | AsyncIterable<Buffer>,
  take: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of source) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > lineCharsMax) {
      throw new TraceFault(`a line is longer than ${lineCharsMax} characters`);
    }
    for (const line of lines) take(line);
  }
  rest += decoder.decode();
  if (rest !== '') take(rest);
}

function describeFaults(path: string, faults: readonly string[]): string {
  const shown = faults.slice(0, faultsShownMax).map((fault) => `  ${fault}`);
  const hidden = faults.length - shown.length;
  if (hidden > 0) shown.push(`  and ${hidden} more`);
  return `${path}: ${faults.length} bad lines\n${shown.join('\n')}`;
}

/** The row, or what is wrong with the line. */
function parseRow(line: string): TraceRow | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    return `not JSON (${error instanceof Error ? error.message : String(error)})`;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'not an object';
  const fields = value as Record<string, unknown>;
  const { timestamp, input_length: inputTokens, output_length: outputTokens } = fields;
  if (typeof timestamp !== 'number' || timestamp < 0) return 'timestamp is not a number >= 0';
  if (!isCount(inputTokens) || inputTokens < 1) return 'input_length is not an integer >= 1';
  if (!isCount(outputTokens)) return 'output_length is not an integer >= 0';
  const blockIds = fields.hash_ids;
  if (!Array.isArray(blockIds)) return 'hash_ids is not an array';
  for (const id of blockIds) {
    if (!Number.isSafeInteger(id) && (typeof id !== 'string' || id === '')) {
      return 'hash_ids holds something else than safe integers and non-empty strings';
    }
  }
  return { timestampMs: timestamp, inputTokens, outputTokens, blockIds };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
