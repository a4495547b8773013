import type { SpeedCoefficients } from '../../src/core/fleet-state.ts';
import { sampleAt, sampleFields, sampleWords } from '../../src/core/samples.ts';
import { Random } from './random.ts';

/**
 * An instance whose speed is known, and requests to it: what a fit is given and what it should
 * find. Times follow the sum of native/core/estimate.h, written down a second time.
 */

export interface SentRequest {
  readonly aheadTokens: number;
  readonly uncachedTokens: number;
  readonly promptTokens: number;
  readonly running: number;
}

export function ttftOf(speed: SpeedCoefficients, request: SentRequest): number {
  const { aheadTokens, uncachedTokens: own, promptTokens, running } = request;
  return (
    speed.baseMs +
    speed.perTokenMs * (aheadTokens + own) +
    speed.perTokenContextMs * own * (promptTokens - own / 2) +
    speed.perRunningMs * running
  );
}

export class InstanceModel {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  /** 0..1. */
  #uniform(): number {
    return this.#random.below(2 ** 31) / 2 ** 31;
  }

  #normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.#uniform()));
    return radius * Math.cos(2 * Math.PI * this.#uniform());
  }

  /** From small to `times` as much, evenly by the logarithm. */
  #between(small: number, times: number): number {
    return small * times ** this.#uniform();
  }

  /** From a small engine on a large machine to the other way round. */
  speed(): SpeedCoefficients {
    const perTokenMs = this.#between(0.02, 25);
    // At 20,000 tokens of context a token costs up to half as much again.
    const contextShare = this.#random.chance(50) ? 0 : this.#uniform() / 2;
    return {
      baseMs: this.#between(2, 50),
      perTokenMs,
      perTokenContextMs: (perTokenMs * contextShare) / 20_000,
      perRunningMs: this.#uniform() * 2,
    };
  }

  request(): SentRequest {
    const promptTokens = Math.min(40_000, 10 + Math.round(2_000 * Math.exp(1.2 * this.#normal())));
    const share = this.#random.chance(40) ? 1 - 0.95 * this.#uniform() : 1;
    return {
      aheadTokens: this.#random.chance(50) ? 0 : this.#random.below(20_000),
      uncachedTokens: Math.max(1, Math.round(promptTokens * share)),
      promptTokens,
      running: this.#random.below(40),
    };
  }

  /** A tenth of noise, two milliseconds of lateness, and one time of twenty far off. */
  measured(exactMs: number): number {
    const noisyMs = exactMs * Math.exp(0.1 * this.#normal()) + 2 * Math.abs(this.#normal());
    if (!this.#random.chance(5)) return noisyMs;
    return this.#random.chance(80) ? noisyMs * 5 : noisyMs / 5;
  }

  samples(speed: SpeedCoefficients, count: number): Float64Array {
    return rowsOf(
      Array.from({ length: count }, () => {
        const request = this.request();
        return { ...request, ttftMs: this.measured(ttftOf(speed, request)) };
      }),
    );
  }
}

type Sample = Partial<Record<(typeof sampleFields)[number], number>>;

/** Rows as an I/O thread hands them over; what a sample leaves out is 0. */
export function rowsOf(samples: readonly Sample[]): Float64Array {
  const rows = new Float64Array(samples.length * sampleWords);
  samples.forEach((sample, index) => {
    for (const field of sampleFields) {
      rows[index * sampleWords + sampleAt[field]] = sample[field] ?? 0;
    }
  });
  return rows;
}
