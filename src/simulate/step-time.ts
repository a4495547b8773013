/**
 * How long one step of a continuous-batching engine takes, and what a request costs in full steps.
 * Pure; any thread.
 *
 *     c_step + G(m) + L_head + a0 + a1*sum(x) + a2*sum(x*p + x*x/2) + d0 + KV bytes read / BW
 *
 * x: new tokens of a prefill piece after p earlier ones; m: all tokens of the step.
 */
import type { StepModel } from './presets.ts';

/** What a step is made of, as the time of it depends on it. */
export interface StepShape {
  /** All tokens, and those of them that belong to prefills. */
  readonly tokens: number;
  readonly prefillTokens: number;
  /** Sum of x*p + x*x/2 over the prefill pieces. */
  readonly pairs: number;
  readonly decodes: number;
  /** Tokens whose KV the decodes read. */
  readonly contextTokens: number;
}

export class StepTime {
  readonly #model: StepModel;
  /** G of every number of tokens that a step can have. */
  readonly #gemmMs: Float64Array;
  readonly #kvMsPerToken: number;
  readonly #baseMs: number;

  constructor(model: StepModel) {
    const { constants, batchedTokensMax, stepOverheadMs } = model;
    this.#model = model;
    this.#gemmMs = Float64Array.from({ length: batchedTokensMax + 1 }, (_, tokens) =>
      gemmMs(constants.gemmMs, tokens),
    );
    this.#kvMsPerToken = constants.kvBytesPerToken / (constants.kvTerabytesPerSecond * 1e9);
    this.#baseMs = stepOverheadMs + constants.headMs;
  }

  ofStep(shape: StepShape): number {
    const { constants } = this.#model;
    let ms = this.#baseMs + this.#gemmMs[shape.tokens]!;
    if (shape.prefillTokens > 0) {
      ms += constants.prefillMs + (constants.prefillUsPerToken * shape.prefillTokens) / 1e3;
      ms += (constants.prefillNsPerPair * shape.pairs) / 1e6;
    }
    if (shape.decodes > 0) ms += constants.decodeMs + this.#kvMsPerToken * shape.contextTokens;
    return ms;
  }

  /** So many steps in a row, of which each but the first reads one token more a sequence. */
  ofRun(first: StepShape, steps: number): number {
    const oneMs = this.ofStep(first);
    if (steps === 1) return oneMs;
    const moreTokens = (first.decodes * steps * (steps - 1)) / 2;
    return steps * oneMs + this.#kvMsPerToken * moreTokens;
  }

  /** From its admission to its first token, alone on the engine. */
  ofPrefill(promptTokens: number, cachedTokens: number): number {
    let ms = 0;
    for (let at = cachedTokens; at < promptTokens; ) {
      const tokens = Math.min(promptTokens - at, this.#model.batchedTokensMax);
      const pairs = tokens * (at + tokens / 2);
      ms += this.ofStep({ tokens, prefillTokens: tokens, pairs, decodes: 0, contextTokens: 0 });
      at += tokens;
    }
    return ms;
  }

  /** One token's share of a full step, without attention. */
  get perTokenMs(): number {
    const { constants, batchedTokensMax } = this.#model;
    const { prefillMs, decodeMs } = constants;
    const fullMs = this.#baseMs + this.#gemmMs[batchedTokensMax]! + prefillMs + decodeMs;
    return fullMs / batchedTokensMax;
  }

  /** What a request costs in steps that are full, the reading of its KV while it decodes too. */
  ofRequest(promptTokens: number, cachedTokens: number, outputTokens: number): number {
    const { constants } = this.#model;
    const x = promptTokens - cachedTokens;
    const decodes = outputTokens - 1;
    const contextTokens = decodes * (promptTokens + (decodes + 1) / 2);
    return (
      this.perTokenMs * (x + decodes) +
      (constants.prefillUsPerToken * x) / 1e3 +
      (constants.prefillNsPerPair * x * (cachedTokens + x / 2)) / 1e6 +
      this.#kvMsPerToken * contextTokens
    );
  }
}

/** Between two rows of the table on the line between them, beyond it in proportion to the last. */
function gemmMs(table: readonly (readonly [number, number])[], tokens: number): number {
  const [firstTokens, firstMs] = table[0]!;
  if (tokens <= firstTokens) return firstMs;
  const above = table.findIndex(([at]) => at >= tokens);
  if (above < 0) {
    const [lastTokens, lastMs] = table.at(-1)!;
    return (lastMs * tokens) / lastTokens;
  }
  const [fromTokens, fromMs] = table[above - 1]!;
  const [toTokens, toMs] = table[above]!;
  return fromMs + ((toMs - fromMs) * (tokens - fromTokens)) / (toTokens - fromTokens);
}
