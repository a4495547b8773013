import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  type EngineSpeed,
  type Job,
  SimulatedEngine,
  type Work,
} from '../../src/emulate/engine.ts';
import { Pacemaker } from '../../src/emulate/pacemaker.ts';

const speed: EngineSpeed = {
  prefillPerTokenUs: 1_000,
  decodeStepMs: 10,
  timeScale: 1,
  blockTokens: 4,
  cacheBlocksMax: 100,
};

/** An engine with a hand-cranked clock that writes down every report. */
function crank(overrides: Partial<EngineSpeed> = {}) {
  const engine = new SimulatedEngine({ ...speed, ...overrides });
  const log: [name: string, atMs: number, tokens: number, state: string][] = [];
  let nowMs = 0;
  return {
    engine,
    log,
    submit: (name: string, promptTokens: number, outputTokens = 1, blocks: string[] = []): Job => {
      const work: Work = { promptTokens, blocks, outputTokens };
      return engine.submit(nowMs, work, (job, tokens) =>
        log.push([name, nowMs, tokens, job.state]),
      );
    },
    cancel: (job: Job) => engine.cancel(nowMs, job),
    to: (ms: number) => {
      nowMs = ms;
      engine.advance(nowMs);
    },
    /** Goes from one due moment to the next, to the end or to `untilMs`. */
    run: (untilMs = 1e9) => {
      while (engine.nextDueMs <= untilMs) {
        nowMs = engine.nextDueMs;
        engine.advance(nowMs);
      }
    },
  };
}

describe('prefill', () => {
  test('one prompt at a time, in order of arrival, at the speed of the preset', () => {
    const { submit, run, log, engine } = crank();
    submit('a', 30);
    submit('b', 20);
    submit('c', 5);
    expect(engine.stats()).toMatchObject({ waiting: 2, running: 1 });
    run();
    expect(log).toEqual([
      ['a', 30, 1, 'finished'],
      ['b', 50, 1, 'finished'],
      ['c', 55, 1, 'finished'],
    ]);
    expect(engine.stats()).toMatchObject({ waiting: 0, running: 0, served: 3, generatedTokens: 3 });
  });

  test('time scale divides, slow multiplies what begins from now on', () => {
    const { submit, run, to, log, engine } = crank({ timeScale: 10 });
    submit('a', 30);
    to(1);
    engine.slow = 4;
    submit('b', 30);
    run();
    expect(log.map(([name, ms]) => [name, ms])).toEqual([
      ['a', 3],
      ['b', 15],
    ]);
  });

  test('late and coarse ticks lose no throughput', () => {
    const { submit, to, engine } = crank({ prefillPerTokenUs: 375 });
    for (let i = 0; i < 1_000; i++) submit('job', 1);
    for (let ms = 7; ms <= 210; ms += 7) {
      to(ms);
      expect(engine.stats().served).toBe(Math.floor(ms / 0.375));
    }
  });

  test('a late tick does not begin a prefill before its request came', () => {
    const { submit, to, engine } = crank();
    submit('a', 10);
    // Noticed late: `a` ended at 10, `b` comes at 15 before the tick.
    const b = engine.submit(15, { promptTokens: 10, blocks: [], outputTokens: 1 }, () => undefined);
    to(24.9);
    expect(b.state).toBe('prefilling');
    to(25);
    expect(b.state).toBe('finished');
  });
});

