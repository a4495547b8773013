import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Attempt } from '../../src/attempt.ts';
import type { Core } from '../../src/core/native.ts';
import type { Hotspots } from '../../src/hotspots.ts';
import { Waiting } from '../../src/waiting.ts';
import { FakeExchange } from '../support/stream-fakes.ts';

/** Those that wait, on a core that does what the test says. */
class FakeCore {
  readonly placement = { ticket: 0 };
  nextLookMs = Number.POSITIVE_INFINITY;
  readonly mail: { ticket: number; claim: 'placed' | 'shed' }[] = [];
  readonly looks: number[] = [];
  readonly stopped: number[] = [];
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
  stopWaiting(ticket: number): void {
    this.stopped.push(ticket);
    const at = this.mail.findIndex((claim) => claim.ticket === ticket);
    if (at >= 0) this.mail.splice(at, 1);
  }
  nextClaim(): 'placed' | 'shed' | null {
    const next = this.mail.shift();
    if (next === undefined) return null;
    this.placement.ticket = next.ticket;
    return next.claim;
  }
}

function start(timeoutMs = 1_000, hotspots: Hotspots | null = null) {
  const core = new FakeCore();
  const clock = { nowMs: () => Date.now() };
  const waiting = new Waiting(core as unknown as Core, clock, timeoutMs, hotspots);
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
  core.mail.push({ ticket: 3, claim: 'placed' }, { ticket: 2, claim: 'shed' });
  core.mail.push({ ticket: 1, claim: 'placed' });
  gone.goneListener();
  core.work();
  expect(await Promise.all(ends)).toEqual(['sent', 'shed', 'clientGone']);
});

test('whoever gives up leaves the queues at once, once, and is never sent', async () => {
  const { core, waiting } = start(100);
  const gone = new FakeExchange();
  gone.gone = true;
  const leaves = new FakeExchange();
  const isLate = new FakeExchange();
  for (const ticket of [1, 2, 3]) core.mail.push({ ticket, claim: 'placed' });
  const ends = [
    waiting.wait(1, gone, sent('never')),
    waiting.wait(2, leaves, sent('never')),
    waiting.wait(3, isLate, sent('never')),
  ];
  leaves.goneListener();
  waiting.sweep(100);
  isLate.goneListener();
  expect(core.stopped).toEqual([1, 2, 3]);
  expect(await Promise.all(ends)).toEqual(['clientGone', 'clientGone', 'queueTimeout']);
});

test('claims are read when the present callback is over', async () => {
  const { core, waiting } = start();
  const log: string[] = [];
  core.mail.push({ ticket: 1, claim: 'placed' });
  const end = waiting.wait(1, new FakeExchange(), () => {
    log.push('sent');
    return {} as Attempt;
  });
  log.push('callback over');
  await end;
  expect(log).toEqual(['callback over', 'sent']);
});

test('hotspots hear of whoever waits, of the time, and of the end of every waiting', async () => {
  const log: string[] = [];
  const hotspots = {
    entered: ({ ticket }: { ticket: number }) => log.push(`entered ${ticket}`),
    left: (ticket: number) => log.push(`left ${ticket}`),
    sweep: (nowMs: number) => log.push(`sweep ${nowMs}`),
  };
  const { core, waiting } = start(100, hotspots as unknown as Hotspots);
  const wait = (ticket: number) => {
    core.placement.ticket = ticket;
    return waiting.wait(ticket, new FakeExchange(), sent('sent'));
  };
  const ends = [wait(1), wait(2)];
  core.mail.push({ ticket: 2, claim: 'placed' });
  waiting.readClaims();
  waiting.sweep(100);
  await Promise.all(ends);
  expect(log).toEqual(['entered 1', 'entered 2', 'left 2', 'sweep 100', 'left 1']);
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
