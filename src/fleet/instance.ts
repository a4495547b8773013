/**
 * One instance as the control plane knows it, and the two things that follow from it alone: its
 * state, and its weight on the rings. Main thread; pure functions.
 */
import type { InstanceState } from '../core/fleet-state.ts';

/** One entry of an engine's `/v1/models`, passed on as it is. */
export interface ModelEntry {
  readonly id: string;
  readonly [field: string]: unknown;
}

export interface Instance {
  readonly slot: number;
  /** Its identity on the rings, as 16 hex digits: the same in every router and after a restart. */
  readonly id: string;
  readonly url: string;
  weight: number;
  /** As configured; `null`: what it lists itself. */
  configuredModels: readonly string[] | null;
  /** What it lists; empty: nothing usable, so it serves any model. */
  models: readonly ModelEntry[];
  /** It has answered a health check at least once, so it has a place on the rings. */
  isKnown: boolean;
  /** It has answered since it last failed too many of them. */
  isHealthy: boolean;
  /** The first snapshot that names it; `null`: none yet. */
  namedSince: number | null;
  /** Every I/O thread has that snapshot, so that whoever chooses it finds its URL. */
  isAnnounced: boolean;
  warmUp: WarmUp;
  leaving: Leaving | null;
}

/** `due` until it answers for the first time, then the moment of that. */
export type WarmUp = 'due' | 'done' | { readonly sinceMs: number; readonly step: number };

export interface Leaving {
  /** What it still has then is ended. */
  readonly deadlineMs: number;
  /** The first rings without it; `null`: not built yet. */
  ringsVersion: number | null;
  isOverdue: boolean;
}

/**
 * Its state in the fleet state. Leaving outlasts everything; whoever has not answered yet, or is
 * not known to all threads, is joining.
 */
export function stateOf(instance: Instance): InstanceState {
  if (instance.leaving !== null) return 'draining';
  if (!instance.isKnown) return 'joining';
  if (!instance.isHealthy) return 'dead';
  return instance.isAnnounced ? 'serving' : 'joining';
}

export const warmUpSteps = 10;

/** When a step is due, from the start of the warm-up: the first at once, the last at its end. */
export function warmUpStepDueMs(step: number, warmUpMs: number): number {
  return (warmUpMs * (step - 1)) / (warmUpSteps - 1);
}

/** Steps that have been taken, 1..warmUpSteps. */
export function warmUpStep(elapsedMs: number, warmUpMs: number): number {
  let step = 1;
  while (step < warmUpSteps && elapsedMs >= warmUpStepDueMs(step + 1, warmUpMs)) step++;
  return step;
}

/**
 * The weight it has on the rings now. The points of a lighter instance are a part of those of a
 * heavier one, so every step only brings keys to it: none moves between two others, and none that
 * came leaves again. A share drawn by chance for each request would do neither.
 */
export function ringWeight({ weight, warmUp }: Pick<Instance, 'weight' | 'warmUp'>): number {
  if (warmUp === 'done') return weight;
  return (weight * (warmUp === 'due' ? 1 : warmUp.step)) / warmUpSteps;
}

/** The names of the models it serves; empty: any. */
export function modelNames({ configuredModels, models }: Instance): readonly string[] {
  return configuredModels ?? models.map(({ id }) => id);
}

/** The same as `/v1/models` lists them. */
export function listedModels({ configuredModels, models }: Instance): readonly ModelEntry[] {
  return configuredModels?.map((id) => ({ id, object: 'model' })) ?? models;
}

/** Engines stamp their entries anew at every call; which models they are is all that counts. */
export function areSameModels(some: readonly ModelEntry[], others: readonly ModelEntry[]): boolean {
  const names = (models: readonly ModelEntry[]) => JSON.stringify(models.map(({ id }) => id));
  return names(some) === names(others);
}