describe('decode', () => {
  test('a lone request: first token after prefill, then one a step', () => {
    const { submit, run, log } = crank();
    submit('a', 30, 3);
    run();
    expect(log).toEqual([
      ['a', 30, 1, 'decoding'],
      ['a', 40, 1, 'decoding'],
      ['a', 50, 1, 'finished'],
    ]);
  });

  test('requests decode in parallel and join at the next step', () => {
    const { submit, run, log } = crank();
    submit('a', 30, 4);
    submit('b', 15, 3);
    run();
    expect(log.filter(([name]) => name === 'a').map(([, ms]) => ms)).toEqual([30, 40, 50, 60]);
    // First token at 45, inside the step from 40 to 50: decodes from 50 on.
    expect(log.filter(([name]) => name === 'b').map(([, ms]) => ms)).toEqual([45, 60, 70]);
  });

  test('one late tick reports all tokens that were due, once a request', () => {
    const { submit, to, log } = crank();
    submit('a', 10, 100);
    submit('b', 10, 2);
    to(105);
    expect(log).toEqual([
      ['a', 105, 10, 'decoding'],
      ['b', 105, 2, 'finished'],
    ]);
  });

  test('no output (embeddings) ends with the prefill', () => {
    const { submit, run, log, engine } = crank();
    submit('a', 30, 0);
    run();
    expect(log).toEqual([['a', 30, 0, 'finished']]);
    expect(engine.nextDueMs).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('prefix cache', () => {
  const blocks = ['one', 'two', 'three'];

  test('blocks can be hit once their prefill is complete, not before', () => {
    const { submit, run } = crank();
    const first = submit('a', 14, 1, blocks);
    const second = submit('b', 14, 1, blocks);
    run();
    expect([first.cachedTokens, second.cachedTokens]).toEqual([0, 12]);
  });

  test('cached tokens cost no time, and at least one token is computed', () => {
    const { submit, run, to, log, engine } = crank();
    submit('a', 12, 1, blocks);
    run();
    to(100);
    const job = submit('b', 12, 1, blocks);
    run();
    expect(job.cachedTokens).toBe(8);
    expect(log.at(-1)).toEqual(['b', 104, 1, 'finished']);
    expect(engine.stats()).toMatchObject({ promptTokens: 24, cachedTokens: 8, cachedBlocks: 3 });
  });

  test('a prefill that was cut off leaves nothing behind', () => {
    const { submit, run, to, cancel } = crank();
    const first = submit('a', 14, 1, blocks);
    to(13);
    cancel(first);
    const second = submit('b', 14, 1, blocks);
    run();
    expect(second.cachedTokens).toBe(0);
  });

  test('flush forgets', () => {
    const { submit, run, engine } = crank();
    submit('a', 14, 1, blocks);
    run();
    engine.flushCache();
    expect(submit('b', 14, 1, blocks).cachedTokens).toBe(0);
  });

  test('usage counts the blocks of running requests', () => {
    const { submit, run, engine } = crank({ cacheBlocksMax: 10 });
    submit('a', 14, 3);
    submit('b', 14, 1);
    expect(engine.stats().cacheUsage).toBe(0.4);
    run();
    expect(engine.stats().cacheUsage).toBe(0);
  });
});

describe('cancel', () => {
  test('waiting: the queue closes up', () => {
    const { submit, run, cancel, log, engine } = crank();
    submit('a', 10);
    const b = submit('b', 100);
    submit('c', 10);
    cancel(b);
    expect(engine.stats()).toMatchObject({ waiting: 1, running: 1, aborted: 1 });
    run();
    expect(log.map(([name, ms]) => [name, ms])).toEqual([
      ['a', 10],
      ['c', 20],
    ]);
  });

  test('in prefill: the next one begins at once', () => {
    const { submit, run, to, cancel, log } = crank();
    const a = submit('a', 100);
    submit('b', 10);
    to(5);
    cancel(a);
    run();
    expect(log).toEqual([['b', 15, 1, 'finished']]);
  });

  test('decoding: no more tokens, and the last one stops the steps', () => {
    const { submit, run, to, cancel, log, engine } = crank();
    const a = submit('a', 10, 100);
    to(25);
    cancel(a);
    expect(engine.nextDueMs).toBe(Number.POSITIVE_INFINITY);
    run();
    expect(log).toEqual([['a', 25, 2, 'decoding']]);
    expect(engine.stats()).toMatchObject({ running: 0, served: 0, aborted: 1 });
  });

  test('after the end, or twice, it changes nothing', () => {
    const { submit, run, cancel, engine } = crank();
    const a = submit('a', 10);
    run();
    cancel(a);
    const b = submit('b', 10);
    cancel(b);
    cancel(b);
    expect(engine.stats()).toMatchObject({ served: 1, aborted: 1, waiting: 0, running: 0 });
  });

  test('by the listener of another job in the same tick', () => {
    const { engine } = crank();
    const work = { promptTokens: 10, blocks: [], outputTokens: 5 };
    const told: string[] = [];
    engine.submit(0, work, () => {
      told.push('a');
      engine.cancel(30, b);
    });
    const b = engine.submit(0, work, () => told.push('b'));
    engine.advance(30);
    expect(told).toEqual(['a']);
    expect(engine.stats()).toMatchObject({ running: 1, aborted: 1 });
  });
});

describe('pacemaker', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('one timer whatever the number of requests, none when idle or stopped', () => {
    const startMs = performance.now();
    const engine = new SimulatedEngine(speed);
    const pacemaker = new Pacemaker(engine, { nowMs: () => performance.now() - startMs });
    const ends: number[] = [];
    for (let i = 0; i < 50; i++) {
      pacemaker.submit({ promptTokens: 4, blocks: [], outputTokens: 3 }, (job) => {
        if (job.state === 'finished') ends.push(performance.now() - startMs);
      });
      expect(vi.getTimerCount()).toBe(1);
    }
    vi.advanceTimersByTime(300);
    expect(vi.getTimerCount()).toBe(0);
    expect(ends).toHaveLength(50);
    expect(ends[0]).toBe(24);

    const job = pacemaker.submit({ promptTokens: 4, blocks: [], outputTokens: 3 }, () => undefined);
    pacemaker.stop();
    pacemaker.cancel(job);
    pacemaker.submit({ promptTokens: 4, blocks: [], outputTokens: 3 }, () => undefined);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('the timer moves to an earlier moment when work ends sooner', () => {
    const startMs = performance.now();
    const engine = new SimulatedEngine(speed);
    const pacemaker = new Pacemaker(engine, { nowMs: () => performance.now() - startMs });
    let firstTokenMs = 0;
    const long = pacemaker.submit({ promptTokens: 5_000, blocks: [], outputTokens: 1 }, () => {
      throw new Error('was cancelled');
    });
    pacemaker.submit({ promptTokens: 4, blocks: [], outputTokens: 1 }, () => {
      firstTokenMs = performance.now() - startMs;
    });
    vi.advanceTimersByTime(100);
    pacemaker.cancel(long);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(10);
    expect(firstTokenMs).toBe(104);
  });
});
