/**
 * The library: what a gateway that embeds the router may use. Nothing else is public.
 */
export { type Clock, systemClock } from './clock.ts';
export type { Config, InstanceConfig } from './config/config.ts';
export { type LoadedConfig, loadConfig } from './config/load.ts';
export {
  type CoreOptions,
  type PolicyName,
  policyNames,
  type QueueOptions,
  type Reason,
} from './core/core-options.ts';
export { FleetState, type InstanceState } from './core/fleet-state.ts';
export {
  type Capacities,
  Core,
  createStateMemory,
  type PlaceFault,
  type RingMember,
} from './core/native.ts';
export type { PlacementView } from './core/placement-view.ts';
export { type RunningRouter, startRouter } from './serve.ts';
