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
  return {
    fitSpeeds: (jobs) => pool.run(jobs, { name: 'fitSpeeds' }),
    planRebalance: (snapshot) => pool.run(snapshot, { name: 'planRebalance' }),
    close: () => pool.close(),
  };
}
