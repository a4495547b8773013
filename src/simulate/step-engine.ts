/**
 * A continuous-batching engine with the semantics of vLLM v1's scheduler: chunked prefill under one
 * token budget, a pool of KV blocks with prefix cache and LRU, preemption of the youngest when
 * memory runs out. One event is one step, or a run of steps that only decode and change nothing
 * else. Pure; belongs to one scenario.
 */
import { BlockPool } from './block-pool.ts';
import { type Engine, type EngineListener, Fifo } from './engine.ts';
import type { StepModel } from './presets.ts';
import { type StepShape, StepTime } from './step-time.ts';
import type { Workload } from './workload.ts';

/** A request that has been admitted, or was and is to be admitted again. */
interface Sequence {
  readonly request: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Output tokens so far. */
  produced: number;
  /** Tokens whose KV lies in its blocks. */
  computed: number;
  /** Tokens of the step under way. */
  scheduled: number;
  /** Prompt tokens that were hit or computed before: not counted again after a preemption. */
  reached: number;
  /** Prompt tokens that were hit at its first admission. */
  cachedTokens: number;
  /** Places of its blocks in the pool; the first `named` of them can be hit by others. */
  readonly places: number[];
  named: number;
}

export class StepEngine implements Engine {
  nextMs = Number.POSITIVE_INFINITY;
  busyMs = 0;
  hitTokens = 0;
  computedTokens = 0;
  /** Prompt tokens computed again after a preemption. */
  recomputedTokens = 0;
  preemptions = 0;
  steps = 0;
  readonly #workload: Workload;
  readonly #model: StepModel;
  readonly #time: StepTime;
  readonly #listener: EngineListener;
  readonly #pool: BlockPool;
  /** In order of arrival, and when each of them is through the API server. */
  readonly #waiting = new Fifo();
  readonly #readyMs: Float64Array;
  /** The last to be preempted is the first to be admitted again. */
  readonly #preempted: Sequence[] = [];
  #running: Sequence[] = [];
  #isStepping = false;
  /** The steps under way: when they began, how many they are, what the first is made of. */
  #beganMs = 0;
  #runLength = 0;
  #shape: StepShape = { tokens: 0, prefillTokens: 0, pairs: 0, decodes: 0, contextTokens: 0 };

  constructor(workload: Workload, model: StepModel, listener: EngineListener) {
    this.#workload = workload;
    this.#model = model;
    this.#time = new StepTime(model);
    this.#listener = listener;
    const blocks = Math.floor(model.cacheTokens / workload.blockTokens);
    this.#pool = new BlockPool(blocks, workload.distinctBlocks);
    this.#readyMs = new Float64Array(workload.count);
  }

  get waiting(): number {
    return this.#waiting.length + this.#preempted.length;
  }

  get running(): number {
    return this.#running.length;
  }

  get kvUse(): number {
    return this.heldBlocks / this.#pool.capacity;
  }

