/**
 * Several routers that share nothing, each a process, in front of one live fleet, beside one
 * router: what becomes of the hit ratio and of the order of deadlines. Run after the build:
 *
 *   node bench/replay/routers.mjs --trace FILE [--counts 1,8] [--loads 0.8]
 *        [--policies dualmap,consistent_hash] [--instances 8] [--limit 4000] [--warmup 1000]
 *        [--time-scale 5] [--json OUT]
 *
 * Requests come to the routers at random, as from clients behind a name with several addresses.
 * Each router is told how many there are (`--replicas`), and no more.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { measure } from './cell.mjs';
import { Engines } from './fleet.mjs';
import { openComparison } from './opening.mjs';
import { routersHead, routersRow, routersVerdicts, verdictOf } from './routers-table.mjs';
import { simulate, workloadFlags } from './workload.mjs';

const { values } = parseArgs({
  options: {
    ...workloadFlags,
    limit: { type: 'string', default: '4000' },
    warmup: { type: 'string', default: '1000' },
    'time-scale': { type: 'string', default: '5' },
    counts: { type: 'string', default: '1,8' },
    loads: { type: 'string', default: '0.8' },
    policies: { type: 'string', default: 'dualmap,consistent_hash' },
    json: { type: 'string' },
  },
});

const { facts, settings, requests } = await openComparison(values, 'routers.mjs');
const { saturationQps } = requests;
const engines = await Engines.start(settings);
const cells = [];
process.stdout.write(routersHead());
for (const load of values.loads.split(',').map(Number)) {
  for (const policy of values.policies.split(',')) {
    for (const routers of values.counts.split(',').map(Number)) {
      const args = routers === 1 ? [] : ['--replicas', String(routers)];
      const set = routers === 1 ? [] : [`replicas=${routers}`];
      const figures = await measure(engines, requests, load, { policy, args, routers });
      const { attainment, hitRatio, ttftMs } = simulate(requests, load, policy, set, routers);
      const simulated = { attainment, hitRatio, ttftMs };
      const cell = { load, qps: load * saturationQps, policy, routers, ...figures, simulated };
      cells.push(cell);
      process.stdout.write(routersRow(cell));
    }
  }
}
await engines.stop();

const budgets = routersVerdicts(cells);
console.log(`\n${budgets.map(verdictOf).join('\n')}`);
if (values.json !== undefined) {
  const report = { facts, settings, requests: requests.facts, saturationQps, budgets, cells };
  writeFileSync(values.json, `${JSON.stringify(report, null, 1)}\n`);
}
