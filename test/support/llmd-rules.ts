/**
 * The four rules of llm-d's published benchmark, as its configuration files state them: scores of
 * prefix, queue and KV use, weighted and summed, and the highest one. Queue and KV use are scraped;
 * what is known of the caches differs.
 */
import { createRandom } from '../../src/replay/random.ts';
import type { Engine } from '../../src/simulate/engine.ts';
import type { Outlet, Placer } from '../../src/simulate/placer.ts';
import { StepEngine } from '../../src/simulate/step-engine.ts';
import type { Workload } from '../../src/simulate/workload.ts';

export type Rule = 'precise' | 'estimated' | 'load' | 'random';

const weights = {
  precise: { prefix: 3, kv: 2, queue: 2 },
  estimated: { prefix: 1, kv: 1, queue: 1 },
  load: { prefix: 0, kv: 1, queue: 1 },
  random: { prefix: 0, kv: 0, queue: 0 },
} as const satisfies Record<Rule, unknown>;

const scrapeMs = 50;
/**
 * The estimate keeps 31,250 blocks of 64 bytes an instance and 256 of them a prompt: about 4,096
 * tokens, less than what the prompts of a group share. So it knows groups, all of one or nothing.
 */
const prefixesKept = Math.floor(31_250 / 256);

export class ScoringPlacer implements Placer {
  readonly nextLookMs = Number.POSITIVE_INFINITY;
  readonly #rule: Rule;
  readonly #outlet: Outlet;
  readonly #enginesOf: () => readonly Engine[];
  readonly #workload: Workload;
  readonly #kvBlocks: number;
  readonly #random = createRandom(5);
  /** First blocks of the prompts sent to each instance, the oldest first. */
  readonly #sent: Set<number>[] = [];
  #scrape: { waiting: number; kvUse: number }[] = [];
  #scrapedMs = Number.NEGATIVE_INFINITY;

  constructor(
    rule: Rule,
    outlet: Outlet,
    enginesOf: () => readonly Engine[],
    workload: Workload,
    kvTokens: number,
  ) {
    this.#rule = rule;
    this.#outlet = outlet;
    this.#enginesOf = enginesOf;
    this.#workload = workload;
    this.#kvBlocks = Math.floor(kvTokens / workload.blockTokens);
  }

  arrive(request: number, nowMs: number): void {
    this.#look(nowMs);
    const { prefix, kv, queue } = weights[this.#rule];
    const waiting = this.#scrape.map((one) => one.waiting);
    const [least, most] = [Math.min(...waiting), Math.max(...waiting)];
    const scores = this.#scrape.map((one, instance) => {
      const queueScore = most === least ? 1 : (most - one.waiting) / (most - least);
      return (
        prefix * this.#prefixScore(request, instance) + kv * (1 - one.kvUse) + queue * queueScore
      );
    });
    const best = Math.max(...scores);
    const ties = scores.flatMap((score, instance) => (score === best ? [instance] : []));
    const chosen = ties[Math.floor(this.#random() * ties.length)]!;
    this.#remember(request, chosen);
    this.#outlet.dispatch(request, chosen, nowMs);
  }

  firstToken = () => undefined;

  end = () => undefined;

  look = () => undefined;

  #look(nowMs: number): void {
    if (nowMs - this.#scrapedMs < scrapeMs) return;
    this.#scrapedMs = nowMs;
    this.#scrape = this.#enginesOf().map((engine, instance) => {
      this.#sent[instance] ??= new Set();
      // These rules know engines that tell their queue and their KV use.
      if (!(engine instanceof StepEngine)) throw new Error('not a step engine');
      return { waiting: engine.waiting, kvUse: engine.heldBlocks / this.#kvBlocks };
    });
  }

  #prefixScore(request: number, instance: number): number {
    if (weights[this.#rule].prefix === 0) return 0;
    if (this.#rule === 'estimated') {
      return this.#sent[instance]!.has(this.#firstBlock(request)) ? 1 : 0;
    }
    const engine = this.#enginesOf()[instance]!;
    return engine.residentTokens(request) / this.#workload.inputTokens[request]!;
  }

  #remember(request: number, instance: number): void {
    const sent = this.#sent[instance]!;
    const block = this.#firstBlock(request);
    sent.delete(block);
    sent.add(block);
    for (const oldest of sent) {
      if (sent.size <= prefixesKept) return;
      sent.delete(oldest);
    }
  }

  #firstBlock(request: number): number {
    const { blocks, blockStart } = this.#workload;
    return blocks[blockStart[request]!]!;
  }
}
