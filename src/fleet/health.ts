/**
 * Asks every instance for its health and its models, and tells the registry. Main thread only. It
 * never touches a load counter: what is in flight stays counted whatever a check says.
 */
import type { Instance, ModelEntry } from './instance.ts';
import type { Registry } from './registry.ts';

export interface ProbeAnswer {
  readonly status: number;
  readonly body: string;
}

/** GETs a path of an instance; rejects on any failure, and after `timeoutMs`. */
export type Probe = (url: string, path: string, timeoutMs: number) => Promise<ProbeAnswer>;

export interface HealthOptions {
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Checks in a row that must fail before an instance is dead, and pass before it serves again. */
  readonly failureThreshold: number;
  readonly successThreshold: number;
}

export interface HealthListener {
  onServing(instance: Instance): void;
  /** The instance is dead: what waits for its first token goes elsewhere. */
  onDead(instance: Instance, cause: unknown): void;
}

interface Record {
  failures: number;
  successes: number;
  isServing: boolean;
  /** It refused a connection or was dead: its cache is gone when it comes back. */
  hasStopped: boolean;
}

export class HealthChecks {
  readonly #registry: Registry;
  readonly #probe: Probe;
  readonly #options: HealthOptions;
  readonly #listener: HealthListener;
  readonly #records = new Map<Instance, Record>();
  readonly #timers = new Map<Instance, NodeJS.Timeout>();
  #isStopped = false;

  constructor(registry: Registry, probe: Probe, options: HealthOptions, listener: HealthListener) {
    this.#registry = registry;
    this.#probe = probe;
    this.#options = options;
    this.#listener = listener;
  }

  /** Checks every instance once, then goes on by itself. Resolves after the first round. */
  async start(): Promise<void> {
    await Promise.all(this.#registry.instances.map((instance) => this.watch(instance)));
  }

  /** Checks an instance now, then goes on by itself. Resolves after the first check. */
  async watch(instance: Instance): Promise<void> {
    if (this.#records.has(instance)) return;
    this.#recordOf(instance);
    await this.#run(instance);
  }

  /** It has left the fleet: what a check under way finds no longer counts. */
  forget(instance: Instance): void {
    clearTimeout(this.#timers.get(instance));
    this.#timers.delete(instance);
    this.#records.delete(instance);
  }

  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  async #run(instance: Instance): Promise<void> {
    await this.check(instance);
    if (this.#isStopped || !this.#records.has(instance)) return;
    const timer = setTimeout(() => void this.#run(instance), this.#options.intervalMs);
    this.#timers.set(instance, timer);
  }

  /** One check of one instance. Never rejects. */
  async check(instance: Instance): Promise<void> {
    const record = this.#recordOf(instance);
    try {
      const health = await this.#probe(instance.url, this.#options.path, this.#options.timeoutMs);
      if (health.status !== 200) throw new Error(`health check answered ${health.status}`);
      const models = await this.#modelsOf(instance);
      if (this.#isWatched(instance, record)) this.#pass(instance, record, models);
    } catch (cause) {
      if (this.#isWatched(instance, record)) this.#fail(instance, record, cause);
    }
  }

  #isWatched(instance: Instance, record: Record): boolean {
    return !this.#isStopped && this.#records.get(instance) === record;
  }

  /**
   * An instance that lists nothing usable serves any model. One that will not say just now, being
   * too busy, serves what it did.
   */
  async #modelsOf(instance: Instance): Promise<readonly ModelEntry[]> {
    if (instance.configuredModels !== null) return [];
    const answer = await this.#probe(instance.url, '/v1/models', this.#options.timeoutMs);
    if (answer.status === 200) return modelEntries(answer.body);
    return answer.status >= 500 || answer.status === 429 ? instance.models : [];
  }

  #pass(instance: Instance, record: Record, models: readonly ModelEntry[]): void {
    record.failures = 0;
    record.successes += 1;
    const isFirst = !instance.isKnown;
    if (!isFirst && !record.isServing && record.successes < this.#options.successThreshold) return;
    this.#registry.markServing(instance, models, record.hasStopped && !isFirst);
    record.hasStopped = false;
    if (record.isServing) return;
    record.isServing = true;
    this.#listener.onServing(instance);
  }

  #fail(instance: Instance, record: Record, cause: unknown): void {
    record.successes = 0;
    record.failures += 1;
    if (isRefusal(cause)) record.hasStopped = true;
    if (!record.isServing || record.failures < this.#options.failureThreshold) return;
    record.isServing = false;
    record.hasStopped = true;
    this.#registry.markDead(instance);
    this.#listener.onDead(instance, cause);
  }

  #recordOf(instance: Instance): Record {
    let record = this.#records.get(instance);
    if (record === undefined) {
      record = { failures: 0, successes: 0, isServing: false, hasStopped: false };
      this.#records.set(instance, record);
    }
    return record;
  }
}

function isRefusal(cause: unknown): boolean {
  for (let at = cause; at instanceof Error; at = at.cause) {
    if ((at as NodeJS.ErrnoException).code === 'ECONNREFUSED') return true;
  }
  return false;
}

/** The usable entries of a `/v1/models` answer: objects with a non-empty string `id`. */
export function modelEntries(body: string): ModelEntry[] {
  let answer: unknown;
  try {
    answer = JSON.parse(body);
  } catch {
    // Not JSON: an engine without this route. It lists nothing.
    return [];
  }
  const data =
    typeof answer === 'object' && answer !== null && 'data' in answer ? answer.data : null;
  if (!Array.isArray(data)) return [];
  return data.filter(
    (entry): entry is ModelEntry =>
      typeof entry === 'object' &&
      entry !== null &&
      typeof entry.id === 'string' &&
      entry.id !== '',
  );
}
