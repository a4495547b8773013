/**
 * The seeds of each combination of a sweep together, and how far the reference is ahead of each:
 * pairs of the same seed, so of the same arrivals. Pure; main thread.
 */
import type { SweptCell } from './cell-task.ts';
import { type Mean, type MeanRatio, meanDifference, meanOf, meanRatio } from './means.ts';
import type { Joined } from './results.ts';

/** Every policy of a sweep is compared with this one. */
export const referencePolicy = 'dualmap';

/**
 * The reference in the same setting, set against a row. A difference is the reference minus the
 * row: above 0 the reference is better. A ratio is the reference over the row.
 */
export interface Paired {
  /** `dualmap`; for a variant the same policy without what was varied. */
  readonly policy: string;
  readonly queue: 'direct' | 'router';
  /** `null`: the two ran at rates of their own. */
  readonly attainment: Mean | null;
  /** Below 1 the reference is faster; `null` too if so many were lost that there is no median. */
  readonly ttftP50: MeanRatio | null;
  /** `null` if goodput was not asked for. */
  readonly goodput: MeanRatio | null;
}

/** The seeds of one combination together. */
export interface SummaryRow
  extends Pick<
    SweptCell,
    | 'trace'
    | 'preset'
    | 'policy'
    | 'variant'
    | 'queue'
    | 'queueMode'
    | 'routers'
    | 'instances'
    | 'viewDelayMs'
  > {
  readonly seeds: number;
  readonly load: number;
  readonly qps: number;
  /** Of one run. */
  readonly requests: number;
  readonly lost: number;
  readonly attainment: number;
  readonly attainmentCi95: number | null;
  readonly outOfReach: number;
  readonly ttftP50Ms: number | null;
  readonly ttftP90Ms: number | null;
  readonly ttftP99Ms: number | null;
  readonly hitRatio: number;
  readonly hitShareOfLimit: number | null;
  readonly imbalanceCv: number;
  readonly workMaxOverMean: number;
  readonly migrations: number;
  /** `null`: the fleet stayed as it was. */
  readonly joined: Joined | null;
  /** From the join until attainment is back; `null`: with one of the seeds never, or no join. */
  readonly backInMs: number | null;
  /** Highest rate with 90 % attainment; `null` if it was not asked for. */
  readonly goodputQps: number | null;
  /** Half of the 95 % interval of `goodputQps`. */
  readonly ci95: number | null;
  /** `null`: this is the reference, or it was not run. */
  readonly paired: Paired | null;
}

/** One row for every `seeds` cells in a row. */
export function summarize(
  cells: readonly SweptCell[],
  { seeds, goodput }: { readonly seeds: number; readonly goodput: boolean },
): SummaryRow[] {
  const groups = Array.from({ length: cells.length / seeds }, (_, index) =>
    cells.slice(index * seeds, (index + 1) * seeds),
  );
  const plain = new Map<string, readonly SweptCell[]>();
  for (const group of groups) {
    const { policy, variant } = group[0]!;
    if (variant === '') plain.set(keyOf(group[0]!, policy, goodput), group);
  }
  return groups.map((group) => {
    const { policy, variant } = group[0]!;
    const wanted = variant === '' ? referencePolicy : policy;
    const reference = plain.get(keyOf(group[0]!, wanted, goodput));
    const isReference = reference === undefined || reference === group;
    const paired = isReference ? null : pairedWith(reference, group, goodput);
    return { ...rowOf(group, goodput), paired };
  });
}

/** Equal for what differs in rule and seed only. */
function keyOf(cell: SweptCell, policy: string, goodput: boolean): string {
  const { trace, preset, instances, routers, viewDelayMs, queueMode, qps } = cell;
  const rate = goodput ? 'goodput' : qps;
  return [trace, preset, instances, routers, viewDelayMs, queueMode, rate, policy].join('\n');
}

function pairedWith(
  reference: readonly SweptCell[],
  row: readonly SweptCell[],
  goodput: boolean,
): Paired {
  const { policy, queue } = reference[0]!;
  const both = <T>(of: (cell: SweptCell) => T) => [reference.map(of), row.map(of)] as const;
  const p50 = (cell: SweptCell) => cell.ttftMs.p50;
  return {
    policy,
    queue,
    attainment: goodput ? null : meanDifference(...both((cell) => cell.attainment)),
    ttftP50: goodput ? null : meanRatio(...both(p50)),
    goodput: goodput ? meanRatio(...both((cell) => cell.qps)) : null,
  };
}

function rowOf(group: readonly SweptCell[], goodput: boolean): Omit<SummaryRow, 'paired'> {
  const { trace, preset, policy, variant, queue, queueMode } = group[0]!;
  const { routers, instances, viewDelayMs, requests, joined } = group[0]!;
  const over = (of: (cell: SweptCell) => number) => meanOf(group.map(of));
  const overAll = (of: (cell: SweptCell) => number | null) => {
    const { mean } = over((cell) => of(cell) ?? Number.NaN);
    return Number.isNaN(mean) ? null : mean;
  };
  const attainment = over((cell) => cell.attainment);
  const qps = over((cell) => cell.qps);
  return {
    ...{ trace, preset, policy, variant, queue, queueMode, routers, instances, viewDelayMs },
    seeds: group.length,
    load: over((cell) => cell.load).mean,
    qps: qps.mean,
    requests,
    lost: over((cell) => cell.lost).mean,
    attainment: attainment.mean,
    attainmentCi95: attainment.ci95,
    outOfReach: over((cell) => cell.outOfReach).mean,
    ttftP50Ms: overAll((cell) => cell.ttftMs.p50),
    ttftP90Ms: overAll((cell) => cell.ttftMs.p90),
    ttftP99Ms: overAll((cell) => cell.ttftMs.p99),
    hitRatio: over((cell) => cell.hitRatio).mean,
    hitShareOfLimit: overAll((cell) => cell.hitShareOfLimit),
    imbalanceCv: over((cell) => cell.imbalanceCv).mean,
    workMaxOverMean: over((cell) => cell.workMaxOverMean).mean,
    migrations: over((cell) => cell.migrations).mean,
    joined: joined === null ? null : { ...joined, atMs: over((cell) => cell.joined!.atMs).mean },
    backInMs: overAll((cell) => cell.backInMs),
    goodputQps: goodput ? qps.mean : null,
    ci95: goodput ? qps.ci95 : null,
  };
}
