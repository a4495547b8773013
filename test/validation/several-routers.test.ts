import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { PolicyName } from '../../src/config/config.ts';
import { readTrace } from '../../src/replay/trace.ts';
import type { Cell } from '../../src/simulate/results.ts';
import { runScenario } from '../../src/simulate/scenario.ts';
import { makeWorkload } from '../../src/simulate/workload.ts';
import { blockTokens, tracesFolder } from '../support/simulate.ts';

/** Routers that share nothing but the fleet: what they agree on, and what they do not spoil. */

const folder = tracesFolder();

describe.skipIf(folder === null)('eight routers on the conversation trace, load 0.8', () => {
  let cellOf: (policy: PolicyName, routers: number) => Cell;
  let eight: Cell;

  beforeAll(async () => {
    const rows = await readTrace(join(folder!, 'conversation_trace.jsonl.gz'));
    const limits = { limit: 6_000, maxInputTokens: 20_480 };
    const workload = makeWorkload(rows, { trace: 'conversation', blockTokens, ...limits });
    cellOf = (policy, routers) =>
      runScenario(workload, {
        ...{ preset: 'paper-7b', instances: 8, join: null, routers, rate: { load: 0.8 }, seed: 1 },
        config: { policy, queueMode: 'router', replicas: routers },
        ...{ arrivals: 'spread', viewDelayMs: 100, warmup: 1_000 },
      });
    eight = cellOf('dualmap', 8);
  });

  test('hit nearly as much as one router', () => {
    expect(eight.hitRatio).toBeGreaterThan(0.85 * cellOf('dualmap', 1).hitRatio);
  });

  test('keep the objective, as late requests yield to those of other routers', () => {
    expect(eight.attainment).toBeGreaterThan(0.83);
  });

  test.each(['preble', 'least_tokens'] as const)('keep it better than %s there', (policy) => {
    expect(eight.attainment).toBeGreaterThan(cellOf(policy, 8).attainment + 0.1);
  });

  test('and no worse than consistent hashing', () => {
    expect(eight.attainment).toBeGreaterThan(cellOf('consistent_hash', 8).attainment - 0.01);
  });
});
