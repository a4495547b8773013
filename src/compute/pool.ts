/**
 * The compute pool: one thread beside the I/O threads for work that must not hold up a request nor
 * the control plane. Main thread only. What it runs are the pure functions of `tasks.ts`.
 */
import { Piscina } from 'piscina';
import type { SpeedCoefficients } from '../core/fleet-state.ts';
import type { Move, QueueSnapshot } from '../core/queue-snapshot.ts';
import type { FitJob } from './estimate.ts';

/** The thread ends after so long without work: an idle router should have no idle thread. */
const idleTimeoutMs = 60_000;

export interface ComputePool {
  fitSpeeds(jobs: readonly FitJob[]): Promise<readonly SpeedCoefficients[]>;
  planRebalance(snapshot: QueueSnapshot): Promise<readonly Move[]>;
  /** Resolves when the work in progress is done and the thread has ended. */
  close(): Promise<void>;
}

/** `entry`: the built `tasks.ts`. Its thread starts with the first task. */
export function openComputePool(entry: URL): ComputePool {
  const pool = new Piscina({
    filename: entry.href,
    minThreads: 0,
    maxThreads: 1,
    idleTimeout: idleTimeoutMs,
  });
  const inProgress = new Set<Promise<unknown>>();
  const run = <Result>(name: string, input: unknown): Promise<Result> => {
    const result: Promise<Result> = pool.run(input, { name });
    const forget = () => inProgress.delete(result);
    inProgress.add(result);
    result.then(forget, forget);
    return result;
  };
  return {
    fitSpeeds: (jobs) => run('fitSpeeds', jobs),
    planRebalance: (snapshot) => run('planRebalance', snapshot),
    close: async () => {
      // The pool itself would fail a task whose thread is still starting.
      await Promise.allSettled(inProgress);
      await pool.close();
    },
  };
}
