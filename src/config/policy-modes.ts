/**
 * What each policy means: how a request is bound to an instance and in which order requests wait.
 * The rules themselves are in native/core. Data only; an option that is not `auto` comes first.
 */
import type { PolicyName, QueueOrder } from './config.ts';

export interface PolicyMode {
  /** Requests wait in the router until an instance has room; else they go to it at once. */
  readonly queues: boolean;
  /** A request waits for both its candidates; else for the one that was chosen on arrival. */
  readonly bindsLate: boolean;
  /** What waits bound to one candidate may be moved to the other. */
  readonly rebalances: boolean;
  readonly queueOrder: QueueOrder;
  /** Un-prefilled tokens in an instance above which it has no room. */
  readonly prefillWindowTokens: number;
  /** Estimates are fitted to measured first tokens; else the stated time a token stands. */
  readonly fitsEstimates: boolean;
}

/**
 * Two steps of an engine with chunked prefill at the usual budget of 2,048 tokens a step: one that
 * is computed, one that is ready when it ends. Less, and small prompts leave steps half empty while
 * the router hears of the first token; more, and what is urgent stands behind it in the engine.
 */
const twoSteps = 4_096;
/** The authors' release hands an engine one request at a time. */
const oneRequest = 1;

/** As the systems that these rules come from do. With `--queue router` the one chosen has a queue. */
const direct: PolicyMode = {
  queues: false,
  bindsLate: false,
  rebalances: false,
  queueOrder: 'deadline',
  prefillWindowTokens: twoSteps,
  fitsEstimates: true,
};

export const policyModes: Readonly<Record<PolicyName, PolicyMode>> = {
  dualmap: { ...direct, queues: true, bindsLate: true },
  'dualmap-paper': {
    queues: true,
    bindsLate: false,
    rebalances: true,
    queueOrder: 'hit',
    prefillWindowTokens: oneRequest,
    fitsEstimates: false,
  },
  /** Members in turn. */
  round_robin: direct,
  /** Argmin of pending and own uncached tokens. */
  least_tokens: direct,
  /** One ring, whatever the load. */
  consistent_hash: direct,
  /** Drawn uniformly. */
  random: direct,
  /** Argmin of requests waiting and running. */
  least_requests: direct,
  /** Two drawn; the one with fewer pending and own uncached tokens. */
  power_of_two: direct,
  /** One ring, going on where an instance has 1.25 times its share. */
  bounded_hash: direct,
  /** Argmin of the estimated time to first token (Mooncake). */
  min_ttft: direct,
  /** Mostly cached: the least loaded owner; else least load, eviction and prefill (Preble). */
  preble: direct,
  /** Best match above 0.3, else smallest tree; shortest queue out of balance (SGLang). */
  cache_aware: direct,
  /** Argmin of blocks to prefill and to decode (NVIDIA Dynamo). */
  dynamo_cost: direct,
  /** Argmax of queue, KV use and match, weighted 2, 2, 3 (llm-d). */
  llmd_default: direct,
  /** Argmin of tokens to prefill times requests (LMetric). */
  lmetric: direct,
};
