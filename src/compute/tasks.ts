/**
 * What the compute pool can be asked for: pure functions, by name. The entry of the pool's threads.
 */
export { fitSpeeds } from './estimate.ts';
export { planRebalance } from './rebalance.ts';
