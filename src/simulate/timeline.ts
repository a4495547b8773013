/**
 * A scenario over its time, in a hundred parts from the first arrival to the last. Pure; belongs to
 * one scenario.
 */

export const timelineParts = 100;

/** One value a part; `null` where nothing arrived. */
export interface Timeline {
  readonly partMs: number;
  /** Coefficient of variation of the instances' pending prefill tokens. */
  readonly imbalanceCv: readonly (number | null)[];
  /** Requests that have arrived and have no first token yet. */
  readonly waiting: readonly (number | null)[];
}

/** Means over the arrivals of each part. */
export class TimelineRecorder {
  readonly #endMs: number;
  readonly #counts = new Float64Array(timelineParts);
  readonly #imbalance = new Float64Array(timelineParts);
  readonly #waiting = new Float64Array(timelineParts);

  constructor(endMs: number) {
    this.#endMs = endMs;
  }

  sample(nowMs: number, imbalanceCv: number, waiting: number): void {
    const share = this.#endMs === 0 ? 0 : nowMs / this.#endMs;
    const part = Math.min(timelineParts - 1, Math.floor(share * timelineParts));
    this.#counts[part]!++;
    this.#imbalance[part]! += imbalanceCv;
    this.#waiting[part]! += waiting;
  }

  get timeline(): Timeline {
    const means = (sums: Float64Array, digits: number) =>
      Array.from(sums, (sum, part) => {
        const count = this.#counts[part]!;
        return count === 0 ? null : Number((sum / count).toFixed(digits));
      });
    return {
      partMs: this.#endMs / timelineParts,
      imbalanceCv: means(this.#imbalance, 3),
      waiting: means(this.#waiting, 1),
    };
  }
}
