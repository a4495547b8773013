/**
 * How fast an instance is, from first-token times observed on it: the coefficients of the sum in
 * native/core/estimate.h (algorithm.md sections 4 and 7). A pure function for the compute pool: no
 * timers, no state, never on the path of a request.
 *
 * Least squares, made safe four times: residuals count relative to the size of the expected time;
 * what lies far off counts less (Huber); what is old counts less; and a ridge pulls towards plain
 * proportion to the tokens, so that terms of which the samples say nothing stay zero. Coefficients
 * are never negative.
 */
import type { SpeedCoefficients } from '../core/fleet-state.ts';
import { sampleAt, sampleWords } from '../core/samples.ts';

/** A sample counts 1/e of one that is so many samples younger. */
const memorySamples = 128;
/** The stated speed counts as so many samples against the measured one. */
const priorSamples = 1;
/** The pull towards plain proportion, in samples. */
const ridgeSamples = 2;
/** Huber's usual bound: beyond so many deviations a residual counts by its size, not its square. */
const huberBound = 1.345;
/** From the median of absolute residuals to a standard deviation, of a normal distribution. */
const deviationOfMedian = 1.4826;
const roundsMax = 12;
/** Columns are about one, so this is a thousandth of a typical time. */
const settledBelow = 1e-3;

/** base, uncached tokens, own tokens by context, running requests. */
const terms = 4;

/** Rows scaled so that each residual and each column is about one. */
interface Problem {
  readonly count: number;
  /** Row by row, `terms` a row. */
  readonly features: Float64Array;
  readonly times: Float64Array;
  readonly recency: Float64Array;
  /** What a column was divided by; 0 if nothing is in it. */
  readonly scales: readonly number[];
  /** Plain proportion. */
  readonly target: readonly number[];
}

/**
 * `rows`: samples of one instance (`core/samples.ts`), oldest first. `prefillMsPerToken`: the
 * stated speed; without samples it is the answer.
 */
export function fitSpeed(rows: Float64Array, prefillMsPerToken: number): SpeedCoefficients {
  const perTokenMs = proportion(rows, prefillMsPerToken);
  if (rows.length === 0) return speedOf([0, perTokenMs, 0, 0]);
  const problem = problemOf(rows, perTokenMs);
  let solution: readonly number[] = problem.target;
  for (let round = 0; round < roundsMax; round += 1) {
    const weights = huberWeights(problem, solution);
    if (weights === null) break;
    const next = solve(problem, weights);
    const isSettled = next.every((value, k) => Math.abs(value - solution[k]!) < settledBelow);
    solution = next;
    if (isSettled) break;
  }
  return speedOf(solution.map((value, k) => value / nonZero(problem.scales[k]!)));
}

/** The pool's task: several instances at once. */
export function fitSpeeds(jobs: readonly FitJob[]): SpeedCoefficients[] {
  return jobs.map(({ rows, prefillMsPerToken }) => fitSpeed(rows, prefillMsPerToken));
}

export interface FitJob {
  readonly rows: Float64Array;
  readonly prefillMsPerToken: number;
}

const nonZero = (value: number) => (value === 0 ? 1 : value);

function speedOf(values: readonly number[]): SpeedCoefficients {
  const [baseMs, perTokenMs, perTokenContextMs, perRunningMs] = values as [
    number,
    number,
    number,
    number,
  ];
  return { baseMs, perTokenMs, perTokenContextMs, perRunningMs };
}

const uncachedTokens = (rows: Float64Array, at: number) =>
  rows[at + sampleAt.aheadTokens]! + rows[at + sampleAt.uncachedTokens]!;

/**
 * Time a token if it were nothing but proportional: the median of the ratios, weighted by tokens,
 * which is the line through the origin with the least absolute error. Blended with the stated
 * speed by their logarithms, as that one may be off by a factor.
 */
function proportion(rows: Float64Array, prefillMsPerToken: number): number {
  const ratios: { ratio: number; weight: number }[] = [];
  const count = rows.length / sampleWords;
  for (let index = 0; index < count; index += 1) {
    const at = index * sampleWords;
    const tokens = uncachedTokens(rows, at);
    const weight = tokens * recencyOf(index, count);
    ratios.push({ ratio: rows[at + sampleAt.ttftMs]! / tokens, weight });
  }
  if (count === 0) return prefillMsPerToken;
  ratios.sort((left, right) => left.ratio - right.ratio);
  const half = ratios.reduce((sum, { weight }) => sum + weight, 0) / 2;
  let passed = 0;
  const middle = ratios.find(({ weight }) => {
    passed += weight;
    return passed >= half;
  });
  const measured = middle?.ratio ?? prefillMsPerToken;
  const stated = Math.log(prefillMsPerToken) * priorSamples;
  return Math.exp((stated + Math.log(measured) * count) / (priorSamples + count));
}

const recencyOf = (index: number, count: number) => Math.exp((index + 1 - count) / memorySamples);

