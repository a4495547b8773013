/**
 * The emulated engines of a comparison, all in this process: started by `fleet.mjs`, which asks it
 * things over the channel to its parent. One process, because a dozen would fight for two cores;
 * `status` tells whether it kept up.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { startEngine } from '../../dist/emulate/server.js';

const [count, preset, timeScale] = process.argv.slice(2);
const options = { preset, timeScale: Number(timeScale) };
const engines = await Promise.all(
  Array.from({ length: Number(count) }, () => startEngine(options)),
);
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
let cpuBefore = process.cpuUsage();

const answers = {
  /** Since it was asked before: processor time, and how late timers were. */
  status: () => {
    const { user, system } = process.cpuUsage(cpuBefore);
    cpuBefore = process.cpuUsage();
    const lateP99Ms = delay.percentile(99) / 1e6;
    delay.reset();
    return { cpuMs: (user + system) / 1e3, lateP99Ms, stats: engines.map((one) => one.stats()) };
  },
};
process.on('message', (question) => process.send(answers[question]()));
// The parent is gone: nobody needs engines any more.
process.on('disconnect', () => process.exit());
process.send(engines.map(({ url }) => url));
