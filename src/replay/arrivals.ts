import { createRandom } from './random.ts';

/**
 * When the requests of a trace are due. Pure; any thread.
 */

/**
 * Traces recorded by a batching collector give many requests one timestamp (Mooncake's
 * conversations: every 3.0 s). Draws each of a batch's requests uniformly in the batch's window:
 * from its timestamp to the next one, but no longer than the median step between timestamps, so
 * that a pause in the trace stays a pause. A request alone at its timestamp keeps it. The order of
 * the rows is kept. `timestampsMs` ascends; so does the result, in milliseconds too.
 */
export function spreadArrivals(timestampsMs: readonly number[], seed: number): number[] {
  const random = createRandom(seed);
  const stepMedianMs = medianStep(timestampsMs);
  const spread: number[] = [];
  let first = 0;
  while (first < timestampsMs.length) {
    const startMs = timestampsMs[first]!;
    let next = first + 1;
    while (next < timestampsMs.length && timestampsMs[next] === startMs) next++;
    const nextMs = timestampsMs[next] ?? Number.POSITIVE_INFINITY;
    const windowMs = next - first === 1 ? 0 : Math.min(nextMs - startMs, stepMedianMs);
    const batch: number[] = [];
    for (let index = first; index < next; index++) batch.push(startMs + random() * windowMs);
    batch.sort((a, b) => a - b);
    for (const dueMs of batch) spread.push(dueMs);
    first = next;
  }
  return spread;
}

/** Median of the steps between distinct timestamps; 0 if there is only one. */
function medianStep(timestampsMs: readonly number[]): number {
  const steps: number[] = [];
  for (let index = 1; index < timestampsMs.length; index++) {
    const stepMs = timestampsMs[index]! - timestampsMs[index - 1]!;
    if (stepMs > 0) steps.push(stepMs);
  }
  steps.sort((a, b) => a - b);
  return steps[steps.length >> 1] ?? 0;
}
