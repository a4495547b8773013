/**
 * Looks at every serving engine's own metrics again and again, and writes what they say into the
 * fleet state: a hint beside our own counts, which it never touches. Main thread only. One request
 * in flight an instance. An engine whose metrics cannot be had is asked less and less often; that
 * never makes it dead: health checks decide that.
 */
import type { Clock } from '../../clock.ts';
import type { FleetState } from '../../core/fleet-state.ts';
import type { EngineSample } from '../../observe/engine-metrics.ts';
import type { Probe } from '../health.ts';
import type { Instance } from '../registry.ts';
import { metricsPaths } from './names.ts';
import type { EngineReading } from './reading.ts';
import { scrapeEngine } from './scrape.ts';

export interface PollerOptions {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly bytesPerToken: number;
}

export interface PollerParts {
  /** Those of now: whoever joins is asked from then on, whoever leaves is forgotten. */
  instances(): readonly Instance[];
  readonly state: FleetState;
  readonly probe: Probe;
  readonly clock: Clock;
  /** 0 to below 1. */
  readonly random: () => number;
}

/** Told when it changes, not at every scrape. */
export interface PollerListener {
  onRead(instance: Instance, reading: EngineReading): void;
  onUnreadable(instance: Instance, cause: unknown): void;
}

interface Record {
  dueMs: number;
  isAsking: boolean;
  path: string;
  /** In a row. */
  failures: number;
  failuresTotal: number;
  /** Generation of the engine whose capacity is in the fleet state; 0: none told yet. */
  capacityGeneration: number;
  reading: EngineReading | null;
  readMs: number;
}

const tickMaxMs = 100;
const backoffMaxMs = 60_000;
const blockBytes = 512;
/** Polls drift apart by this share of the interval, or many routers would ask at once for ever. */
const jitter = 0.2;

export class MetricsPoller {
  readonly #options: PollerOptions;
  readonly #parts: PollerParts;
  readonly #listener: PollerListener;
  readonly #records = new WeakMap<Instance, Record>();
  #timer: NodeJS.Timeout | null = null;
  #isStopped = false;

  constructor(options: PollerOptions, parts: PollerParts, listener: PollerListener) {
    this.#options = options;
    this.#parts = parts;
    this.#listener = listener;
  }

  start(): void {
    const tickMs = Math.min(tickMaxMs, this.#options.intervalMs);
    this.#timer = setInterval(() => void this.tick(), tickMs);
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** Begins every poll that is due; resolves when those are done. Never rejects. */
  async tick(): Promise<void> {
    const { clock, state } = this.#parts;
    const nowMs = clock.nowMs();
    const polls: Promise<void>[] = [];
    for (const instance of this.#parts.instances()) {
      const record = this.#recordOf(instance, nowMs);
      if (record.isAsking || nowMs < record.dueMs) continue;
      if (state.state(instance.slot) === 'serving') polls.push(this.#poll(instance, record));
    }
    await Promise.all(polls);
  }

  /** What is known of every instance that was asked, for `/metrics`. */
  samples(): EngineSample[] {
    const nowMs = this.#parts.clock.nowMs();
    return this.#parts.instances().flatMap((instance) => {
      const record = this.#records.get(instance);
      if (record === undefined) return [];
      const { reading, readMs, failuresTotal } = record;
      const ageSeconds = (nowMs - readMs) / 1000;
      return [{ instance: instance.url, reading, ageSeconds, failuresTotal }];
    });
  }

  async #poll(instance: Instance, record: Record): Promise<void> {
    const { clock, state, probe } = this.#parts;
    const { slot, url } = instance;
    const generation = state.generation(slot);
    // The time of asking: the answer is no younger than that.
    const askedMs = clock.nowMs();
    const ask = (path: string) => probe(url, path, this.#options.timeoutMs);
    record.isAsking = true;
    try {
      const wantsCapacity = record.capacityGeneration !== generation;
      const { reading, path } = await scrapeEngine(ask, record.path, wantsCapacity);
      // Meanwhile the engine may have restarted, or the slot may be another instance's.
      if (this.#isStopped || state.generation(slot) !== generation) return;
      record.path = path;
      this.#take(instance, record, reading, askedMs);
    } catch (cause) {
      if (!this.#isStopped) this.#fail(instance, record, cause);
    } finally {
      record.isAsking = false;
      record.dueMs = askedMs + this.#pauseMs(record.failures);
    }
  }

  #take(instance: Instance, record: Record, reading: EngineReading, askedMs: number): void {
    const { state } = this.#parts;
    const { slot } = instance;
    const { waiting, running, kvUse, capacityTokens } = reading;
    state.setScraped(slot, { waiting, running, kvUse, atMs: askedMs });
    const generation = state.generation(slot);
    if (capacityTokens !== null && record.capacityGeneration !== generation) {
      const bytes = capacityTokens * this.#options.bytesPerToken;
      state.setCapacityBlocks(slot, bytes / blockBytes);
      record.capacityGeneration = generation;
    }
    const isNews = record.failures > 0 || record.reading?.kind !== reading.kind;
    record.failures = 0;
    record.reading = reading;
    record.readMs = askedMs;
    if (isNews) this.#listener.onRead(instance, reading);
  }

  #fail(instance: Instance, record: Record, cause: unknown): void {
    record.failures += 1;
    record.failuresTotal += 1;
    if (record.failures === 1) this.#listener.onUnreadable(instance, cause);
  }

  #pauseMs(failures: number): number {
    const { intervalMs } = this.#options;
    const doubled = intervalMs * 2 ** Math.min(failures, 20);
    const pauseMs = Math.min(doubled, Math.max(intervalMs, backoffMaxMs));
    return pauseMs * (1 + jitter * (this.#parts.random() - 0.5));
  }

  /** The first look comes within a tenth of the interval: the size of the cache is waited for. */
  #recordOf(instance: Instance, nowMs: number): Record {
    let record = this.#records.get(instance);
    if (record === undefined) {
      record = {
        dueMs: nowMs + this.#parts.random() * this.#options.intervalMs * 0.1,
        isAsking: false,
        path: metricsPaths[0],
        failures: 0,
        failuresTotal: 0,
        capacityGeneration: 0,
        reading: null,
        readMs: 0,
      };
      this.#records.set(instance, record);
    }
    return record;
  }
}
