import type { Outcome } from './call.ts';

/**
 * Adds up the outcomes of a run. The one place of a replay where a percentile is computed. Main
 * thread.
 */

export interface TallySettings {
  /** Of life, not of the scaled run. */
  readonly sloTtftMs: number;
  readonly speed: number;
}

/** Share of the scaled SLO that the 99th percentile of send lateness may reach. */
export const sendLateShareMax = 0.02;

export interface InstanceShare {
  readonly requests: number;
  /** Cached tokens / prompt tokens of this instance's answers; `null` if none tells. */
  readonly cachedShare: number | null;
}

/** TTFTs are in unscaled milliseconds (measured x speed), lateness in real ones. */
export interface Measurements {
  /** Requests with an outcome: completed, errors and lost. */
  readonly requests: number;
  readonly errors: number;
  readonly lost: number;
  /** Cut off by an interrupt; in none of the other figures. */
  readonly abandoned: number;
  /** Share of `requests` completed with TTFT <= SLO; errors and lost are misses. */
  readonly attainment: number | null;
  /** Over completed requests. */
  readonly ttftMs: {
    readonly p50: number | null;
    readonly p90: number | null;
    readonly p99: number | null;
  };
  /** Sum of cached tokens / sum of prompt tokens, from usage; `null` if no answer tells. */
  readonly hitRatio: number | null;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly perInstance: Readonly<Record<string, InstanceShare>>;
  /** Errors and lost requests by what happened. */
  readonly failures: Readonly<Record<string, number>>;
  readonly sendLateMs: { readonly p99: number | null; readonly limit: number };
}

/** Nearest rank: the smallest value that at least `percent` % of the values do not exceed. */
export function percentile(ascending: readonly number[], percent: number): number | null {
  const rank = Math.max(1, Math.ceil((percent * ascending.length) / 100));
  return ascending[rank - 1] ?? null;
}

class TokenSum {
  requests = 0;
  promptTokens = 0;
  cachedTokens = 0;
  #told = false;

  add({ usage }: Outcome): void {
    this.requests++;
    if (usage === null) return;
    this.promptTokens += usage.promptTokens;
    // vLLM leaves the field out when nothing was cached: that counts as 0 as long as others tell.
    this.cachedTokens += usage.cachedTokens ?? 0;
    if (usage.cachedTokens !== null) this.#told = true;
  }

  get share(): number | null {
    return this.#told && this.promptTokens > 0 ? this.cachedTokens / this.promptTokens : null;
  }
}

export class Tally {
  readonly #settings: TallySettings;
  readonly #ttftsMs: number[] = [];
  readonly #sendLatesMs: number[] = [];
  readonly #tokens = new TokenSum();
  readonly #instances = new Map<string, TokenSum>();
  readonly #failures = new Map<string, number>();
  #requests = 0;
  #errors = 0;
  #lost = 0;
  #abandoned = 0;
  #attained = 0;

  constructor(settings: TallySettings) {
    this.#settings = settings;
  }

  add(outcome: Outcome): void {
    this.#sendLatesMs.push(outcome.sendLateMs);
    if (outcome.kind === 'abandoned') {
      this.#abandoned++;
      return;
    }
    this.#requests++;
    if (outcome.kind === 'completed') {
      this.#addCompleted(outcome);
      return;
    }
    if (outcome.kind === 'error') this.#errors++;
    else this.#lost++;
    this.#failures.set(outcome.reason, (this.#failures.get(outcome.reason) ?? 0) + 1);
  }

  #addCompleted(outcome: Outcome): void {
    if (outcome.ttftMs === null) throw new Error('invariant: completed without a first token');
    const ttftMs = outcome.ttftMs * this.#settings.speed;
    this.#ttftsMs.push(ttftMs);
    if (ttftMs <= this.#settings.sloTtftMs) this.#attained++;
    this.#tokens.add(outcome);
    if (outcome.instance === null) return;
    const sum = this.#instances.get(outcome.instance) ?? new TokenSum();
    this.#instances.set(outcome.instance, sum);
    sum.add(outcome);
  }

  measurements(): Measurements {
    const ttftsMs = this.#ttftsMs.toSorted((a, b) => a - b);
    const sendLatesMs = this.#sendLatesMs.toSorted((a, b) => a - b);
    const { sloTtftMs, speed } = this.#settings;
    const instances = [...this.#instances].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      requests: this.#requests,
      errors: this.#errors,
      lost: this.#lost,
      abandoned: this.#abandoned,
      attainment: this.#requests === 0 ? null : this.#attained / this.#requests,
      ttftMs: {
        p50: percentile(ttftsMs, 50),
        p90: percentile(ttftsMs, 90),
        p99: percentile(ttftsMs, 99),
      },
      hitRatio: this.#tokens.share,
      promptTokens: this.#tokens.promptTokens,
      cachedTokens: this.#tokens.cachedTokens,
      perInstance: Object.fromEntries(
        instances.map(([url, sum]) => [url, { requests: sum.requests, cachedShare: sum.share }]),
      ),
      failures: Object.fromEntries([...this.#failures].sort(([a], [b]) => (a < b ? -1 : 1))),
      sendLateMs: {
        p99: percentile(sendLatesMs, 99),
        limit: (sendLateShareMax * sloTtftMs) / speed,
      },
    };
  }
}
