/**
 * Means over seeds with their 95 % intervals, alone and in pairs. Pure.
 */

export interface Mean {
  readonly mean: number;
  /** Half of the 95 % confidence interval; `null` for fewer than two values. */
  readonly ci95: number | null;
}

/** Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom. */
const studentT = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145,
  2.131, 2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048,
  2.045, 2.042,
];

export function meanOf(values: readonly number[]): Mean {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  if (count < 2) return { mean, ci95: null };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (count - 1));
  return { mean, ci95: ((studentT[count - 2] ?? 1.96) * deviation) / Math.sqrt(count) };
}

/** A mean of ratios and its 95 % interval, which is not symmetric; `null` for fewer than two. */
export interface MeanRatio {
  readonly mean: number;
  readonly low: number | null;
  readonly high: number | null;
}

/** Mean of the differences of pairs. */
export function meanDifference(ours: readonly number[], theirs: readonly number[]): Mean {
  return meanOf(ours.map((our, index) => our - theirs[index]!));
}

/**
 * Geometric mean of the ratios of pairs: so twice as long and half as long cancel out. `null` if a
 * value is missing or not positive.
 */
export function meanRatio(
  ours: readonly (number | null)[],
  theirs: readonly (number | null)[],
): MeanRatio | null {
  const logs = ours.map((our, index) => Math.log((our ?? Number.NaN) / (theirs[index] ?? 0)));
  if (!logs.every(Number.isFinite)) return null;
  const { mean, ci95 } = meanOf(logs);
  const bound = (side: number) => (ci95 === null ? null : Math.exp(mean + side * ci95));
  return { mean: Math.exp(mean), low: bound(-1), high: bound(1) };
}
