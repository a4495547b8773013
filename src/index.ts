/**
 * The library: what a gateway that embeds the router may use. Nothing else is public.
 */
export { type Clock, systemClock } from './clock.ts';
export type { Config, InstanceConfig } from './config/config.ts';
export { type LoadedConfig, loadConfig } from './config/load.ts';
export { FleetState, type InstanceState } from './core/fleet-state.ts';
export {
  type Capacities,
  Core,
  type CoreOptions,
  createStateMemory,
  type PlaceFault,
  type PlacementView,
  type PolicyName,
  policyNames,
  type Reason,
  type RingMember,
} from './core/native.ts';
export { type RunningRouter, startRouter } from './serve.ts';
