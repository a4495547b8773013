/**
 * The engine of the presets `paper` and `serial`: one whole prompt at a time in order of arrival, a
 * time for each uncached token and nothing else; decoding goes on beside it and slows nobody down.
 * Pure; the same model as the emulated engine's, without its texts and its tokens one by one.
 */
import { BlockPool } from './block-pool.ts';
import { type Engine, type EngineListener, Fifo } from './engine.ts';
import { EventHeap } from './event-heap.ts';
import type { SerialModel } from './presets.ts';
import { cachedTokensOf, type Workload } from './workload.ts';

export class SerialEngine implements Engine {
  busyMs = 0;
  hitTokens = 0;
  computedTokens = 0;
  nextMs = Number.POSITIVE_INFINITY;
  readonly #workload: Workload;
  readonly #model: SerialModel;
  readonly #listener: EngineListener;
  readonly #pool: BlockPool;
  readonly #waiting = new Fifo();
  readonly #ends = new EventHeap();
  #prefilling = -1;
  #prefillingCachedTokens = 0;
  #prefillDueMs = Number.POSITIVE_INFINITY;

  constructor(workload: Workload, model: SerialModel, listener: EngineListener) {
    this.#workload = workload;
    this.#model = model;
    this.#listener = listener;
    const { blockTokens, distinctBlocks } = workload;
    // More than all there are is never needed.
    const capacity = Math.min(Math.floor(model.cacheTokens / blockTokens), distinctBlocks);
    this.#pool = new BlockPool(capacity, distinctBlocks);
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get running(): number {
    return this.#ends.size + (this.#prefilling < 0 ? 0 : 1);
  }

  /** Its cache is not where requests are computed. */
  get kvUse(): null {
    return null;
  }

  submit(request: number, nowMs: number): void {
    this.#waiting.push(request);
    if (this.#prefilling >= 0) return;
    this.#beginPrefill(nowMs);
    this.#schedule();
  }

  advance(): void {
    const nowMs = this.nextMs;
    if (this.#prefillDueMs <= this.#ends.nextMs) this.#endPrefill(nowMs);
    else this.#listener.finished(this.#ends.pop(), nowMs);
    this.#schedule();
  }

  residentTokens(request: number): number {
    const { blockStart, blocks, blockTokens, inputTokens } = this.#workload;
    const hits = this.#pool.hits(blocks, blockStart[request]!, blockStart[request + 1]!);
    return cachedTokensOf(hits, inputTokens[request]!, blockTokens);
  }

  #schedule(): void {
    this.nextMs = Math.min(this.#prefillDueMs, this.#ends.nextMs);
  }

  #beginPrefill(nowMs: number): void {
    const request = this.#waiting.shift();
    const cachedTokens = this.residentTokens(request);
    const computedTokens = this.#workload.inputTokens[request]! - cachedTokens;
    const prefillMs = (computedTokens * this.#model.prefillPerTokenUs) / 1000;
    this.#prefilling = request;
    this.#prefillingCachedTokens = cachedTokens;
    this.#prefillDueMs = nowMs + prefillMs;
    this.hitTokens += cachedTokens;
    this.computedTokens += computedTokens;
    this.busyMs += prefillMs;
  }

  #endPrefill(nowMs: number): void {
    const request = this.#prefilling;
    const cachedTokens = this.#prefillingCachedTokens;
    const { blocks, blockStart, outputTokens } = this.#workload;
    this.#pool.use(blocks, blockStart[request]!, blockStart[request + 1]!);
    this.#prefilling = -1;
    this.#prefillDueMs = Number.POSITIVE_INFINITY;
    const decodeMs = (outputTokens[request]! - 1) * this.#model.decodeStepMs;
    if (decodeMs > 0) this.#ends.push(nowMs + decodeMs, request);
    // What waits here goes first: the listener may submit more.
    if (this.#waiting.length > 0) this.#beginPrefill(nowMs);
    this.#listener.firstToken(request, cachedTokens, nowMs);
    if (decodeMs === 0) this.#listener.finished(request, nowMs);
  }
}
