/** The fit of an instance's speed, on instances whose speed is known. */
import { describe, expect, it } from 'vitest';
import { fitSpeed, fitSpeeds } from '../../src/compute/estimate.ts';
import type { SpeedCoefficients } from '../../src/core/fleet-state.ts';
import { InstanceModel, rowsOf, ttftOf } from '../support/instance-model.ts';

const seedBase = Number(process.env.SEED ?? Date.now() % 1_000_000);
const seeds = Array.from({ length: 100 }, (_, index) => seedBase + index);

/** Distance between estimate and truth as a share of the truth, of typical requests, ascending. */
function errors(found: SpeedCoefficients, truth: SpeedCoefficients, model: InstanceModel) {
  return Array.from({ length: 200 }, () => {
    const request = model.request();
    return Math.abs(ttftOf(found, request) / ttftOf(truth, request) - 1);
  }).sort((left, right) => left - right);
}

describe.each([0.1, 1, 10])('a stated speed of %f times the truth', (factor) => {
  it('is within 20 % of it after 200 requests', () => {
    for (const seed of seeds) {
      const model = new InstanceModel(seed);
      const truth = model.speed();
      const found = fitSpeed(model.samples(truth, 200), truth.perTokenMs * factor);
      const off = errors(found, truth, model);
      expect(off[100], `median, seed ${seed}`).toBeLessThan(0.1);
      expect(off[180], `nine of ten, seed ${seed}`).toBeLessThan(0.25);
      const ratio = found.perTokenMs / truth.perTokenMs;
      expect(Math.abs(ratio - 1), `time a token, seed ${seed}`).toBeLessThan(0.2);
    }
  });

  it('is of use after 30', () => {
    const medians = seeds.map((seed) => {
      const model = new InstanceModel(seed);
      const truth = model.speed();
      const found = fitSpeed(model.samples(truth, 30), truth.perTokenMs * factor);
      return errors(found, truth, model)[100]!;
    });
    const middle = medians.sort((left, right) => left - right)[50]!;
    expect(middle, `seeds from ${seedBase}`).toBeLessThan(0.1);
  });
});

it('no coefficient is ever negative or not a number, whatever was measured', () => {
  for (const seed of seeds) {
    const model = new InstanceModel(seed);
    const count = 1 + (seed % 40);
    const samples = Array.from({ length: count }, (_, index) => ({
      ...model.request(),
      ttftMs: model.measured(seed % 3 === 0 ? 100 : 10 ** (((index * seed) % 11) - 5)),
    }));
    for (const value of Object.values(fitSpeed(rowsOf(samples), 0.16))) {
      expect(value >= 0 && Number.isFinite(value), `seed ${seed}: ${value}`).toBe(true);
    }
  }
});

it('without samples it is the stated speed', () => {
  const stated = { baseMs: 0, perTokenMs: 0.16, perTokenContextMs: 0, perRunningMs: 0 };
  expect(fitSpeed(new Float64Array(0), 0.16)).toEqual(stated);
});

it('like requests leave plain proportion: of the other terms they say nothing', () => {
  const one = { aheadTokens: 0, uncachedTokens: 1_000, promptTokens: 1_000, running: 0 };
  const long = { ...one, uncachedTokens: 20_000, promptTokens: 20_000 };
  for (const seed of seeds) {
    const model = new InstanceModel(seed);
    const samples = Array.from({ length: 64 }, (_, index) => {
      const tokens = 970 + index;
      const ttftMs = model.measured(tokens * 0.32);
      return { ...one, uncachedTokens: tokens, promptTokens: tokens, ttftMs };
    });
    const found = fitSpeed(rowsOf(samples), 0.16);
    expect(Math.abs(ttftOf(found, long) / 6_400 - 1), `seed ${seed}`).toBeLessThan(0.5);
    expect(found.perRunningMs).toBe(0);
  }
});

it('a lasting change of speed is followed within 100 requests', () => {
  const medians = seeds.map((seed) => {
    const model = new InstanceModel(seed);
    const before = model.speed();
    const after = { ...before, baseMs: before.baseMs * 3, perTokenMs: before.perTokenMs * 3 };
    const history = [...model.samples(before, 156), ...model.samples(after, 100)];
    const found = fitSpeed(Float64Array.from(history), before.perTokenMs);
    return errors(found, after, model)[100]!;
  });
  const middle = medians.sort((left, right) => left - right)[50]!;
  expect(middle, `seeds from ${seedBase}`).toBeLessThan(0.25);
});

it('one wild time among ten does not carry the rest away', () => {
  for (const seed of seeds) {
    const model = new InstanceModel(seed);
    const truth = model.speed();
    const samples = Array.from({ length: 100 }, (_, index) => {
      const request = model.request();
      return { ...request, ttftMs: ttftOf(truth, request) * (index % 10 === 3 ? 100 : 1) };
    });
    const found = fitSpeed(rowsOf(samples), truth.perTokenMs * 10);
    expect(errors(found, truth, model)[100], `seed ${seed}`).toBeLessThan(0.05);
  }
});

it('several instances at once are fitted like one after the other', () => {
  const model = new InstanceModel(7);
  const jobs = [0.1, 1].map((prefillMsPerToken) => {
    return { rows: model.samples(model.speed(), 20), prefillMsPerToken };
  });
  const alone = jobs.map(({ rows, prefillMsPerToken }) => fitSpeed(rows, prefillMsPerToken));
  expect(fitSpeeds(jobs)).toEqual(alone);
});
