/**
 * The engines that can be simulated, and what they would need for a workload if nothing stood in
 * their way. Pure values; any thread.
 */
import { presets as emulated } from '../emulate/presets.ts';
import { type StepConstants, stepConstants } from './engine-constants.ts';
import { StepTime } from './step-time.ts';
import type { Workload } from './workload.ts';

/** One prompt at a time; see serial-engine.ts. */
export interface SerialModel {
  readonly kind: 'serial';
  readonly prefillPerTokenUs: number;
  /** Time for each token after the first; 0: a request ends with its first token. */
  readonly decodeStepMs: number;
  /** Prefix cache; infinity: nothing is ever evicted. */
  readonly cacheTokens: number;
}

/** Continuous batching; see step-engine.ts. */
export interface StepModel {
  readonly kind: 'step';
  readonly constants: StepConstants;
  /** Room for KV, in use and cached together. */
  readonly cacheTokens: number;
  /** Tokens of one step, and sequences that run at once. */
  readonly batchedTokensMax: number;
  readonly runningMax: number;
  /** Scheduling and sampling of a step; HTTP and tokenizer before a request can be scheduled. */
  readonly stepOverheadMs: number;
  readonly apiOverheadMs: number;
}

export type EngineModel = SerialModel | StepModel;

/** The defaults of vLLM v1. */
export function stepModel(constants: StepConstants): StepModel {
  return {
    kind: 'step',
    constants,
    cacheTokens: constants.kvTokens,
    batchedTokensMax: 2048,
    runningMax: 256,
    stepOverheadMs: 1,
    apiOverheadMs: 15,
  };
}

function paper({
  prefillPerTokenUs,
  decodeStepMs,
  ...cache
}: (typeof emulated)['paper-7b' | 'paper-14b']): SerialModel {
  const cacheTokens = cache.cacheBlocksMax * cache.blockTokens;
  return { kind: 'serial', prefillPerTokenUs, decodeStepMs, cacheTokens };
}

export const presets = {
  'paper-7b': paper(emulated['paper-7b']),
  'paper-14b': paper(emulated['paper-14b']),
  'a100-7b': stepModel(stepConstants['a100-7b']),
  'a100-14b': stepModel(stepConstants['a100-14b']),
  'h100-7b': stepModel(stepConstants['h100-7b']),
  'h100-14b': stepModel(stepConstants['h100-14b']),
  /** 7B as in the plain simulation that the project began with: the cache of the paper's release. */
  'plain-7b': {
    kind: 'serial',
    prefillPerTokenUs: emulated['paper-7b'].prefillPerTokenUs,
    decodeStepMs: emulated['paper-7b'].decodeStepMs,
    cacheTokens: 2_340 * 512,
  },
  /** For queueing theory: no cache, 1 ms a token, done with the first token. */
  serial: { kind: 'serial', prefillPerTokenUs: 1000, decodeStepMs: 0, cacheTokens: 0 },
} as const satisfies Record<string, EngineModel>;

export type PresetName = keyof typeof presets;
export const presetNames = Object.keys(presets) as PresetName[];

/** Milliseconds of an engine's time that a request of these tokens costs; of a step engine, in
 * steps that are full. */
export function workOf(
  model: EngineModel,
): (promptTokens: number, cachedTokens: number, outputTokens: number) => number {
  if (model.kind === 'step') {
    const time = new StepTime(model);
    return (...tokens) => time.ofRequest(...tokens);
  }
  const perTokenMs = model.prefillPerTokenUs / 1000;
  return (promptTokens, cachedTokens) => (promptTokens - cachedTokens) * perTokenMs;
}

/** From arrival to first token on an idle engine. */
export function idleTtftOf(
  model: EngineModel,
): (promptTokens: number, cachedTokens: number) => number {
  if (model.kind === 'serial') {
    return (promptTokens, cachedTokens) =>
      ((promptTokens - cachedTokens) * model.prefillPerTokenUs) / 1000;
  }
  const time = new StepTime(model);
  return (...tokens) => model.apiOverheadMs + time.ofPrefill(...tokens);
}

/**
 * Load 1.0, in requests a second: the rate at which the work that an infinite cache, shared by all,
 * leaves over just fills all instances (warm saturation).
 */
export function saturationQps(model: EngineModel, workload: Workload, instances: number): number {
  const work = workOf(model);
  const { count, inputTokens, limitHitTokens, outputTokens } = workload;
  let sumMs = 0;
  for (let row = 0; row < count; row++) {
    sumMs += work(inputTokens[row]!, limitHitTokens[row]!, outputTokens[row]!);
  }
  return (instances * count * 1000) / sumMs;
}

/** What a router is told of an engine until it has measured it: milliseconds a pending token. */
export function estimatePerTokenMs(model: EngineModel): number {
  if (model.kind === 'serial') return model.prefillPerTokenUs / 1000;
  return new StepTime(model).perTokenMs;
}
