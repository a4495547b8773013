/**
 * What first tokens have told of each instance's speed: the last samples an instance, how far the
 * estimates were off, and the coefficients fitted from them, written to the fleet state. Main
 * thread only; it fits nothing itself and never has two fits under way.
 */
import type { FleetState, SpeedCoefficients } from '../core/fleet-state.ts';
import { sampleAt, sampleWords } from '../core/samples.ts';

/** Samples kept of one instance; the fit counts old ones less anyway. */
const windowSamples = 256;
/** A fit of fewer new ones would hardly say anything else. */
const newSamplesMin = 8;

export interface SpeedsOptions {
  /** False: the stated speed stays; samples still tell how far off it is. */
  readonly isFitted: boolean;
  readonly prefillMsPerToken: number;
}

/** Fits several instances: their samples, oldest first, and the stated speed. Never rejects. */
export type FitSpeeds = (
  jobs: readonly { readonly rows: Float64Array; readonly prefillMsPerToken: number }[],
) => Promise<readonly SpeedCoefficients[]>;

/** Of estimates against measured times over the samples kept; milliseconds. */
export interface EstimateError {
  readonly samples: number;
  readonly meanAbsoluteMs: number;
  /** Mean of estimate - measured: positive if the estimates are too long. */
  readonly biasMs: number;
}

export class Speeds {
  readonly #state: FleetState;
  readonly #options: SpeedsOptions;
  readonly #fit: FitSpeeds;
  readonly #windows: (SampleWindow | undefined)[] = [];
  #isFitting = false;
  #isStopped = false;

  constructor(state: FleetState, options: SpeedsOptions, fit: FitSpeeds) {
    this.#state = state;
    this.#options = options;
    this.#fit = fit;
  }

  /** Rows of an I/O thread (`SampleBuffer.take`). */
  take(rows: Float64Array): void {
    for (let at = 0; at < rows.length; at += sampleWords) {
      const row = rows.subarray(at, at + sampleWords);
      const slot = row[sampleAt.slot]!;
      const generation = row[sampleAt.generation]!;
      // Of an engine that has restarted since, or of an instance whose slot is another's now.
      if (generation !== this.#state.generation(slot)) continue;
      if (this.#windows[slot]?.generation !== generation) {
        this.#windows[slot] = new SampleWindow(generation);
      }
      this.#windows[slot].add(row);
    }
    void this.#fitDue();
  }

  error(slot: number): EstimateError {
    const window = this.#windows[slot];
    const isCurrent = window?.generation === this.#state.generation(slot);
    if (window === undefined || !isCurrent) return { samples: 0, meanAbsoluteMs: 0, biasMs: 0 };
    return window.error();
  }

  /** Nothing is fitted from now on. */
  stop(): void {
    this.#isStopped = true;
  }

  async #fitDue(): Promise<void> {
    if (!this.#options.isFitted || this.#isFitting) return;
    this.#isFitting = true;
    for (let due = this.#due(); due.length > 0 && !this.#isStopped; due = this.#due()) {
      const { prefillMsPerToken } = this.#options;
      const jobs = due.map(({ window }) => ({ rows: window.takeRows(), prefillMsPerToken }));
      const fitted = await this.#fit(jobs);
      for (const [index, { slot, window }] of due.entries()) {
        if (window.generation !== this.#state.generation(slot)) continue;
        const { baseMs, perTokenMs, perTokenContextMs, perRunningMs } = fitted[index]!;
        this.#state.setSpeed(slot, baseMs, perTokenMs, perTokenContextMs, perRunningMs);
      }
    }
    this.#isFitting = false;
  }

  #due(): { slot: number; window: SampleWindow }[] {
    return this.#windows.flatMap((window, slot) =>
      window !== undefined && window.newSamples >= newSamplesMin ? [{ slot, window }] : [],
    );
  }
}

/** The last samples of one generation of one instance. */
class SampleWindow {
  readonly generation: number;
  readonly #rows = new Float64Array(windowSamples * sampleWords);
  #added = 0;
  /** Since the last `takeRows`. */
  newSamples = 0;

  constructor(generation: number) {
    this.generation = generation;
  }

  add(row: Float64Array): void {
    this.#rows.set(row, (this.#added % windowSamples) * sampleWords);
    this.#added += 1;
    this.newSamples += 1;
  }

  /** A copy, oldest first. */
  takeRows(): Float64Array {
    this.newSamples = 0;
    if (this.#added <= windowSamples) return this.#rows.slice(0, this.#added * sampleWords);
    const oldestAt = (this.#added % windowSamples) * sampleWords;
    const rows = new Float64Array(this.#rows.length);
    rows.set(this.#rows.subarray(oldestAt));
    rows.set(this.#rows.subarray(0, oldestAt), rows.length - oldestAt);
    return rows;
  }

  error(): EstimateError {
    const samples = Math.min(this.#added, windowSamples);
    let absoluteMs = 0;
    let signedMs = 0;
    for (let at = 0; at < samples * sampleWords; at += sampleWords) {
      const offMs = this.#rows[at + sampleAt.estimateMs]! - this.#rows[at + sampleAt.ttftMs]!;
      absoluteMs += Math.abs(offMs);
      signedMs += offMs;
    }
    return { samples, meanAbsoluteMs: absoluteMs / samples, biasMs: signedMs / samples };
  }
}
