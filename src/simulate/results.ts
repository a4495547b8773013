/**
 * What a scenario measured, in the words of the JSON output. Pure; any thread.
 */
import { type Timeline, TimelineRecorder } from './timeline.ts';

/** Goodput is the highest rate at which this share of the requests is in time. */
export const attainmentMin = 0.9;

/** Of everything that happened to the requests of one scenario. */
export class Ledger {
  readonly #count: number;
  readonly #arrivedMs: Float64Array;
  readonly ttftMs: Float64Array;
  readonly cachedTokens: Int32Array;
  /** Prompt tokens sent to each instance and not yet computed, as its cache was on arrival. */
  readonly #pending: number[];
  readonly #pendingOf: Int32Array;
  readonly #instanceOf: Int32Array;
  #pendingSum = 0;
  #pendingSquares = 0;
  #imbalanceSum = 0;
  #imbalanceCount = 0;
  /** Arrived, and neither answered nor lost. */
  #waiting = 0;
  readonly #recorder: TimelineRecorder;

  constructor(count: number, instances: number, arrivedMs: Float64Array) {
    this.#count = count;
    this.#arrivedMs = arrivedMs;
    // What never gets a first token is a miss whatever the objective.
    this.ttftMs = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
    this.cachedTokens = new Int32Array(count);
    this.#pending = new Array<number>(instances).fill(0);
    this.#pendingOf = new Int32Array(count);
    this.#instanceOf = new Int32Array(count);
    this.#recorder = new TimelineRecorder(arrivedMs.at(-1) ?? 0);
  }

  /** Once for each request, before it is placed: what is averaged, a request sees. */
  arrived(request: number): void {
    const imbalance = this.#imbalance();
    this.#recorder.sample(this.#arrivedMs[request]!, imbalance ?? 0, this.#waiting);
    this.#waiting++;
    if (imbalance === null) return;
    this.#imbalanceSum += imbalance;
    this.#imbalanceCount++;
  }

  /** So many instances more are there from now on. */
  joined(instances: number): void {
    this.#pending.push(...new Array<number>(instances).fill(0));
  }

  dispatched(request: number, instance: number, uncachedTokens: number): void {
    this.#pendingOf[request] = uncachedTokens;
    this.#instanceOf[request] = instance;
    this.#addPending(instance, uncachedTokens);
  }

  firstToken(request: number, cachedTokens: number, nowMs: number): void {
    this.#waiting--;
    this.ttftMs[request] = nowMs - this.#arrivedMs[request]!;
    this.cachedTokens[request] = cachedTokens;
    this.#addPending(this.#instanceOf[request]!, -this.#pendingOf[request]!);
  }

  /** Never sent to an engine. */
  turnedAway(): void {
    this.#waiting--;
  }

  refused(request: number): void {
    this.#waiting--;
    this.#addPending(this.#instanceOf[request]!, -this.#pendingOf[request]!);
  }

  /** Coefficient of variation of the instances' pending prefill tokens, mean over arrivals. */
  get imbalanceCv(): number {
    return this.#imbalanceCount === 0 ? 0 : this.#imbalanceSum / this.#imbalanceCount;
  }

  get timeline(): Omit<Timeline, 'attainment'> {
    return this.#recorder.timeline;
  }

  /** Of the parts of the timeline. */
  attainmentByPart(sloTtftMs: number): (number | null)[] {
    return this.#recorder.attainment(this.#arrivedMs, this.ttftMs, sloTtftMs);
  }

  /** Percentiles, attainment and hits over the requests from `warmup` on. */
  summarize(warmup: number, sloTtftMs: number, inputTokens: Int32Array, limit: Int32Array) {
    const ttftMs = this.ttftMs.slice(warmup).sort();
    const requests = this.#count - warmup;
    let met = 0;
    while (met < requests && ttftMs[met]! <= sloTtftMs) met++;
    let promptTokens = 0;
    let hitTokens = 0;
    let limitTokens = 0;
    for (let request = warmup; request < this.#count; request++) {
      promptTokens += inputTokens[request]!;
      hitTokens += this.cachedTokens[request]!;
      limitTokens += limit[request]!;
    }
    const percentile = (share: number) => {
      const value = ttftMs[Math.ceil(share * requests) - 1]!;
      return Number.isFinite(value) ? value : null;
    };
    return {
      requests,
      attainment: met / requests,
      ttftMs: { p50: percentile(0.5), p90: percentile(0.9), p99: percentile(0.99) },
      hitRatio: hitTokens / promptTokens,
      hitShareOfLimit: limitTokens === 0 ? null : hitTokens / limitTokens,
    };
  }

  /** `null`: nothing is pending anywhere. */
  #imbalance(): number | null {
    if (this.#pendingSum === 0) return null;
    // Whole numbers below 2^53 have exact sums: no drift.
    const ratio = (this.#pending.length * this.#pendingSquares) / this.#pendingSum ** 2;
    return Math.sqrt(Math.max(0, ratio - 1));
  }

  #addPending(instance: number, tokens: number): void {
    const before = this.#pending[instance]!;
    this.#pending[instance] = before + tokens;
    this.#pendingSum += tokens;
    this.#pendingSquares += tokens * (2 * before + tokens);
  }
}

/** What came to the fleet during a run. */
export interface Joined {
  readonly instances: number;
  /** From the first arrival. */
  readonly atMs: number;
}

/** One scenario's result. Shares are 0..1, times milliseconds, rates requests a second. */
export interface Cell {
  readonly trace: string;
  readonly preset: string;
  readonly policy: string;
  readonly queue: 'direct' | 'router';
  readonly routers: number;
  /** From the start. */
  readonly instances: number;
  readonly viewDelayMs: number;
  /** `qps` as a share of warm saturation of the instances that were there from the start. */
  readonly load: number;
  readonly qps: number;
  readonly seed: number;
  /** Those that count: all but the warm-up. */
  readonly requests: number;
  /** Turned away or refused, the warm-up included; each is a miss. */
  readonly lost: number;
  readonly attainment: number;
  /** Share of those that an idle engine with an infinite cache would answer too late. */
  readonly outOfReach: number;
  /** Nearest rank over all requests; `null`: so many were lost. */
  readonly ttftMs: {
    readonly p50: number | null;
    readonly p90: number | null;
    readonly p99: number | null;
  };
  /** Prompt tokens that engines had in their caches. */
  readonly hitRatio: number;
  /** The same as a share of what one infinite cache would give; `null`: that is nothing. */
  readonly hitShareOfLimit: number | null;
  readonly imbalanceCv: number;
  /** Work of the busiest instance over the mean. */
  readonly workMaxOverMean: number;
  readonly migrations: number;
  /** `null`: the fleet stayed as it was. */
  readonly joined: Joined | null;
  /** From the join until attainment is back (`backInMs`); `null`: never, or nothing joined. */
  readonly backInMs: number | null;
  readonly timeline: Timeline;
}
