import type { Dispatcher } from 'undici';
import { expect, test } from 'vitest';
import { Call, type Outcome } from '../../src/replay/call.ts';

class Controller implements Dispatcher.DispatchController {
  aborted = false;
  paused = false;
  reason: Error | null = null;
  abort(): void {
    this.aborted = true;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
}

/** A call due at 1,000 ms and made at 1,030 ms, on a clock that `at` sets. */
function start() {
  let nowMs = 1_030;
  const outcomes: Outcome[] = [];
  const controller = new Controller();
  const call = new Call({
    clock: { nowMs: () => nowMs },
    dueMs: 1_000,
    timeoutMs: 60_000,
    onSettled: (_call, outcome) => outcomes.push(outcome),
  });
  const at = (ms: number) => {
    nowMs = ms;
  };
  const data = (text: string) => call.onResponseData(controller, Buffer.from(text));
  return { call, controller, outcomes, at, data };
}

const choice = 'data: {"choices":[{}]}\n\n';

test('TTFT ends with the first choice: not with the head, a comment or an empty event', () => {
  const { call, controller, outcomes, at, data } = start();
  call.onRequestStart(controller);
  at(1_100);
  call.onResponseStart(controller, 100, {});
  call.onResponseStart(controller, 200, {
    'x-dualmap-instance': 'http://a',
    'x-dualmap-queue-ms': '12.5',
  });
  at(1_200);
  data(': waiting\n\n');
  at(1_300);
  data('data: {"choices":[]}\n\n');
  at(1_400);
  data(choice.slice(0, 10));
  at(1_500);
  data(choice.slice(10));
  at(1_600);
  data(`${choice}data: [DONE]\n\n`);
  call.onResponseEnd();
  expect(outcomes).toEqual([
    {
      kind: 'completed',
      reason: '',
      ttftMs: 500,
      sendLateMs: 30,
      usage: null,
      instance: 'http://a',
      queueMs: 12.5,
    },
  ]);
});

test('abandoned before its connection is open, it is cut as soon as it is', () => {
  const { call, controller, outcomes } = start();
  call.abandon();
  expect(outcomes.map((outcome) => outcome.kind)).toEqual(['abandoned']);
  call.onRequestStart(controller);
  expect(controller.aborted).toBe(true);
  call.onResponseError(controller, controller.reason ?? new Error('aborted'));
  expect(outcomes).toHaveLength(1);
});

test('an error is told by its code, or by its name', () => {
  for (const [error, reason] of [
    [Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
    [new TypeError('odd'), 'TypeError'],
  ] as const) {
    const { call, controller, outcomes } = start();
    call.onResponseError(controller, error);
    expect(outcomes).toMatchObject([{ kind: 'lost', reason, ttftMs: null }]);
  }
});
