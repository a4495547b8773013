import { expect, test } from 'vitest';
import { FleetState, type Scraped } from '../../src/core/fleet-state.ts';
import { Core, createStateMemory } from '../../src/core/native.ts';
import type { Engine } from '../../src/simulate/engine.ts';
import type { Placer } from '../../src/simulate/placer.ts';
import { Scrapes } from '../../src/simulate/scrapes.ts';
import { directCore } from '../support/core.ts';

function openCore() {
  const memory = createStateMemory({
    ...{ instancesMax: 1, threadsMax: 1, ringPointsMax: 320, indexBlocks: 1_024 },
    ...{ hotnessRequestsMax: 1_024, waitingMax: 1 },
  });
  const state = new FleetState(memory, 1);
  const core = new Core(memory, 0, directCore);
  const url = 'http://10.0.0.1:8000';
  const slot = state.takeSlot(url);
  state.setState(slot, 'serving');
  core.buildRings([{ slot, url, weight: 1, models: [] }], 0n);
  return { core, state };
}

test('every router sees every engine at moments of its own, at its age', () => {
  const engines = [3, 5].map((waiting) => ({ waiting, running: 1, kvUse: waiting / 10 }) as Engine);
  const seen: string[][] = [[], []];
  let nowMs = 0;
  const ages = new Set<number>();
  const placers = seen.map((log) => ({
    scraped(instance: number, { waiting, running, kvUse, atMs }: Scraped) {
      ages.add(Math.round(nowMs - atMs));
      log.push(`${instance}: ${waiting} ${running} ${kvUse}`);
    },
  })) as unknown as Placer[];
  const scrapes = new Scrapes(engines, placers, { intervalMs: 1_000, ageMs: 100, seed: 1 });
  while (scrapes.nextMs < 10_000) {
    expect(scrapes.nextMs).toBeGreaterThanOrEqual(nowMs);
    nowMs = scrapes.nextMs;
    scrapes.advance();
  }
  expect([...ages]).toEqual([100]);
  for (const log of seen) {
    expect(new Set(log)).toEqual(new Set(['0: 3 1 0.3', '1: 5 1 0.5']));
    expect(log.length / 2).toBeGreaterThanOrEqual(9);
    expect(log.length / 2).toBeLessThanOrEqual(11);
  }
});

test('an engine that joins is in no view from before', () => {
  const engines = [{ waiting: 3, running: 1 } as Engine];
  const log: number[] = [];
  const placer = { scraped: (instance: number) => log.push(instance) } as unknown as Placer;
  const scrapes = new Scrapes(engines, [placer], { intervalMs: 1_000, ageMs: 100, seed: 1 });
  scrapes.advance();
  engines.push({ waiting: 0, running: 0 } as Engine);
  while (log.length < 3) scrapes.advance();
  expect(log).toEqual([0, 0, 1]);
});

test('of the requests that wait in an engine its own are not those of other routers', () => {
  const { core, state } = openCore();
  const others = (waiting: number) => {
    state.setScraped(0, { waiting, running: 0, kvUse: null, atMs: 5 });
    return state.peersWaiting(0);
  };
  expect([others(0), others(2)]).toEqual([0, 2]);
  expect(core.placeChain(new BigUint64Array([1n]), 1, 128, 1)).toBe(null);
  expect([others(0), others(1), others(2)]).toEqual([0, 0, 1]);
});

test('when requests of other routers waited at last is kept, until another instance comes', () => {
  const { state } = openCore();
  const seenAt = (waiting: number, atMs: number) => {
    state.setScraped(0, { waiting, running: 0, kvUse: null, atMs });
    return state.peersWaitedAtMs(0);
  };
  expect([seenAt(0, 5), seenAt(2, 7), seenAt(0, 9), seenAt(1, 11)]).toEqual([0, 7, 7, 11]);
  state.setState(0, 'free');
  expect(state.takeSlot('http://other')).toBe(0);
  expect(state.peersWaitedAtMs(0)).toBe(0);
});

test('while no engine does anything its metrics are read once, and then as ever', () => {
  const engines = [{ waiting: 0, running: 0, kvUse: 0.5 }] as Engine[];
  const seen: number[] = [];
  const placers = [
    { scraped: (_: number, { atMs }: Scraped) => seen.push(atMs) },
  ] as unknown as Placer[];
  const scrapes = new Scrapes(engines, placers, { intervalMs: 1_000, ageMs: 100, seed: 1 });
  scrapes.skip(3_600_000);
  expect(seen).toEqual([3_599_900]);
  expect(scrapes.nextMs).toBeGreaterThanOrEqual(3_600_000);
  expect(scrapes.nextMs).toBeLessThan(3_601_000);
});
