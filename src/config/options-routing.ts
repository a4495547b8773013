import { bindings, latePolicies, policies, queueModes, queueOrders } from './config.ts';
import * as kinds from './kinds.ts';
import { commandNames as all, type OptionTable } from './option.ts';

/** The rows of the option table that say where a request goes and how it waits. Data only. */

export const routing = {
  policy: {
    name: 'policy',
    kind: kinds.choice(policies),
    unit: '',
    default: 'dualmap-paper',
    why: 'the rule that places requests',
    commands: all,
  },
  sloTtftMs: {
    name: 'slo-ttft-ms',
    kind: kinds.integer(1, 3_600_000),
    unit: 'ms',
    default: 5000,
    why: 'objective for the time to first token; 5 s is that of the paper',
    commands: all,
  },
  sloFraction: {
    name: 'slo-fraction',
    kind: kinds.decimal(0.01, 1),
    unit: 'share',
    default: 0.5,
    why: 'the warm instance is kept while its estimate is within this share of the objective',
    commands: all,
  },
  prefillUsPerToken: {
    name: 'prefill-us-per-token',
    kind: kinds.decimal(0.1, 1_000_000),
    unit: 'us',
    default: 160,
    why: 'time for one uncached prompt token, until it is measured; 160 is a 7B model in the paper',
    commands: all,
  },
  cacheTokens: {
    name: 'cache-tokens',
    kind: kinds.integer(0, 10_000_000_000),
    unit: 'tokens',
    default: 1_000_000,
    why: 'prefix cache of one instance, until the engine tells; 0: engines without a prefix cache',
    commands: all,
  },
  bytesPerToken: {
    name: 'bytes-per-token',
    kind: kinds.decimal(0.5, 64),
    unit: 'bytes',
    default: 4,
    why: 'prompts are measured in bytes, engines in tokens; 4 is usual for English and code',
    commands: all,
  },
  ringSeed: {
    name: 'ring-seed',
    kind: kinds.integer(0, 4_294_967_295),
    unit: '',
    default: 0,
    why: 'routers with the same seed and instances give a prefix the same pair',
    commands: all,
  },
  indexBlocks: {
    name: 'index-blocks',
    kind: kinds.integer(1024, 268_435_456),
    unit: 'blocks',
    default: 1_048_576,
    why: 'blocks of 512 bytes in the prefix index of the fleet; its memory is taken at start',
    commands: all,
  },
} as const satisfies Partial<OptionTable>;

export const queueing = {
  queueMode: {
    name: 'queue',
    kind: kinds.choice(queueModes),
    unit: '',
    default: 'auto',
    why: '`router`: requests wait here until an instance has room; `direct`: in the instance',
    commands: all,
  },
  binding: {
    name: 'binding',
    kind: kinds.choice(bindings),
    unit: '',
    default: 'auto',
    why: '`late`: a request waits for both its candidates; `early`: for the one chosen on arrival',
    commands: all,
  },
  queueOrder: {
    name: 'queue-order',
    kind: kinds.choice(['auto', ...queueOrders]),
    unit: '',
    default: 'auto',
    why: '`deadline`: what can be in time, cheapest first; `hit`: most cached first; or `fcfs`',
    commands: all,
  },
  prefillWindowTokens: {
    name: 'prefill-window-tokens',
    kind: kinds.orAuto(kinds.integer(1, 1_000_000_000)),
    unit: 'tokens',
    default: null,
    why: 'tokens not yet prefilled that an instance may hold and still be sent more; two steps',
    commands: all,
  },
  latePolicy: {
    name: 'late-policy',
    kind: kinds.choice(latePolicies),
    unit: '',
    default: 'serve',
    why: 'requests that can no longer be in time wait behind the others, or are refused with 429',
    commands: all,
  },
  queueSize: {
    name: 'queue-size',
    kind: kinds.integer(0, 1_000_000),
    unit: 'requests',
    default: 16_384,
    why: 'requests that may wait in the router, all instances together; one more is answered 429',
    commands: all,
  },
  queueTimeoutMs: {
    name: 'queue-timeout-secs',
    kind: kinds.seconds(0.001, 86_400),
    unit: 's',
    default: 600_000,
    why: 'a request that has waited so long is answered 504: its client has long given up',
    commands: all,
  },
  warmthPatience: {
    name: 'warmth-patience',
    kind: kinds.decimal(0, 1000),
    unit: 'times',
    default: 1.5,
    why: 'a request waits for its warmer candidate up to so many times the TTFT of the other one',
    commands: all,
  },
} as const satisfies Partial<OptionTable>;
