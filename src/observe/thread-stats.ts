/**
 * What one I/O thread counts: words in the fleet state that it alone writes and that main sums for
 * `/metrics`. Nothing is locked: a reader may see a histogram between two of its words.
 */
import type { FleetState } from '../core/fleet-state.ts';
import { type Ending, endings } from '../terms.ts';

/** Upper bounds in seconds; the last bucket is +Inf. Fine below 5 s, where an SLO would lie. */
export const secondsBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10,
  15, 20, 30, 60, 120, 300,
] as const;

export const counters = [
  'retries',
  'promptTokens',
  'completionTokens',
  'cachedTokens',
  'requestBytes',
  'requests',
  'unsent',
  'journalWritten',
  'journalLost',
] as const;
export type Counter = (typeof counters)[number];

export const histograms = ['ttft', 'duration', 'estimateError', 'queued'] as const;
export type HistogramName = (typeof histograms)[number];

/** Answers by their status class, 1xx to 5xx at index 1 to 5. */
const statusWords = 6;
const histogramWords = secondsBuckets.length + 3;
const endingsAt = 0;
const statusesAt = endingsAt + endings.length;
const countersAt = statusesAt + statusWords;
const histogramsAt = countersAt + counters.length;

export interface HistogramValues {
  /** Counts per bucket, not cumulated; one more than there are bounds. */
  readonly counts: number[];
  readonly sumSeconds: number;
}

export class ThreadStats {
  readonly #words: Float64Array;

  constructor(state: FleetState, thread: number) {
    this.#words = state.threadStats(thread);
  }

  countEnding(ending: Ending): void {
    this.#words[endingsAt + endings.indexOf(ending)]! += 1;
  }

  countStatus(status: number): void {
    this.#words[statusesAt + Math.floor(status / 100)]! += 1;
  }

  add(counter: Counter, amount: number): void {
    this.#words[countersAt + counters.indexOf(counter)]! += amount;
  }

  observe(name: HistogramName, seconds: number): void {
    const at = histogramsAt + histograms.indexOf(name) * histogramWords;
    let bucket = 0;
    while (bucket < secondsBuckets.length && seconds > secondsBuckets[bucket]!) bucket += 1;
    this.#words[at + bucket]! += 1;
    this.#words[at + secondsBuckets.length + 1]! += seconds;
  }

  ending(ending: Ending): number {
    return this.#words[endingsAt + endings.indexOf(ending)]!;
  }

  status(statusClass: number): number {
    return this.#words[statusesAt + statusClass]!;
  }

  counter(counter: Counter): number {
    return this.#words[countersAt + counters.indexOf(counter)]!;
  }

  histogram(name: HistogramName): HistogramValues {
    const at = histogramsAt + histograms.indexOf(name) * histogramWords;
    const counts = Array.from(this.#words.subarray(at, at + secondsBuckets.length + 1));
    return { counts, sumSeconds: this.#words[at + secondsBuckets.length + 1]! };
  }
}
