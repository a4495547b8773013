import { expect, test } from 'vitest';
import { FleetState, type SpeedCoefficients } from '../../src/core/fleet-state.ts';
import { createStateMemory } from '../../src/core/native.ts';
import { sampleWords } from '../../src/core/samples.ts';
import { type FitSpeeds, Speeds } from '../../src/fleet/speeds.ts';
import { rowsOf } from '../support/instance-model.ts';

const fitted: SpeedCoefficients = {
  baseMs: 7,
  perTokenMs: 0.5,
  perTokenContextMs: 0.25,
  perRunningMs: 2,
};
const stated: SpeedCoefficients = {
  baseMs: 0,
  perTokenMs: 0.16,
  perTokenContextMs: 0,
  perRunningMs: 0,
};

/** Two instances; every fit waits for `answer`. */
function setUp(isFitted = true) {
  const memory = createStateMemory({
    instancesMax: 4,
    threadsMax: 1,
    ringPointsMax: 64,
    indexBlocks: 64,
    hotnessRequestsMax: 64,
    waitingMax: 0,
  });
  const state = new FleetState(memory, 4);
  const slots = ['http://a', 'http://b'].map((url) => state.takeSlot(url));
  for (const slot of slots) state.setSpeed(slot, 0, 0.16);
  const asked: { rows: Float64Array; answer: () => Promise<void> }[][] = [];
  const fit: FitSpeeds = (jobs) =>
    new Promise((resolve) => {
      const answer = async () => {
        resolve(jobs.map(() => fitted));
        await new Promise((turn) => setImmediate(turn));
      };
      asked.push(jobs.map(({ rows }) => ({ rows, answer })));
    });
  const speeds = new Speeds(state, { isFitted, prefillMsPerToken: 0.16 }, fit);
  const samples = (slot: number, count: number, more: object = {}) => {
    const one = { slot, generation: state.generation(slot), estimateMs: 30, ttftMs: 20, ...more };
    return rowsOf(Array.from({ length: count }, (_, index) => ({ running: index, ...one })));
  };
  return { state, speeds, asked, samples };
}

const counts = (asked: { rows: Float64Array }[][]) =>
  asked.map((jobs) => jobs.map(({ rows }) => rows.length / sampleWords));

test('an instance is fitted from eight new samples on, with all it has, oldest first', async () => {
  const { state, speeds, asked, samples } = setUp();
  speeds.take(samples(0, 7));
  expect(asked).toEqual([]);
  speeds.take(samples(0, 1, { running: 99 }));
  expect(counts(asked)).toEqual([[8]]);
  expect(asked[0]![0]!.rows.at(-3)).toBe(99);
  await asked[0]![0]!.answer();
  expect(state.speed(0)).toEqual(fitted);
  expect(state.speed(1).perTokenMs).toBe(0.16);
  speeds.take(samples(0, 7));
  expect(asked).toHaveLength(1);
  speeds.take(samples(0, 400));
  expect(counts(asked)).toEqual([[8], [256]]);
  const running = asked[1]![0]!.rows.filter((_word, index) => index % sampleWords === 5);
  expect([running[0], running.at(-1)]).toEqual([144, 399]);
});

test('one fit at a time, of all that are due by then', async () => {
  const { state, speeds, asked, samples } = setUp();
  speeds.take(samples(0, 8));
  speeds.take(samples(0, 8));
  speeds.take(samples(1, 9));
  expect(counts(asked)).toEqual([[8]]);
  await asked[0]![0]!.answer();
  expect(counts(asked)).toEqual([[8], [16, 9]]);
  await asked[1]![0]!.answer();
  expect(state.speed(1)).toEqual(fitted);
  expect(asked).toHaveLength(2);
});

test('samples of an engine that has restarted are left out, and so is their fit', async () => {
  const { state, speeds, asked, samples } = setUp();
  speeds.take(samples(0, 8));
  const old = samples(0, 20);
  state.raiseGeneration(0);
  speeds.take(old);
  await asked[0]![0]!.answer();
  expect(asked).toHaveLength(1);
  expect(state.speed(0)).toEqual(stated);
  expect(speeds.error(0).samples).toBe(0);
  speeds.take(samples(0, 8));
  expect(counts(asked)).toEqual([[8], [8]]);
});

test('where nothing is fitted the error is still known', () => {
  const { state, speeds, asked, samples } = setUp(false);
  expect(speeds.error(0)).toEqual({ samples: 0, meanAbsoluteMs: 0, biasMs: 0 });
  speeds.take(samples(0, 100));
  speeds.take(samples(0, 100, { estimateMs: 5 }));
  speeds.take(samples(1, 300, { estimateMs: 15 }));
  expect(speeds.error(0)).toEqual({ samples: 200, meanAbsoluteMs: 12.5, biasMs: -2.5 });
  expect(speeds.error(1)).toEqual({ samples: 256, meanAbsoluteMs: 5, biasMs: -5 });
  expect(asked).toEqual([]);
  expect(state.speed(0)).toEqual(stated);
});

test('stopped, it asks for no further fit', async () => {
  const { speeds, asked, samples } = setUp();
  speeds.take(samples(0, 8));
  speeds.take(samples(0, 8));
  speeds.stop();
  await asked[0]![0]!.answer();
  expect(asked).toHaveLength(1);
});