  submit(request: number, nowMs: number): void {
    const { inputTokens, outputTokens } = this.#workload;
    const tokens = inputTokens[request]! + outputTokens[request]!;
    if (this.#blocksFor(tokens) > this.#pool.capacity) {
      this.#listener.refused(request, nowMs);
      return;
    }
    this.#readyMs[request] = nowMs + this.#model.apiOverheadMs;
    this.#waiting.push(request);
    if (this.#isStepping) this.#cutRun(this.#readyMs[request]!);
    else this.nextMs = Math.min(this.nextMs, this.#readyMs[request]!);
  }

  advance(): void {
    const nowMs = this.nextMs;
    if (this.#isStepping) this.#endStep(nowMs);
    this.#beginStep(nowMs);
  }

  residentTokens(request: number): number {
    const { inputTokens } = this.#workload;
    return this.#hitBlocks(request, inputTokens[request]!) * this.#workload.blockTokens;
  }

  /** Blocks held by requests; 0 once all have ended. */
  get heldBlocks(): number {
    return this.#pool.capacity - this.#pool.freeCount;
  }

  #blocksFor(tokens: number): number {
    return Math.ceil(tokens / this.#workload.blockTokens);
  }

  /** Leading blocks that can be hit, short of the last token, which is always computed. */
  #hitBlocks(request: number, knownTokens: number): number {
    const { blockStart, blocks, blockTokens } = this.#workload;
    const start = blockStart[request]!;
    const most = Math.floor((knownTokens - 1) / blockTokens);
    return this.#pool.hits(blocks, start, Math.min(blockStart[request + 1]!, start + most));
  }

  #beginStep(nowMs: number): void {
    this.#isStepping = false;
    let budget = this.#model.batchedTokensMax;
    const preemptionsBefore = this.preemptions;
    // Preemption shortens the list from its end while it is walked.
    for (let at = 0; at < this.#running.length && budget > 0; at++) {
      budget -= this.#schedule(this.#running[at]!, budget);
    }
    if (this.preemptions === preemptionsBefore) budget = this.#admit(nowMs, budget);
    this.#shape = this.#shapeOfStep();
    if (this.#shape.tokens === 0) {
      const request = this.#waiting.length > 0 ? this.#waiting.first : -1;
      this.nextMs = request < 0 ? Number.POSITIVE_INFINITY : this.#readyMs[request]!;
      return;
    }
    this.#isStepping = true;
    this.#beganMs = nowMs;
    this.#runLength = this.#longestRun();
    this.nextMs = nowMs + this.#time.ofRun(this.#shape, this.#runLength);
  }

  /** Steps until anything but decoding happens, as far as is known now. */
  #longestRun(): number {
    const isIdle = this.#waiting.length === 0 && this.#preempted.length === 0;
    if (!isIdle || this.#shape.prefillTokens > 0) return 1;
    let steps = Number.POSITIVE_INFINITY;
    for (const { outputTokens, produced, places, computed } of this.#running) {
      const room = places.length * this.#workload.blockTokens - computed;
      steps = Math.min(steps, outputTokens - produced, room);
    }
    return steps;
  }

  /** A request will be ready in the middle of a run: it ends with the step that ends then. */
  #cutRun(readyMs: number): void {
    if (this.#runLength === 1 || this.nextMs <= readyMs) return;
    const endOf = (steps: number) => this.#beganMs + this.#time.ofRun(this.#shape, steps);
    let tooFew = 0;
    while (this.#runLength - tooFew > 1) {
      const middle = (tooFew + this.#runLength) >> 1;
      if (endOf(middle) >= readyMs) this.#runLength = middle;
      else tooFew = middle;
    }
    this.nextMs = endOf(this.#runLength);
  }

  /** Gives a running sequence its tokens of this step; those behind it make room if need be. */
  #schedule(sequence: Sequence, budget: number): number {
    const known = sequence.promptTokens + sequence.produced;
    const tokens = Math.min(known - sequence.computed, budget);
    const missing = this.#blocksFor(sequence.computed + tokens) - sequence.places.length;
    while (missing > this.#pool.freeCount) {
      const youngest = this.#running.pop()!;
      this.#preempt(youngest);
      if (youngest === sequence) return 0;
    }
    for (let block = 0; block < missing; block++) sequence.places.push(this.#pool.take());
    sequence.scheduled = tokens;
    return tokens;
  }

  #preempt(sequence: Sequence): void {
    this.preemptions++;
    this.#releaseAll(sequence);
    sequence.computed = 0;
    sequence.scheduled = 0;
    this.#preempted.push(sequence);
  }

  #releaseAll(sequence: Sequence): void {
    // Tail first: the head of a prompt, without which the tail cannot be hit, is evicted last.
    for (let at = sequence.places.length - 1; at >= 0; at--) {
      this.#pool.release(sequence.places[at]!);
    }
    sequence.places.length = 0;
    sequence.named = 0;
  }

  /** First come, first served; stops at the first that does not fit. */
  #admit(nowMs: number, budgetAtStart: number): number {
    let budget = budgetAtStart;
    while (budget > 0 && this.#running.length < this.#model.runningMax) {
      const again = this.#preempted.at(-1);
      const isNew = again === undefined;
      if (isNew && (this.#waiting.length === 0 || this.#readyMs[this.#waiting.first]! > nowMs)) {
        break;
      }
      const sequence = again ?? this.#open(this.#waiting.first);
      const tokens = this.#tryAdmit(sequence, budget);
      if (tokens === 0) break;
      if (isNew) this.#waiting.shift();
      else this.#preempted.pop();
      this.#running.push(sequence);
      budget -= tokens;
    }
    return budget;
  }

  #open(request: number): Sequence {
    const { inputTokens, outputTokens } = this.#workload;
    return {
      request,
      promptTokens: inputTokens[request]!,
      outputTokens: outputTokens[request]!,
      produced: 0,
      computed: 0,
      scheduled: 0,
      reached: 0,
      cachedTokens: 0,
      places: [],
      named: 0,
    };
  }

