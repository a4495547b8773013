/**
 * One look at one engine: finds where it tells its metrics, and asks for what they lack. Main
 * thread. One request at a time.
 */
import type { ProbeAnswer } from '../health.ts';
import { capacityOfProps, kvUseOfSlots } from './llama-cpp.ts';
import { metricsPaths } from './names.ts';
import { MetricsFault } from './prometheus.ts';
import { type EngineReading, readEngine } from './reading.ts';

/** GETs a path of the engine; rejects on any failure. */
export type Ask = (path: string) => Promise<ProbeAnswer>;

export interface Scrape {
  readonly reading: EngineReading;
  /** Where it was found: the one to try first the next time. */
  readonly path: string;
}

/**
 * Rejects with what the engine's connection failed of, or with MetricsFault if no path has the
 * metrics of an engine. `wantsCapacity`: asks for it where that takes a request of its own.
 */
export async function scrapeEngine(
  ask: Ask,
  firstPath: string,
  wantsCapacity: boolean,
): Promise<Scrape> {
  const others = metricsPaths.filter((path) => path !== firstPath);
  for (const path of [firstPath, ...others]) {
    const { status, body } = await ask(path);
    const reading = status === 200 ? readEngine(body) : null;
    if (reading === null) continue;
    if (reading.kind !== 'llamacpp') return { reading, path };
    const kvUse = await optional(ask, '/slots', kvUseOfSlots);
    const capacityTokens = wantsCapacity ? await optional(ask, '/props', capacityOfProps) : null;
    return { reading: { ...reading, kvUse, capacityTokens }, path };
  }
  throw new MetricsFault(`no metrics of a known engine at ${metricsPaths.join(' nor ')}`);
}

/** `/slots` and `/props` can be switched off; the load is worth having without them. */
async function optional(
  ask: Ask,
  path: string,
  read: (body: string) => number | null,
): Promise<number | null> {
  try {
    const { status, body } = await ask(path);
    return status === 200 ? read(body) : null;
  } catch {
    // The next scrape will find out whether the engine itself is in trouble.
    return null;
  }
}
