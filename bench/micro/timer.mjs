/** The timer alone: the part of every latency below that is not the stage's. */
import { latencies, rates, report } from './stage.mjs';

const { timer } = await rates('timer', { timer: () => performance.now() });
report([
  {
    name: 'timer (included in every latency)',
    ...timer,
    ...latencies(() => undefined),
    budgets: [],
  },
]);
