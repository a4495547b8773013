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
  /** Share of the requests that arrived then and were answered in time; `null`: nothing joined. */
  readonly attainment: readonly (number | null)[] | null;
}

const partsInARow = 3;

/**
 * From a moment until the first of three parts in a row with this attainment. It begins with the
 * part that the moment lies in: 0 if that is the first of the three. Parts in which nothing arrived
 * are passed over. `null`: never.
 */
export function backInMs(
  attainment: readonly (number | null)[],
  partMs: number,
  fromMs: number,
  attainmentMin: number,
): number | null {
  const parts = attainment
    .map((share, part) => ({ share, startsMs: part * partMs }))
    .filter(({ share, startsMs }) => share !== null && startsMs + partMs > fromMs);
  const isBack = (at: number) => {
    const row = parts.slice(at, at + partsInARow);
    return row.length === partsInARow && row.every(({ share }) => share! >= attainmentMin);
  };
  const back = parts.find((_, at) => isBack(at));
  return back === undefined ? null : Math.max(0, back.startsMs - fromMs);
}

/** Shares of, and means over, the arrivals of each part. */
export class TimelineRecorder {
  readonly #endMs: number;
  readonly #counts = new Float64Array(timelineParts);
  readonly #imbalance = new Float64Array(timelineParts);
  readonly #waiting = new Float64Array(timelineParts);

  constructor(endMs: number) {
    this.#endMs = endMs;
  }

  sample(nowMs: number, imbalanceCv: number, waiting: number): void {
    const part = this.#partOf(nowMs);
    this.#counts[part]!++;
    this.#imbalance[part]! += imbalanceCv;
    this.#waiting[part]! += waiting;
  }

  get timeline(): Omit<Timeline, 'attainment'> {
    return {
      partMs: this.#endMs / timelineParts,
      imbalanceCv: this.#means(this.#imbalance, 3),
      waiting: this.#means(this.#waiting, 1),
    };
  }

  /** Of all that was sampled, each at its arrival. */
  attainment(arrivedMs: Float64Array, ttftMs: Float64Array, sloTtftMs: number): (number | null)[] {
    const met = new Float64Array(timelineParts);
    arrivedMs.forEach((nowMs, request) => {
      if (ttftMs[request]! <= sloTtftMs) met[this.#partOf(nowMs)]!++;
    });
    return this.#means(met, 3);
  }

  #partOf(nowMs: number): number {
    const share = this.#endMs === 0 ? 0 : nowMs / this.#endMs;
    return Math.min(timelineParts - 1, Math.floor(share * timelineParts));
  }

  #means(sums: Float64Array, digits: number): (number | null)[] {
    return Array.from(sums, (sum, part) => {
      const count = this.#counts[part]!;
      return count === 0 ? null : Number((sum / count).toFixed(digits));
    });
  }
}