  /** Tokens scheduled; 0 if there is no room. */
  #tryAdmit(sequence: Sequence, budget: number): number {
    const { blockStart, blocks, blockTokens } = this.#workload;
    const { request } = sequence;
    const known = sequence.promptTokens + sequence.produced;
    const hitBlocks = this.#hitBlocks(request, known);
    const hitTokens = hitBlocks * blockTokens;
    const tokens = Math.min(known - hitTokens, budget);
    const start = blockStart[request]!;
    const missing = this.#blocksFor(hitTokens + tokens) - hitBlocks;
    let leaving = missing;
    for (let at = start; at < start + hitBlocks; at++) {
      if (this.#pool.isFree(blocks[at]!)) leaving++;
    }
    if (leaving > this.#pool.freeCount) return 0;
    for (let at = start; at < start + hitBlocks; at++) {
      sequence.places.push(this.#pool.hold(blocks[at]!));
    }
    for (let block = 0; block < missing; block++) sequence.places.push(this.#pool.take());
    sequence.named = hitBlocks;
    sequence.computed = hitTokens;
    sequence.scheduled = tokens;
    if (sequence.reached === 0) sequence.cachedTokens = hitTokens;
    this.hitTokens += Math.max(0, hitTokens - sequence.reached);
    sequence.reached = Math.max(sequence.reached, hitTokens);
    return tokens;
  }

  #shapeOfStep(): StepShape {
    let tokens = 0;
    let prefillTokens = 0;
    let pairs = 0;
    let decodes = 0;
    let contextTokens = 0;
    for (const { scheduled, computed, produced, promptTokens } of this.#running) {
      if (scheduled === 0) continue;
      tokens += scheduled;
      if (produced > 0 && computed + 1 === promptTokens + produced) {
        decodes++;
        contextTokens += computed + 1;
      } else {
        prefillTokens += scheduled;
        pairs += scheduled * (computed + scheduled / 2);
      }
    }
    return { tokens, prefillTokens, pairs, decodes, contextTokens };
  }

  #endStep(nowMs: number): void {
    const steps = this.#runLength;
    this.steps += steps;
    this.busyMs += nowMs - this.#beganMs;
    let hasEnded = false;
    // What listeners submit meanwhile waits for the next step.
    for (const sequence of this.#running) {
      if (sequence.scheduled === 0) continue;
      // In a run of several steps every sequence decodes.
      if (steps > 1) sequence.scheduled = steps;
      this.#take(sequence);
      if (sequence.computed < sequence.promptTokens + sequence.produced) continue;
      sequence.produced += steps;
      const { request, cachedTokens, produced, outputTokens } = sequence;
      if (produced === 1) this.#listener.firstToken(request, cachedTokens, nowMs);
      if (produced < outputTokens) continue;
      hasEnded = true;
      this.#releaseAll(sequence);
      this.#listener.finished(request, nowMs);
    }
    if (!hasEnded) return;
    this.#running = this.#running.filter(({ produced, outputTokens }) => produced < outputTokens);
  }

  /** The step's tokens of a sequence are computed; blocks that they filled can be hit. */
  #take(sequence: Sequence): void {
    const { blockStart, blocks, blockTokens } = this.#workload;
    const { promptTokens, reached } = sequence;
    const before = Math.min(sequence.computed, promptTokens);
    sequence.computed += sequence.scheduled;
    sequence.scheduled = 0;
    const after = Math.min(sequence.computed, promptTokens);
    if (after === before) return;
    const fresh = Math.max(0, after - Math.max(before, reached));
    this.computedTokens += fresh;
    this.recomputedTokens += after - before - fresh;
    sequence.reached = Math.max(reached, after);
    const start = blockStart[sequence.request]!;
    for (; (sequence.named + 1) * blockTokens <= after; sequence.named++) {
      this.#pool.name(sequence.places[sequence.named]!, blocks[start + sequence.named]!);
    }
  }
}
