import { PrefixCache } from './prefix-cache.ts';

/**
 * Owns the simulated engine: who waits, who is prefilled, who decodes, and when each of them gets a
 * token. Pure logic on one thread: time comes in as a number of milliseconds, nothing here waits,
 * listens or reads a clock. Everything is scheduled from the moment it was due and not from the
 * moment it was noticed, so lateness of the caller's timer never adds up.
 */

export interface EngineSpeed {
  readonly prefillPerTokenUs: number;
  readonly decodeStepMs: number;
  readonly timeScale: number;
  readonly blockTokens: number;
  readonly cacheBlocksMax: number;
}

export interface Work {
  readonly promptTokens: number;
  /** Hashes of the prompt's full blocks, first block first. */
  readonly blocks: readonly string[];
  /** Tokens to produce; 0 ends with the prefill (embeddings). */
  readonly outputTokens: number;
}

/** Called in `advance` with the tokens that became due since the last call. */
export type JobListener = (job: Job, newTokens: number) => void;

type JobState = 'waiting' | 'prefilling' | 'decoding' | 'finished' | 'cancelled';

/** One request inside the engine. Only the engine changes it. */
export class Job {
  readonly work: Work;
  readonly arrivedMs: number;
  readonly listener: JobListener;
  state: JobState = 'waiting';
  /** Prompt tokens found in the prefix cache; known once prefill begins. */
  cachedTokens = 0;
  producedTokens = 0;
  /** Of `producedTokens`, those the listener has been told of. */
  reportedTokens = 0;

  constructor(work: Work, arrivedMs: number, listener: JobListener) {
    this.work = work;
    this.arrivedMs = arrivedMs;
    this.listener = listener;
  }
}

export interface EngineStats {
  readonly waiting: number;
  /** Being prefilled or decoding. */
  readonly running: number;
  readonly served: number;
  readonly aborted: number;
  /** Prompt tokens of all prefills begun, and how many of them the prefix cache gave. */
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /** Blocks in the prefix cache. */
  readonly cachedBlocks: number;
  /** Share of the cache that running requests fill, 0..1. */
  readonly cacheUsage: number;
}

export class SimulatedEngine {
  readonly #speed: EngineSpeed;
  readonly #cache: PrefixCache;
  /** In order of arrival. */
  readonly #waiting = new Set<Job>();
  #prefilling: Job | null = null;
  #prefillDueMs = Number.POSITIVE_INFINITY;
  readonly #decoding = new Set<Job>();
  /** First token given while a decode step was under way: they take part from the next step on. */
  readonly #joining = new Set<Job>();
  #stepDueMs = Number.POSITIVE_INFINITY;
  #unreported = new Set<Job>();
  #served = 0;
  #aborted = 0;
  #promptTokens = 0;
  #cachedTokens = 0;
  #generatedTokens = 0;
  /** What begins from now on takes this many times longer. */
  slow = 1;

  constructor(speed: EngineSpeed) {
    this.#speed = speed;
    this.#cache = new PrefixCache(speed.cacheBlocksMax);
  }

