import { type EngineName, engineNames } from './metrics.ts';
import type { Switches } from './switches.ts';

/**
 * Owns how fast an emulated engine is and how much it remembers, and every option it takes.
 * Pure values; any thread.
 */

export interface Preset {
  /** Name listed at `/v1/models` unless the options give another. */
  readonly model: string;
  /** Prefill of one uncached token, microseconds. No attention term; one prompt at a time. */
  readonly prefillPerTokenUs: number;
  /** One decode step, which gives every running request its next token, milliseconds. */
  readonly decodeStepMs: number;
  /** Tokens of one prefix-cache block; a token is four bytes of prompt. */
  readonly blockTokens: number;
  /** Blocks that the prefix cache holds. */
  readonly cacheBlocksMax: number;
}

/**
 * Prefill and cache are the preset `paper` of the engine model. The decode step is the measured
 * time of a step with one token on an A100 (ai-dynamo/aiconfigurator tables, vLLM 0.14.0): 1.0 ms
 * of step overhead + GEMMs G(1) + language-model head + attention constant. 7B: 1.0 + 9.251 + 0.772
 * + 0.624, 86 tokens/s where Qwen publishes 84.3; 14B: 1.0 + 18.741 + 1.062 + 0.998, 46 where it
 * publishes 46.3.
 */
export const presets = {
  'paper-7b': {
    model: 'emulated-7b',
    prefillPerTokenUs: 160,
    decodeStepMs: 11.65,
    blockTokens: 512,
    cacheBlocksMax: 1_953,
  },
  'paper-14b': {
    model: 'emulated-14b',
    prefillPerTokenUs: 127,
    decodeStepMs: 21.8,
    blockTokens: 512,
    cacheBlocksMax: 976,
  },
} as const satisfies Record<string, Preset>;

export type PresetName = keyof typeof presets;

export interface EngineOptions {
  readonly preset: PresetName;
  /** Under whose names it tells its load and its cache; default vLLM. */
  readonly engine?: EngineName;
  /** Address to listen on; default 127.0.0.1. */
  readonly host?: string;
  /** Port to listen on; default 0, a free one. */
  readonly port?: number;
  /** How many times faster than life; default 1. At 10 a prefill of 1 s takes 0.1 s. */
  readonly timeScale?: number;
  /** Name of the one model served; default the preset's. */
  readonly model?: string;
  /** Tokens of a block; default the preset's. */
  readonly blockTokens?: number;
  /** Blocks of the prefix cache; default as many tokens as the preset's cache. */
  readonly cacheBlocksMax?: number;
  /** Prompt and output of one request together; default 131,072 tokens. */
  readonly contextTokensMax?: number;
  /**
   * An idle connection is closed after this long; default 75,000 ms, so that a fleet at rest keeps
   * its connections. vLLM's own default is 5,000.
   */
  readonly keepAliveTimeoutMs?: number;
  /** Faults to begin with; `switches.ts`. Default none. */
  readonly switches?: Partial<Switches>;
}

/** Options with every default filled in. */
export interface EngineSettings extends Preset {
  readonly preset: PresetName;
  readonly engine: EngineName;
  readonly host: string;
  readonly port: number;
  readonly timeScale: number;
  readonly contextTokensMax: number;
  readonly keepAliveTimeoutMs: number;
}

/** Every fault in the options, in words; empty if there is none. */
export function engineOptionFaults(options: EngineOptions): string[] {
  if (!Object.hasOwn(presets, options.preset)) {
    return [`preset must be one of ${Object.keys(presets).join(', ')}, got ${options.preset}`];
  }
  const faults: string[] = [];
  const { port = 0, timeScale = 1, model, engine = 'vllm' } = options;
  if (!engineNames.includes(engine)) {
    faults.push(`engine must be one of ${engineNames.join(', ')}, got ${engine}`);
  }
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    faults.push(`port must be an integer from 0 to 65535, got ${port}`);
  }
  if (!Number.isFinite(timeScale) || timeScale <= 0) {
    faults.push(`time scale must be a positive number, got ${timeScale}`);
  }
  if (model === '') faults.push('model must not be empty');
  for (const name of ['blockTokens', 'cacheBlocksMax', 'contextTokensMax'] as const) {
    const value = options[name] ?? 1;
    if (!Number.isInteger(value) || value < 1) {
      faults.push(`${name} must be an integer of at least 1, got ${value}`);
    }
  }
  const keepAliveTimeoutMs = options.keepAliveTimeoutMs ?? 1;
  if (!Number.isInteger(keepAliveTimeoutMs) || keepAliveTimeoutMs < 1) {
    faults.push(`keepAliveTimeoutMs must be an integer of at least 1, got ${keepAliveTimeoutMs}`);
  }
  return faults;
}

/** Fills in the defaults. Throws RangeError that names every fault at once. */
export function engineSettings(options: EngineOptions): EngineSettings {
  const faults = engineOptionFaults(options);
  if (faults.length > 0) throw new RangeError(faults.join('; '));
  const preset: Preset = presets[options.preset];
  const blockTokens = options.blockTokens ?? preset.blockTokens;
  const cacheTokens = preset.cacheBlocksMax * preset.blockTokens;
  return {
    preset: options.preset,
    engine: options.engine ?? 'vllm',
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 0,
    timeScale: options.timeScale ?? 1,
    model: options.model ?? preset.model,
    prefillPerTokenUs: preset.prefillPerTokenUs,
    decodeStepMs: preset.decodeStepMs,
    blockTokens,
    cacheBlocksMax: options.cacheBlocksMax ?? Math.max(1, Math.floor(cacheTokens / blockTokens)),
    contextTokensMax: options.contextTokensMax ?? 131_072,
    keepAliveTimeoutMs: options.keepAliveTimeoutMs ?? 75_000,
  };
}
