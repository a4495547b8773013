/**
 * Measured step times of Qwen2.5 on real GPUs, from which the step engine's time is made. Data.
 *
 * Source: ai-dynamo/aiconfigurator at 095f58a51c4ca8e61b66ec108d86f223f8d559ce (Apache-2.0), its
 * tables of vLLM 0.14.0; elementwise kernels are taken at 0.8 of the memory's bandwidth plus 15 us
 * a layer.
 */

export interface StepConstants {
  /** Matrix products of a step with so many tokens: [tokens, milliseconds], interpolated. */
  readonly gemmMs: readonly (readonly [number, number])[];
  readonly headMs: number;
  /** Prefill attention: once a step that has any, for each new token, for each pair of tokens. */
  readonly prefillMs: number;
  readonly prefillUsPerToken: number;
  readonly prefillNsPerPair: number;
  /** Decode attention: once a step that has any, and the reading of the sequences' KV. */
  readonly decodeMs: number;
  readonly kvBytesPerToken: number;
  readonly kvTerabytesPerSecond: number;
  /** Room for KV beside the weights. */
  readonly kvTokens: number;
}

export const stepConstants = {
  'a100-7b': {
    gemmMs: [
      [1, 9.251],
      [8, 9.678],
      [16, 9.678],
      [32, 9.678],
      [64, 10.531],
      [128, 11.771],
      [256, 17.12],
      [512, 30.772],
      [1024, 58.109],
      [2048, 108.676],
      [4096, 211.756],
      [8192, 414.291],
    ],
    headMs: 0.772,
    prefillMs: 0.1696,
    prefillUsPerToken: 1.076,
    prefillNsPerPair: 2.1385,
    decodeMs: 0.6241,
    kvBytesPerToken: 57_344,
    kvTerabytesPerSecond: 1.542,
    kvTokens: 977_000,
  },
  'a100-14b': {
    gemmMs: [
      [1, 18.741],
      [8, 18.741],
      [16, 19.693],
      [32, 20.03],
      [64, 20.546],
      [128, 24.032],
      [256, 35.54],
      [512, 62.837],
      [1024, 110.969],
      [2048, 206.652],
      [4096, 413.712],
      [8192, 806.522],
    ],
    headMs: 1.062,
    prefillMs: 0.5666,
    prefillUsPerToken: 1.8379,
    prefillNsPerPair: 5.2541,
    decodeMs: 0.998,
    kvBytesPerToken: 196_608,
    kvTerabytesPerSecond: 1.543,
    kvTokens: 212_000,
  },
  'h100-7b': {
    gemmMs: [
      [1, 5.084],
      [8, 5.154],
      [16, 5.289],
      [32, 5.29],
      [64, 5.598],
      [128, 5.811],
      [256, 6.637],
      [512, 9.871],
      [1024, 20.451],
      [2048, 37.656],
      [4096, 77.134],
      [8192, 156.454],
    ],
    headMs: 0.373,
    prefillMs: 0.2423,
    prefillUsPerToken: 0.5359,
    prefillNsPerPair: 0.6346,
    decodeMs: 0.3291,
    kvBytesPerToken: 57_344,
    kvTerabytesPerSecond: 2.836,
    kvTokens: 977_000,
  },
  'h100-14b': {
    gemmMs: [
      [1, 10.007],
      [8, 10.101],
      [16, 10.101],
      [32, 10.715],
      [64, 10.89],
      [128, 11.476],
      [256, 12.622],
      [512, 19.554],
      [1024, 40.184],
      [2048, 74.285],
      [4096, 147.579],
      [8192, 302.89],
    ],
    headMs: 0.527,
    prefillMs: 0.5205,
    prefillUsPerToken: 1.023,
    prefillNsPerPair: 1.6432,
    decodeMs: 0.4532,
    kvBytesPerToken: 196_608,
    kvTerabytesPerSecond: 2.905,
    kvTokens: 212_000,
  },
} as const satisfies Record<string, StepConstants>;
