/**
 * What routers see of the engines' metrics: every router reads all of them again and again, each
 * at moments of its own, and gets them some time later. Pure; time is the simulation's.
 */
import type { Scraped } from '../core/fleet-state.ts';
import { createRandom } from '../replay/random.ts';
import type { Engine } from './engine.ts';
import { EventHeap } from './event-heap.ts';
import type { Placer } from './placer.ts';

export interface ScrapeSetting {
  readonly intervalMs: number;
  /** From the moment that they show until they are seen. */
  readonly ageMs: number;
  readonly seed: number;
}

interface View {
  readonly placer: Placer;
  readonly atMs: number;
  /** By instance. */
  readonly metrics: readonly Scraped[];
}

/** As those of `fleet/engines/poller.ts`. */
const jitter = 0.2;

export class Scrapes {
  /** It may grow. */
  readonly #engines: readonly Engine[];
  readonly #placers: readonly Placer[];
  readonly #setting: ScrapeSetting;
  readonly #random: () => number;
  /** Router by the time at which it looks. */
  readonly #asking = new EventHeap();
  /** Of one age all: in order of time. */
  readonly #underWay: View[] = [];

  constructor(engines: readonly Engine[], placers: readonly Placer[], setting: ScrapeSetting) {
    this.#engines = engines;
    this.#placers = placers;
    this.#setting = setting;
    this.#random = createRandom(setting.seed ^ 0x5c4a);
    this.#begin(0);
  }

  get nextMs(): number {
    return Math.min(this.#asking.nextMs, this.#seenMs);
  }

  /**
   * No engine does anything before `untilMs`: whatever is read until then is the same, so it is
   * read once.
   */
  skip(untilMs: number): void {
    const atMs = untilMs - this.#setting.ageMs;
    const metrics = this.#metricsAt(atMs);
    for (const placer of this.#placers) this.#show({ placer, atMs, metrics });
    this.#begin(untilMs);
  }

  /** Does what is due at `nextMs`. */
  advance(): void {
    if (this.#seenMs <= this.#asking.nextMs) this.#show(this.#underWay.shift()!);
    else this.#ask();
  }

  get #seenMs(): number {
    const first = this.#underWay[0];
    return first === undefined ? Number.POSITIVE_INFINITY : first.atMs + this.#setting.ageMs;
  }

  /** Every router at a moment of its own. */
  #begin(fromMs: number): void {
    this.#underWay.length = 0;
    while (this.#asking.size > 0) this.#asking.pop();
    this.#placers.forEach((_, at) => {
      this.#asking.push(fromMs + this.#random() * this.#setting.intervalMs, at);
    });
  }

  #metricsAt(atMs: number): Scraped[] {
    return this.#engines.map(({ waiting, running, kvUse }) => ({ waiting, running, kvUse, atMs }));
  }

  #ask(): void {
    const atMs = this.#asking.nextMs;
    const at = this.#asking.pop();
    this.#underWay.push({ placer: this.#placers[at]!, atMs, metrics: this.#metricsAt(atMs) });
    const pauseMs = this.#setting.intervalMs * (1 + jitter * (this.#random() - 0.5));
    this.#asking.push(atMs + pauseMs, at);
  }

  #show({ placer, metrics }: View): void {
    metrics.forEach((seen, instance) => {
      placer.scraped?.(instance, seen);
    });
  }
}
