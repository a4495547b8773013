/**
 * What several rounds of one measurement say together. Pure.
 */

/** A figure over several rounds. `runs` keeps the order of the rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly runs: readonly number[];
}

/** The middle value; of an even number of values the mean of the two in the middle. */
export function medianOf(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('the median of nothing');
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** `null`: no round has a figure. */
export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const runs = values.filter((value) => value !== null);
  if (runs.length === 0) return null;
  return { median: medianOf(runs), min: Math.min(...runs), max: Math.max(...runs), runs };
}

/**
 * Both figures of every round combined, then their spread. Figures of different rounds are never
 * set against each other: the machine may have changed in between. A round that lacks one counts
 * for none.
 */
export function pairedSpread(
  ours: readonly (number | null)[],
  theirs: readonly (number | null)[],
  combine: (our: number, their: number) => number,
): Spread | null {
  return spreadOf(
    ours.map((our, round) => {
      const their = theirs[round] ?? null;
      return our === null || their === null ? null : combine(our, their);
    }),
  );
}

export const ratio = (our: number, their: number): number => our / their;
export const difference = (our: number, their: number): number => our - their;
