import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Attempt } from '../../src/attempt.ts';
import type { Core } from '../../src/core/native.ts';
import { Waiting } from '../../src/waiting.ts';
import { FakeExchange } from '../support/stream-fakes.ts';

/** Those that wait, on a core that does what the test says. */
class FakeCore {
  readonly placement = { ticket: 0 };
  nextLookMs = Number.POSITIVE_INFINITY;
  readonly mail: { ticket: number; claim: 'placed' | 'shed' }[] = [];
  readonly looks: number[] = [];
  work: () => void = () => undefined;

  get hasClaims(): boolean {
    return this.mail.length > 0;
  }
  onWork(work: () => void): void {
    this.work = work;
  }
  look(nowMs: number): void {
    this.looks.push(nowMs);
    if (nowMs >= this.nextLookMs) this.nextLookMs = Number.POSITIVE_INFINITY;
  }
  nextClaim(): 'placed' | 'shed' | null {
    const next = this.mail.shift();
    if (next === undefined) return null;
    this.placement.ticket = next.ticket;
    return next.claim;
  }
}

function start(timeoutMs = 1_000) {
  const core = new FakeCore();
  const clock = { nowMs: () => Date.now() };
  const waiting = new Waiting(core as unknown as Core, clock, timeoutMs, null);
  return { core, waiting };
}

const sent = (name: string) => () => name as unknown as Attempt;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
});
afterEach(() => {
  vi.useRealTimers();
});

test('a claim sends, a shed does not, whoever is gone is passed over', async () => {
  const { core, waiting } = start();
  const gone = new FakeExchange();
  const ends = [
    waiting.wait(1, new FakeExchange(), sent('sent')),
    waiting.wait(2, new FakeExchange(), sent('never')),
    waiting.wait(3, gone, sent('never')),
  ];
  gone.goneListener();
  core.mail.push({ ticket: 3, claim: 'placed' }, { ticket: 2, claim: 'shed' });
  core.mail.push({ ticket: 1, claim: 'placed' });
  core.work();
  expect(await Promise.all(ends)).toEqual(['sent', 'shed', 'clientGone']);
});

test('claims can be read at once: what is claimed of a dead instance must be seen there', () => {
  const { core, waiting } = start();
  let isSent = false;
  void waiting.wait(1, new FakeExchange(), () => {
    isSent = true;
    return {} as Attempt;
  });
  core.mail.push({ ticket: 1, claim: 'placed' });
  waiting.readClaims();
  expect(isSent).toBe(true);
});

test('times run out in order, and the client of one that is over changes nothing', async () => {
  const { core, waiting } = start(100);
  const exchange = new FakeExchange();
  const first = waiting.wait(1, exchange, sent('never'));
  vi.setSystemTime(50);
  const second = waiting.wait(2, new FakeExchange(), sent('second'));
  waiting.sweep(99);
  waiting.sweep(100);
  expect(await first).toBe('queueTimeout');
  exchange.goneListener();
  waiting.sweep(149);
  core.mail.push({ ticket: 2, claim: 'placed' });
  core.work();
  expect(await second).toBe('second');
});

test('the core looks when it wants to, again if that was too early, and at the sooner time', () => {
  const { core } = start();
  core.nextLookMs = 80;
  core.work();
  core.nextLookMs = 30.4;
  core.work();
  vi.advanceTimersByTime(30);
  expect(core.looks).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(core.looks).toEqual([31]);
  core.nextLookMs = 80;
  core.work();
  vi.advanceTimersByTime(100);
  expect(core.looks).toEqual([31, 80]);
});

test('a time beyond what a timer can wait for is no time of now', () => {
  const { core } = start();
  core.nextLookMs = 999_999_999_999;
  core.work();
  vi.advanceTimersByTime(10_000);
  expect(core.looks).toEqual([]);
});

test('a look that only a thread that is gone knew of is not lost on those that wait', () => {
  const { core, waiting } = start();
  waiting.sweep(10);
  expect(core.looks).toEqual([]);
  void waiting.wait(1, new FakeExchange(), sent('never'));
  waiting.sweep(20);
  expect(core.looks).toEqual([20]);
});
