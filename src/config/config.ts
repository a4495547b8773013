/**
 * What the rest of the router is configured with: plain values, checked, in the units of their
 * names. Made by `load.ts` alone, never changed afterwards, safe to send to another thread. Every
 * field has its row in `options.ts`, where its bounds and its reason are written.
 */

/** Order is that of `PolicyName` in native/core/policy.h. */
export const policies = [
  'dualmap-paper',
  'round_robin',
  'least_tokens',
  'consistent_hash',
  'dualmap',
  'random',
  'least_requests',
  'power_of_two',
  'bounded_hash',
  'min_ttft',
  'preble',
  'cache_aware',
  'dynamo_cost',
  'llmd_default',
  'lmetric',
] as const;
export type PolicyName = (typeof policies)[number];

export const queueModes = ['auto', 'router', 'direct'] as const;
export type QueueMode = (typeof queueModes)[number];

export const bindingWidths = ['auto', 'pair', 'fleet'] as const;
export type BindingWidth = (typeof bindingWidths)[number];

export const bindings = ['auto', 'late', 'early'] as const;
export type Binding = (typeof bindings)[number];

export const rebalanceModes = ['auto', 'on', 'off'] as const;
export type RebalanceMode = (typeof rebalanceModes)[number];

/** Order is that of `QueueOrder` in native/core/queues.h. */
export const queueOrders = ['deadline', 'hit', 'fcfs'] as const;
export type QueueOrder = (typeof queueOrders)[number];

/** Order is that of `LatePolicy` in native/core/queues.h. */
export const latePolicies = ['serve', 'shed'] as const;
export type LatePolicy = (typeof latePolicies)[number];

export const estimateRules = ['auto', 'linear', 'fitted'] as const;
export type EstimateRule = (typeof estimateRules)[number];

export const frontEnds = ['auto', 'uws', 'http'] as const;
export type FrontEnd = (typeof frontEnds)[number];

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof logLevels)[number];

/** One inference server, as configured. */
export interface InstanceConfig {
  /** Normalised by `instance-url.ts`: `http://10.0.0.1:8000`, `unix:/run/engine.sock`. */
  readonly url: string;
  /** Share of the ring relative to an instance of weight 1. */
  readonly weight: number;
  /** Models it serves; `null`: ask it (`/v1/models`). Never empty. */
  readonly models: readonly string[] | null;
}

/** `null` means off. Times are in milliseconds unless the name says otherwise. */
export interface Config {
  /** The YAML file that was read. */
  readonly configFile: string | null;
  readonly instances: readonly InstanceConfig[];

  readonly host: string;
  readonly port: number;
  readonly frontEnd: FrontEnd;
  readonly ioThreads: number;
  readonly apiKey: string | null;
  readonly requestsInFlightMax: number | null;
  readonly bodyBytesMax: number;
  readonly headerCountMax: number;
  readonly headerBytesMax: number;
  readonly bodyTimeoutMs: number;

  readonly policy: PolicyName;
  readonly sloTtftMs: number;
  readonly sloTtftMsPerToken: number;
  readonly sloFraction: number;
  readonly estimate: EstimateRule;
  /** Microseconds an instance needs for one uncached prompt token, until it is measured. */
  readonly prefillUsPerToken: number;
  /** Prefix cache of an instance in tokens, until the engine tells. */
  readonly cacheTokens: number;
  readonly bytesPerToken: number;
  /** Of the prefix key that a request is placed by; `null`: a hot prefix gets a longer one. */
  readonly keyLevel: number | null;
  readonly ringSeed: number;
  /** Blocks that the prefix index holds for the whole fleet. */
  readonly indexBlocks: number;
  readonly instancesMax: number;

  /** `auto` in these: as the policy has it (`policy-modes.ts`). */
  readonly queueMode: QueueMode;
  readonly binding: Binding;
  readonly bindingWidth: BindingWidth;
  /** Routers that send to the same instances and share nothing, this one included. */
  readonly replicas: number;
  readonly rebalance: RebalanceMode;
  readonly queueOrder: QueueOrder | 'auto';
  /** Un-prefilled tokens in an instance above which it has no room; `null`: as the policy has it. */
  readonly prefillWindowTokens: number | null;
  readonly latePolicy: LatePolicy;
  readonly queueSize: number;
  readonly queueTimeoutMs: number;
  readonly coldClaimPrice: number;

  readonly firstTokenTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly suspectBackoffMs: number;
  readonly suspectBackoffMaxMs: number;
  readonly healthCheckIntervalMs: number;
  readonly healthCheckTimeoutMs: number;
  readonly healthCheckPath: string;
  readonly healthFailureThreshold: number;
  readonly healthSuccessThreshold: number;
  /** An instance that joins at run time takes its share in steps over this time. */
  readonly warmUpMs: number;
  readonly drainTimeoutMs: number;
  readonly shutdownGraceMs: number;
  /** How often each engine's own metrics are read. */
  readonly metricsPollIntervalMs: number | null;

  readonly explain: boolean;
  readonly logLevel: LogLevel;
  readonly logJson: boolean;
  readonly prometheusPort: number | null;
  readonly journalFile: string | null;
  readonly journalBytesMax: number;
  /** Files of the journal, the one being written included. */
  readonly journalFilesMax: number;
}
