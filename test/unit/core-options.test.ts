import { expect, test } from 'vitest';
import { configOf } from '../../src/simulate/placer.ts';
import { coreOptions } from '../../src/threads.ts';

test.each([
  [1, 20],
  [2, 10],
  [3, 7],
  [8, 4],
  [1_024, 4],
])('of %d routers each calls a key hot after %d requests', (replicas, requests) => {
  expect(coreOptions(configOf({ replicas })).hotRequestsMin).toBe(requests);
});

test('the prefill window of an instance is shared by its routers', () => {
  const of = (replicas: number) => {
    return coreOptions(configOf({ replicas, prefillWindowTokens: 4_096 })).prefillWindowTokens;
  };
  expect([of(1), of(8), of(1_000)]).toEqual([4_096, 512, 5]);
});