  /** Puts work in the queue; an idle engine begins its prefill at `nowMs`. */
  submit(nowMs: number, work: Work, listener: JobListener): Job {
    const job = new Job(work, nowMs, listener);
    this.#waiting.add(job);
    if (this.#prefilling === null) this.#beginPrefill(nowMs);
    return job;
  }

  /** Ends a job wherever it is and frees its place; its listener is not called any more. */
  cancel(nowMs: number, job: Job): void {
    if (job.state === 'finished' || job.state === 'cancelled') return;
    job.state = 'cancelled';
    this.#aborted++;
    this.#unreported.delete(job);
    this.#waiting.delete(job);
    this.#decoding.delete(job);
    this.#joining.delete(job);
    if (this.#decoding.size + this.#joining.size === 0) this.#stepDueMs = Number.POSITIVE_INFINITY;
    if (this.#prefilling === job) this.#beginPrefill(nowMs);
  }

  /** Moment of the next thing to do; infinity when idle. */
  get nextDueMs(): number {
    return Math.min(this.#prefillDueMs, this.#stepDueMs);
  }

  /** Does all that was due up to `nowMs`, then tells each listener once. */
  advance(nowMs: number): void {
    while (this.nextDueMs <= nowMs) {
      if (this.#prefillDueMs <= this.#stepDueMs) this.#endPrefill();
      else this.#endStep();
    }
    const reports = this.#unreported;
    if (reports.size === 0) return;
    this.#unreported = new Set();
    for (const job of reports) {
      // A listener may have cancelled this one.
      if (job.state === 'cancelled') continue;
      const newTokens = job.producedTokens - job.reportedTokens;
      job.reportedTokens = job.producedTokens;
      job.listener(job, newTokens);
    }
  }

  /** Forgets every cached block. */
  flushCache(): void {
    this.#cache.clear();
  }

  stats(): EngineStats {
    const prefilling = this.#prefilling === null ? [] : [this.#prefilling];
    let usedBlocks = 0;
    for (const running of [prefilling, this.#joining, this.#decoding]) {
      for (const { work, producedTokens } of running) {
        usedBlocks += Math.ceil((work.promptTokens + producedTokens) / this.#speed.blockTokens);
      }
    }
    return {
      waiting: this.#waiting.size,
      running: prefilling.length + this.#joining.size + this.#decoding.size,
      served: this.#served,
      aborted: this.#aborted,
      promptTokens: this.#promptTokens,
      cachedTokens: this.#cachedTokens,
      generatedTokens: this.#generatedTokens,
      cachedBlocks: this.#cache.size,
      cacheUsage: Math.min(1, usedBlocks / this.#speed.cacheBlocksMax),
    };
  }

  #beginPrefill(freeMs: number): void {
    this.#prefilling = null;
    this.#prefillDueMs = Number.POSITIVE_INFINITY;
    const job = this.#waiting.values().next().value;
    if (job === undefined) return;
    this.#waiting.delete(job);
    this.#prefilling = job;
    job.state = 'prefilling';
    const { promptTokens, blocks } = job.work;
    const { blockTokens, prefillPerTokenUs, timeScale } = this.#speed;
    // At least one token is always computed: a fully cached prompt gives up its last block.
    const hitBlocksMax = Math.floor((promptTokens - 1) / blockTokens);
    job.cachedTokens = Math.min(this.#cache.hits(blocks), hitBlocksMax) * blockTokens;
    this.#promptTokens += promptTokens;
    this.#cachedTokens += job.cachedTokens;
    const lifeMs = ((promptTokens - job.cachedTokens) * prefillPerTokenUs * this.slow) / 1_000;
    // The engine may have been free, as noticed only now, before this job came.
    this.#prefillDueMs = Math.max(freeMs, job.arrivedMs) + lifeMs / timeScale;
  }

  #endPrefill(): void {
    const job = this.#prefilling!;
    const endMs = this.#prefillDueMs;
    this.#cache.use(job.work.blocks);
    job.state = 'decoding';
    this.#produce(job, Math.min(1, job.work.outputTokens));
    if (job.producedTokens < job.work.outputTokens) {
      if (this.#stepDueMs === Number.POSITIVE_INFINITY) {
        this.#decoding.add(job);
        this.#beginStep(endMs);
      } else {
        this.#joining.add(job);
      }
    }
    this.#beginPrefill(endMs);
  }

  #beginStep(startMs: number): void {
    this.#stepDueMs = startMs + (this.#speed.decodeStepMs * this.slow) / this.#speed.timeScale;
  }

  #endStep(): void {
    const endMs = this.#stepDueMs;
    for (const job of this.#decoding) {
      this.#produce(job, 1);
      if (job.state === 'finished') this.#decoding.delete(job);
    }
    for (const job of this.#joining) this.#decoding.add(job);
    this.#joining.clear();
    if (this.#decoding.size > 0) this.#beginStep(endMs);
    else this.#stepDueMs = Number.POSITIVE_INFINITY;
  }

  #produce(job: Job, tokens: number): void {
    job.producedTokens += tokens;
    this.#generatedTokens += tokens;
    this.#unreported.add(job);
    if (job.producedTokens === job.work.outputTokens) {
      job.state = 'finished';
      this.#served++;
    }
  }
}
