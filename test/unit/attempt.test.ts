import { describe, expect, test } from 'vitest';
import { Attempt, type AttemptParts, type Flight, isHeldAgainst } from '../../src/attempt.ts';
import type { Core } from '../../src/core/native.ts';
import { DenseSet } from '../../src/dense-set.ts';
import { UpstreamFault } from '../../src/errors.ts';
import type { ThreadStats } from '../../src/observe/thread-stats.ts';
import type { RelayOutcome } from '../../src/stream/relay.ts';
import { FakeExchange } from '../support/stream-fakes.ts';

/** One attempt with nothing behind it: `told` is what core and statistics heard, in order. */
function begin({ isBodyFree = true, mayRetryStatus = true, isBodyHeld = false } = {}) {
  const told: string[] = [];
  const core = {
    placement: { chosen: 3, ttftEstimateMs: 40 },
    answered: (ticket: number) => told.push(`answered ${ticket}`),
    firstToken: (ticket: number) => told.push(`firstToken ${ticket}`),
  } as unknown as Core;
  const stats = {
    countStatus: (status: number) => told.push(`status ${status}`),
    observe: (name: string, seconds: number) => told.push(`${name} ${seconds}`),
  } as unknown as ThreadStats;
  const clock = { now: 1_000, nowMs: () => clock.now };
  const prefilling = new DenseSet<Attempt>();
  const parts: AttemptParts = { core, clock, stats, prefilling };
  const exchange = new FakeExchange();
  const request = { origin: '', method: 'POST', path: '/', headers: [], body: new Uint8Array(1) };
  const flight: Flight = {
    exchange,
    route: 'chat',
    requestId: 'r',
    ticket: 7,
    readMs: 990,
    request,
    isBodyHeld,
    entry: null,
  };
  const attempt = new Attempt(parts, flight, ['x-request-id', 'r'], 5_000, mayRetryStatus);
  const outcome = new Promise<RelayOutcome>(() => undefined);
  attempt.relay = { isBodyFree, outcome, abort: () => undefined };
  prefilling.add(attempt);
  return { attempt, told, clock, prefilling, exchange, flight };
}

const reset = new UpstreamFault('reset', 'closed');
const failed = { kind: 'failedBeforeFirstToken', fault: reset, status: null } as const;
const completed = { kind: 'completed', status: 200, usage: null } as const;

describe('the memory of the body', () => {
  test('is given back at the first token, and no more', () => {
    const { attempt, exchange, prefilling } = begin();
    attempt.answerHeaders(200, []);
    expect(exchange.log).toEqual([]);
    attempt.onFirstToken(true);
    expect(exchange.log).toEqual(['releaseBody']);
    expect(prefilling.snapshot()).toEqual([]);
  });

  test('is kept at the first token while the request is still being written', () => {
    const { attempt, exchange } = begin({ isBodyFree: false });
    attempt.onFirstToken(true);
    attempt.ended(completed);
    expect(exchange.log).toEqual([]);
  });

  test('is given back at an ending without a token', () => {
    for (const outcome of [completed, { kind: 'clientGone' } as const]) {
      const { attempt, exchange } = begin();
      attempt.ended(outcome);
      expect(exchange.log).toEqual(['releaseBody']);
    }
  });

  test('is kept for the next attempt, and for good if the failed one may still read it', () => {
    const tidy = begin();
    tidy.attempt.ended(failed);
    expect([tidy.exchange.log, tidy.flight.isBodyHeld]).toEqual([[], false]);
    const untidy = begin({ isBodyFree: false });
    untidy.attempt.ended(failed);
    expect([untidy.exchange.log, untidy.flight.isBodyHeld]).toEqual([[], true]);
    const next = begin({ isBodyHeld: true });
    next.attempt.onFirstToken(true);
    expect(next.exchange.log).toEqual([]);
  });
});

describe('what it tells', () => {
  test('a stream: status, first token, and how long it took', () => {
    const { attempt, told, clock } = begin();
    expect(attempt.decideHead(200)).toBe('relay');
    attempt.answerHeaders(200, []);
    clock.now = 1_050;
    attempt.onFirstToken(true);
    attempt.ended(completed);
    const times = ['ttft 0.06', 'estimateError 0.01'];
    expect(told).toEqual(['status 200', 'firstToken 7', ...times]);
  });

  test('an answer without a token clears the instance at its end, a head alone does not', () => {
    const { attempt, told } = begin();
    attempt.decideHead(200);
    expect(told).toEqual([]);
    attempt.answerHeaders(200, []);
    attempt.ended(completed);
    expect(told).toEqual(['status 200', 'answered 7']);
    const failing = begin();
    failing.attempt.decideHead(200);
    failing.attempt.ended(failed);
    expect(failing.told).toEqual([]);
  });

  test('a refusal clears nobody of suspicion', () => {
    const { attempt, told } = begin({ mayRetryStatus: false });
    expect(attempt.decideHead(503)).toBe('relay');
    attempt.answerHeaders(503, []);
    attempt.onFirstToken(false);
    attempt.ended({ kind: 'completed', status: 503, usage: null });
    expect(told).toEqual(['status 503']);
  });

  test.each([
    [429, 'retry'],
    [500, 'retry'],
    [503, 'retry'],
    [200, 'relay'],
    [400, 'relay'],
    [404, 'relay'],
  ])('of status %i: %s', (status, verdict) => {
    expect(begin().attempt.decideHead(status)).toBe(verdict);
    expect(begin({ mayRetryStatus: false }).attempt.decideHead(status)).toBe('relay');
  });
});

test('the fields of the instance are passed on as they are, but for its request id', () => {
  const { attempt } = begin();
  const fields = Object.freeze(['content-type', 'text/plain', 'x-a', '1']);
  expect(attempt.answerHeaders(200, fields)).toBe(fields);
  const named = ['x-a', '1', 'x-request-id', 'theirs', 'x-b', '2'];
  expect(attempt.answerHeaders(200, named)).toEqual(['x-a', '1', 'x-b', '2']);
  expect(attempt.addedHeaders).toEqual(['x-request-id', 'r']);
});

test.each<[RelayOutcome, boolean]>([
  [completed, false],
  [{ kind: 'completed', status: 500, usage: null }, false],
  [{ kind: 'completed', status: 503, usage: null }, true],
  [failed, true],
  [{ kind: 'failedBeforeFirstToken', fault: null, status: 429 }, false],
  [{ kind: 'failedBeforeFirstToken', fault: null, status: 502 }, true],
  [{ kind: 'failedAfterFirstToken', fault: reset }, true],
  [{ kind: 'clientGone' }, false],
])('%j is held against the instance: %s', (outcome, expected) => {
  expect(isHeldAgainst(outcome)).toBe(expected);
});
