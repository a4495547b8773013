/**
 * What each policy means: how a request is bound to an instance and in which order requests wait.
 * The rules themselves are in native/core. Data only; an option that is not `auto` comes first.
 */
import type { PolicyName, QueueOrder } from './config/config.ts';

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
  round_robin: direct,
  least_tokens: direct,
  consistent_hash: direct,
};