function problemOf(rows: Float64Array, perTokenMs: number): Problem {
  const count = rows.length / sampleWords;
  const features = new Float64Array(count * terms);
  const times = new Float64Array(count);
  const recency = times.map((_time, index) => recencyOf(index, count));
  const typicalMs = median(times.map((_time, index) => ttftOf(rows, index)));
  for (let index = 0; index < count; index += 1) {
    const at = index * sampleWords;
    const own = rows[at + sampleAt.uncachedTokens]!;
    const all = uncachedTokens(rows, at);
    // Long waits scatter more than short ones. By the expected time, since the measured one would
    // give the most weight to whatever came too early.
    const size = typicalMs + perTokenMs * all;
    features[index * terms] = 1 / size;
    features[index * terms + 1] = all / size;
    features[index * terms + 2] = (own * (rows[at + sampleAt.promptTokens]! - own / 2)) / size;
    features[index * terms + 3] = rows[at + sampleAt.running]! / size;
    times[index] = ttftOf(rows, index) / size;
  }
  const scales = scaleColumns(features, recency);
  return { count, features, times, recency, scales, target: [0, perTokenMs * scales[1]!, 0, 0] };
}

const ttftOf = (rows: Float64Array, index: number) => rows[index * sampleWords + sampleAt.ttftMs]!;

/** Divides each column by its root mean square. */
function scaleColumns(features: Float64Array, recency: Float64Array): number[] {
  const total = recency.reduce((sum, weight) => sum + weight, 0);
  const scales: number[] = [];
  for (let k = 0; k < terms; k += 1) {
    let squares = 0;
    recency.forEach((weight, index) => {
      squares += weight * features[index * terms + k]! ** 2;
    });
    const scale = Math.sqrt(squares / total);
    scales.push(scale);
    recency.forEach((_weight, index) => {
      features[index * terms + k]! /= nonZero(scale);
    });
  }
  return scales;
}

/** `null` if nothing is left to explain. */
function huberWeights(problem: Problem, solution: readonly number[]): Float64Array | null {
  const residuals = problem.times.map((time, index) => {
    let expected = 0;
    for (let k = 0; k < terms; k += 1) {
      expected += problem.features[index * terms + k]! * solution[k]!;
    }
    return Math.abs(time - expected);
  });
  const bound = huberBound * deviationOfMedian * median(residuals);
  if (bound === 0) return null;
  return residuals.map((residual, index) => {
    const weight = residual <= bound ? 1 : bound / residual;
    return weight * problem.recency[index]!;
  });
}

function median(values: Float64Array): number {
  const sorted = values.toSorted();
  const middle = sorted.length >> 1;
  const upper = sorted[middle]!;
  return sorted.length % 2 === 1 ? upper : (upper + sorted[middle - 1]!) / 2;
}

/**
 * The weighted ridge solution without negative coefficients: the best of those over every subset
 * of the terms, the others zero. There are sixteen.
 */
function solve(problem: Problem, weights: Float64Array): number[] {
  const { matrix, right } = normalEquations(problem, weights);
  let best = [0, 0, 0, 0];
  let bestCost = 0;
  for (let subset = 1; subset < 1 << terms; subset += 1) {
    const used = [0, 1, 2, 3].filter((k) => (subset >> k) & 1 && problem.scales[k]! > 0);
    const found = solveFor(matrix, right, used);
    if (found.some((value) => !(value >= 0))) continue;
    const cost = costOf(matrix, right, found);
    if (cost >= bestCost) continue;
    best = found;
    bestCost = cost;
  }
  return best;
}

function normalEquations({ features, times, target }: Problem, weights: Float64Array) {
  const matrix = [0, 1, 2, 3].map((k) => [0, 1, 2, 3].map((m) => (k === m ? ridgeSamples : 0)));
  const right = target.map((value) => value * ridgeSamples);
  weights.forEach((weight, index) => {
    for (let k = 0; k < terms; k += 1) {
      const feature = weight * features[index * terms + k]!;
      right[k]! += feature * times[index]!;
      for (let m = 0; m < terms; m += 1) matrix[k]![m]! += feature * features[index * terms + m]!;
    }
  });
  return { matrix, right };
}

/** Solves for the terms in `used`, the others zero. The ridge keeps it well away from singular. */
function solveFor(matrix: number[][], right: number[], used: readonly number[]): number[] {
  const size = used.length;
  const rows = used.map((k) => [...used.map((m) => matrix[k]![m]!), right[k]!]);
  for (let pivot = 0; pivot < size; pivot += 1) {
    for (let row = pivot + 1; row < size; row += 1) {
      const factor = rows[row]![pivot]! / rows[pivot]![pivot]!;
      for (let at = pivot; at <= size; at += 1) rows[row]![at]! -= factor * rows[pivot]![at]!;
    }
  }
  const found = [0, 0, 0, 0];
  for (let row = size - 1; row >= 0; row -= 1) {
    let value = rows[row]![size]!;
    for (let at = row + 1; at < size; at += 1) value -= rows[row]![at]! * found[used[at]!]!;
    found[used[row]!] = value / rows[row]![row]!;
  }
  return found;
}

/** Half the squared error, but for a constant. */
function costOf(matrix: number[][], right: number[], found: readonly number[]): number {
  return found.reduce((sum, value, k) => {
    const curved = matrix[k]!.reduce((row, entry, m) => row + entry * found[m]!, 0);
    return sum + value * (curved / 2 - right[k]!);
  }, 0);
}
