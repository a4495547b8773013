import { expect } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { EngineOptions } from '../../src/emulate/presets.ts';
import { type EmulatedEngine, startEngine } from '../../src/emulate/server.ts';
import { type RunningRouter, startRouter } from '../../src/serve.ts';
import { type Ending, endings } from '../../src/terms.ts';
import { HttpClient } from './e2e-client.ts';
import { type Act, ScriptedEngine } from './e2e-engine.ts';
import { eventually } from './listen-client.ts';

/**
 * A whole router on real sockets, with engines behind it, for one test. Its threads run the built
 * `dist/`, its main thread the sources. Whatever the test did, at its end no counter of the fleet
 * may hold anything.
 */

export interface RouterSetup {
  /** Emulated engines, 50 times faster than life unless `engineOptions` say otherwise. */
  readonly engines?: number;
  readonly engineOptions?: Partial<EngineOptions>;
  /** Scripted engines; in the configuration they come after the emulated ones. */
  readonly scripts?: readonly Act[];
  /** Instances that nobody starts here, last in the configuration. */
  readonly urls?: readonly string[];
  readonly config?: Partial<Config>;
}

export interface RouterUnderTest {
  readonly router: RunningRouter;
  readonly engines: readonly EmulatedEngine[];
  readonly scripted: readonly ScriptedEngine[];
  /** In the order of their slots. */
  readonly urls: readonly string[];
  readonly client: HttpClient;
}

/** Small, quick to notice what changes, quiet; otherwise as configured by default. */
const overrides: Partial<Config> = {
  port: 0,
  ioThreads: 1,
  instancesMax: 16,
  indexBlocks: 65_536,
  suspectBackoffMs: 50,
  suspectBackoffMaxMs: 2_000,
  healthCheckIntervalMs: 100,
  healthFailureThreshold: 2,
  shutdownGraceMs: 2_000,
  metricsPollIntervalMs: null,
  logLevel: 'fatal',
};

export function configFor(urls: readonly string[], config: Partial<Config> = {}): Config {
  const argv = urls.length === 0 ? [] : ['--worker-urls', ...urls];
  const readFile = (path: string) => {
    throw new Error(`no file is read here, and not ${path}`);
  };
  const loaded = loadConfig({ argv, env: {}, readFile });
  if (loaded.config === null) throw new Error(loaded.faults.join('; '));
  return { ...loaded.config, ...overrides, ...config };
}

export async function withRouter(
  setup: RouterSetup,
  test: (parts: RouterUnderTest) => Promise<void>,
): Promise<void> {
  const engineOptions: EngineOptions = {
    preset: 'paper-7b',
    timeScale: 50,
    ...setup.engineOptions,
  };
  const engines = await startAll(setup.engines ?? 0, () => startEngine(engineOptions));
  const scripted = await Promise.all((setup.scripts ?? []).map((act) => ScriptedEngine.start(act)));
  try {
    const urls = [...engines, ...scripted].map(({ url }) => url).concat(setup.urls ?? []);
    const router = await startRouter(configFor(urls, setup.config));
    const client = new HttpClient(router.url);
    try {
      await test({ router, engines, scripted, urls, client });
      await countersAreZero(router, urls.length);
    } finally {
      client.close();
      await router.close();
    }
  } finally {
    await Promise.all([...engines, ...scripted].map((engine) => engine.close()));
  }
}

function startAll<T>(count: number, start: () => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, start));
}

/** What is reserved on the instances, of any kind: empty when nothing is. */
export function reservations({ state }: RunningRouter, slots: number): string[] {
  const list: string[] = [];
  for (let slot = 0; slot < slots; slot += 1) {
    for (const kind of ['queued', 'prefilling', 'decoding'] as const) {
      const { requests, tokens } = state.load(slot, kind);
      if (requests !== 0 || tokens !== 0) list.push(`${slot} ${kind} ${requests}/${tokens}`);
    }
    if (state.holds(slot) !== 0) list.push(`${slot} held by ${state.holds(slot)}`);
    if (state.standing(slot) !== 0) list.push(`${slot} waited for by ${state.standing(slot)}`);
  }
  return list;
}

/** Every answer may have arrived a moment before the router has counted it: hence in a while. */
export async function countersAreZero(router: RunningRouter, slots: number): Promise<void> {
  try {
    await eventually(() => reservations(router, slots).length === 0, 'empty counters', 5_000);
  } catch (cause) {
    throw new Error(`still reserved: ${reservations(router, slots).join(', ')}`, { cause });
  }
}

/** How often each ending came, those alone that came. */
export function endingsOf({ stats }: RunningRouter): Partial<Record<Ending, number>> {
  const counts = endings.map(
    (ending) => [ending, stats.reduce((sum, thread) => sum + thread.ending(ending), 0)] as const,
  );
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

/** An answer may have arrived a moment before its ending is counted: hence in a while. */
export async function endingsBecome(
  router: RunningRouter,
  expected: Partial<Record<Ending, number>>,
): Promise<void> {
  await expect.poll(() => endingsOf(router), { timeout: 5_000, interval: 5 }).toEqual(expected);
}

export function endingsCount(router: RunningRouter): number {
  return Object.values(endingsOf(router)).reduce((sum, count) => sum + count, 0);
}

export function retriesOf({ stats }: RunningRouter): number {
  return stats.reduce((sum, thread) => sum + thread.counter('retries'), 0);
}

/** A chat of one message; `more` adds fields or replaces them. */
export function chat(content: string, more: object = {}): object {
  return { messages: [{ role: 'user', content }], max_tokens: 4, ...more };
}

export const chatPath = '/v1/chat/completions';
