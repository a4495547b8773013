/**
 * Workloads and placers of tests' own for the simulator.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { TraceRow } from '../../src/replay/trace.ts';
import type { Outlet, Placer } from '../../src/simulate/placer.ts';
import { makeWorkload, type Workload } from '../../src/simulate/workload.ts';

export const blockTokens = 512;

export function workloadOf(rows: readonly TraceRow[]): Workload {
  return makeWorkload(rows, { trace: 'made', blockTokens, limit: null, maxInputTokens: null });
}

/** A row a second; `blockIds` for each begun block. */
export function rowOf(
  at: number,
  inputTokens: number,
  outputTokens: number,
  blockIds: readonly number[],
): TraceRow {
  return { timestampMs: at * 1000, inputTokens, outputTokens, blockIds };
}

/** Prompts that share nothing, of which nothing is cached. */
export function strangers(inputTokens: Int32Array): Workload {
  const { length } = inputTokens;
  const none = new Int32Array(length + 1);
  return {
    trace: 'strangers',
    count: length,
    blockTokens,
    distinctBlocks: 0,
    inputTokens,
    outputTokens: new Int32Array(length).fill(1),
    blockStart: none,
    blocks: new Int32Array(0),
    chainStart: none,
    chain: new BigUint64Array(0),
    limitHitTokens: new Int32Array(length),
    timestampsMs: new Float64Array(length),
    selected: new Int32Array(length),
  };
}

/** Places every request at once where `choose` says; `ended` hears of each ending. */
export function placeBy(
  choose: (request: number) => number,
  ended: (request: number) => void = () => undefined,
): (outlet: Outlet) => Placer[] {
  return (outlet) => [
    {
      nextLookMs: Number.POSITIVE_INFINITY,
      look: () => undefined,
      firstToken: () => undefined,
      end: (request) => ended(request),
      arrive: (request, nowMs) => {
        outlet.dispatch(request, choose(request), nowMs);
      },
    },
  ];
}

/** Arrivals of a Poisson process, milliseconds. */
export function poisson(count: number, perSecond: number, random: () => number): Float64Array {
  let nowMs = 0;
  return Float64Array.from({ length: count }, () => {
    nowMs -= (1000 / perSecond) * Math.log(1 - random());
    return nowMs;
  });
}

/** The folder of the real traces, which are not part of the repository; `null`: not here. */
export function tracesFolder(): string | null {
  const beside = fileURLToPath(new URL('../../../shared/traces', import.meta.url));
  const folder = process.env.TRACES_FOLDER ?? beside;
  return existsSync(folder) ? folder : null;
}
