/**
 * How a decision core is set, and the names of what it decides: each list is in the order of an
 * enumeration of native/core; those that are options are `config.ts`'s. Data only.
 */
import type { LatePolicy, PolicyName, QueueOrder } from '../config/config.ts';

export {
  type LatePolicy,
  latePolicies,
  type PolicyName,
  policies as policyNames,
  type QueueOrder,
  queueOrders,
} from '../config/config.ts';

/** Order is that of `Reason` in native/core/policy.h. */
export const reasons = [
  'only',
  'warm_within_slo',
  'equal_hit_less_loaded',
  'slo_exceeded',
  'rotation',
  'least_tokens',
  'ring',
  'least_requests',
  'retry_other',
  'retry_next',
  'warm_claim',
  'cold_claim',
  'random',
  'less_loaded_of_two',
  'ring_full',
  'least_cost',
  'best_match',
  'smallest_tree',
  'migrated',
  'home',
] as const;
export type Reason = (typeof reasons)[number];

export interface QueueOptions {
  /** False: every request goes to its instance at once. */
  readonly queues: boolean;
  /** Waits in the queues of both candidates; otherwise of the one that the policy has chosen. */
  readonly bindsLate: boolean;
  /** And any other instance with room may claim it. */
  readonly fleetWide: boolean;
  readonly queueOrder: QueueOrder;
  readonly latePolicy: LatePolicy;
  /** Un-prefilled tokens in an instance above which it has no room. */
  readonly prefillWindowTokens: number;
  readonly coldClaimPrice: number;
  /** Other routers, which see nothing of this one, fill the same instances. */
  readonly hasPeers: boolean;
}

export interface CoreOptions extends QueueOptions {
  readonly policy: PolicyName;
  readonly sloTtftMs: number;
  /** Added for every token of the prompt. */
  readonly sloTtftMsPerToken: number;
  /** Share of the SLO up to which the warm candidate stays chosen, 0..1. */
  readonly sloFraction: number;
  readonly tokensPerByte: number;
  /** Of every prefix key; `null`: a hot one is longer. */
  readonly keyLevel: number | null;
  /** Requests of the window that a key needs to be hot. */
  readonly hotRequestsMin: number;
  readonly suspectBackoffMs: number;
  readonly suspectBackoffMaxMs: number;
}

/** What the head of a request asks for; `null`: it says nothing of it. */
export interface Objective {
  readonly sloTtftMs: number | null;
  /** Lower goes first. */
  readonly priority: number | null;
}
