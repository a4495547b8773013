/**
 * What a simulation is fed: the selected rows of a trace as flat arrays. Any thread; the arrays lie
 * in shared memory, so that the threads of a sweep read one copy, and nothing changes them once
 * they are made.
 */
import { spreadArrivals } from '../replay/arrivals.ts';
import type { TraceRow } from '../replay/trace.ts';

/** Tokens of one block of the decision core: 512 bytes at 4 bytes a token. */
export const coreBlockTokens = 128;

export interface Workload {
  /** How results call it. */
  readonly trace: string;
  readonly count: number;
  /** Tokens of one block of the trace, which the engines' caches hold. */
  readonly blockTokens: number;
  /** Different full blocks of the selected rows; they are numbered from 0. */
  readonly distinctBlocks: number;
  readonly inputTokens: Int32Array;
  readonly outputTokens: Int32Array;
  /** Row r has blocks[blockStart[r]] up to, not including, blocks[blockStart[r + 1]]: full ones. */
  readonly blockStart: Int32Array;
  readonly blocks: Int32Array;
  /** The same rows in blocks of the decision core, as hashes that name the whole prefix. */
  readonly chainStart: Int32Array;
  readonly chain: BigUint64Array;
  /** Tokens of each row that an infinite cache, shared by all instances, would have held. */
  readonly limitHitTokens: Int32Array;
  /** Timestamps of all rows of the trace, and which of them were selected. */
  readonly timestampsMs: Float64Array;
  readonly selected: Int32Array;
}

export interface Selection {
  readonly trace: string;
  readonly blockTokens: number;
  /** `null`: all. Counted after `maxInputTokens`, as `dualmap replay` does. */
  readonly limit: number | null;
  readonly maxInputTokens: number | null;
}

/** Throws RangeError if nothing is selected. */
export function makeWorkload(rows: readonly TraceRow[], selection: Selection): Workload {
  const { blockTokens, limit, maxInputTokens } = selection;
  const selected = rows
    .map((_, index) => index)
    .filter((index) => maxInputTokens === null || rows[index]!.inputTokens <= maxInputTokens)
    .slice(0, limit ?? undefined);
  if (selected.length === 0) throw new RangeError(`${selection.trace}: no request is selected`);
  const count = selected.length;
  const blockStart = sharedInts(count + 1);
  const chainStart = sharedInts(count + 1);
  for (const [at, index] of selected.entries()) {
    const { inputTokens } = rows[index]!;
    blockStart[at + 1] = blockStart[at]! + Math.floor(inputTokens / blockTokens);
    chainStart[at + 1] = chainStart[at]! + Math.floor(inputTokens / coreBlockTokens);
  }
  const workload = {
    trace: selection.trace,
    count,
    blockTokens,
    inputTokens: sharedInts(count),
    outputTokens: sharedInts(count),
    blockStart,
    blocks: sharedInts(blockStart[count]!),
    chainStart,
    chain: new BigUint64Array(new SharedArrayBuffer(8 * chainStart[count]!)),
    limitHitTokens: sharedInts(count),
    timestampsMs: new Float64Array(new SharedArrayBuffer(8 * rows.length)),
    selected: sharedInts(count),
  };
  workload.selected.set(selected);
  for (const [index, row] of rows.entries()) workload.timestampsMs[index] = row.timestampMs;
  const numbers = new Map<number | string, number>();
  for (const [at, index] of selected.entries()) takeRow(workload, at, rows[index]!, numbers);
  return { ...workload, distinctBlocks: numbers.size };
}

function takeRow(
  workload: Omit<Workload, 'distinctBlocks'>,
  at: number,
  row: TraceRow,
  numbers: Map<number | string, number>,
): void {
  const { blockTokens, blockStart, blocks } = workload;
  workload.inputTokens[at] = row.inputTokens;
  // A request that asks for nothing still gets its first token.
  workload.outputTokens[at] = Math.max(1, row.outputTokens);
  const known = numbers.size;
  const start = blockStart[at]!;
  let hitBlocks = 0;
  for (let block = start; block < blockStart[at + 1]!; block++) {
    const id = row.blockIds[block - start]!;
    const number = numbers.get(id) ?? numbers.size;
    if (number === numbers.size) numbers.set(id, number);
    blocks[block] = number;
    if (number < known && hitBlocks === block - start) hitBlocks++;
  }
  workload.limitHitTokens[at] = cachedTokensOf(hitBlocks, row.inputTokens, blockTokens);
  fillChain(workload, at, row);
}

/** Of a prompt that lies in the cache as a whole its last block is computed anew. */
export function cachedTokensOf(
  hitBlocks: number,
  promptTokens: number,
  blockTokens: number,
): number {
  return Math.min(hitBlocks, Math.floor((promptTokens - 1) / blockTokens)) * blockTokens;
}

/**
 * The ids of a trace are chained, so the id of the block in which a core block ends, with its place
 * in there, names the prefix up to its end. The last block, begun but not full, has an id too.
 */
function fillChain(
  { blockTokens, chain, chainStart }: Omit<Workload, 'distinctBlocks'>,
  at: number,
  row: TraceRow,
): void {
  const words = new Uint32Array(chain.buffer);
  for (let index = chainStart[at]!; index < chainStart[at + 1]!; index++) {
    const lastToken = (index - chainStart[at]! + 1) * coreBlockTokens - 1;
    const block = Math.floor(lastToken / blockTokens);
    const [low, high] = idWords(row.blockIds[block]!);
    const place = lastToken - block * blockTokens;
    words[2 * index] = mix(low ^ mix(high ^ place));
    words[2 * index + 1] = mix(high ^ mix(low ^ ~place));
  }
}

function idWords(id: number | string): [number, number] {
  if (typeof id === 'number') return [id >>> 0, Math.floor(id / 2 ** 32) >>> 0];
  let low = 0x811c9dc5;
  let high = 0xcbf29ce4;
  for (let index = 0; index < id.length; index++) {
    low = Math.imul(low ^ id.charCodeAt(index), 0x01000193);
    high = mix(high ^ low);
  }
  return [low >>> 0, high >>> 0];
}

/** Spreads every bit over all 32 (the finalizer of murmur3); not of zero, hence the sum. */
function mix(value: number): number {
  let mixed = (value + 0x9e3779b9) >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function sharedInts(length: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * length));
}

/** `raw`: as the trace has them; `spread`: batches drawn over their window by `seed`. */
export type Arrivals = 'spread' | 'raw';

/**
 * When the rows arrive at `qps` requests a second, from 0 on, in milliseconds: the timestamps of
 * the trace, stretched as a whole. Throws RangeError if all rows arrive at once.
 */
export function arrivalsAt(
  { trace, count, timestampsMs, selected }: Workload,
  how: Arrivals,
  seed: number,
  qps: number,
): Float64Array {
  const all = how === 'raw' ? timestampsMs : spreadArrivals([...timestampsMs], seed);
  const firstMs = all[selected[0]!]!;
  const spanMs = all[selected[count - 1]!]! - firstMs;
  if (spanMs === 0 && count > 1) throw new RangeError(`${trace}: all rows have one timestamp`);
  const stretch = count === 1 ? 0 : (1000 * (count - 1)) / qps / spanMs;
  return Float64Array.from(selected, (index) => (all[index]! - firstMs) * stretch);
}
