import type { CoreOptions } from '../../src/core/core-options.ts';

/** A core as published, without queues: what is placed has its instance. */
export const directCore: CoreOptions = {
  policy: 'dualmap-paper',
  sloTtftMs: 5_000,
  sloTtftMsPerToken: 0,
  sloFraction: 0.5,
  tokensPerByte: 0.25,
  keyLevel: null,
  hotRequestsMin: 20,
  suspectBackoffMs: 500,
  suspectBackoffMaxMs: 30_000,
  queues: false,
  bindsLate: false,
  fleetWide: false,
  queueOrder: 'deadline',
  latePolicy: 'serve',
  prefillWindowTokens: 4_096,
  coldClaimPrice: 8,
  hasPeers: false,
};
