/**
 * One trace, several policies and loads, on a live fleet of emulated engines behind the router: who
 * meets the objective, and what it costs. Run after the build:
 *
 *   node bench/replay/compare.mjs --trace FILE [--loads 0.5,0.7,0.9,1.1,1.3] [--policies a,b]
 *        [--variant 'NAME:--option=value ...'] [--instances 8] [--limit 2000] [--warmup 200]
 *        [--time-scale 10] [--slo-ttft-ms 5000] [--json OUT]
 *
 * A load is a share of warm saturation, as in `dualmap simulate`, which is run beside each cell. A
 * variant is `dualmap` with other options; with variants alone give `--policies ''`.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { measure } from './cell.mjs';
import { Engines } from './fleet.mjs';
import { openComparison } from './opening.mjs';
import { tableHead, tableRow, verdictLine, verdicts } from './table.mjs';
import { simulate, workloadFlags } from './workload.mjs';

const { values } = parseArgs({
  options: {
    ...workloadFlags,
    loads: { type: 'string', default: '0.5,0.7,0.9,1.1,1.3' },
    policies: {
      type: 'string',
      default: 'dualmap,dualmap-paper,least_tokens,consistent_hash,round_robin',
    },
    variant: { type: 'string', multiple: true, default: [] },
    json: { type: 'string' },
  },
});

const contenders = [
  ...values.policies
    .split(',')
    .filter((policy) => policy !== '')
    .map((policy) => ({ name: policy, policy, args: [] })),
  ...values.variant.map((text) => {
    const at = text.indexOf(':');
    const args = text
      .slice(at + 1)
      .trim()
      .split(/\s+/);
    return { name: text.slice(0, at), policy: 'dualmap', args };
  }),
];

const { facts, settings, requests } = await openComparison(values, 'compare.mjs');
const { saturationQps } = requests;
const engines = await Engines.start(settings);
const cells = [];
process.stdout.write(tableHead());
for (const load of values.loads.split(',').map(Number)) {
  for (const contender of contenders) {
    const figures = await measure(engines, requests, load, contender);
    const set = contender.args.map((arg) => arg.replace(/^--/, ''));
    const { attainment, hitRatio, ttftMs } = simulate(requests, load, contender.policy, set);
    const simulated = { attainment, hitRatio, ttftMs };
    const cell = { load, qps: load * saturationQps, ...contender, ...figures, simulated };
    cells.push(cell);
    process.stdout.write(tableRow(cell));
  }
}
await engines.stop();

const budgets = verdicts(cells);
console.log(`\n${budgets.map(verdictLine).join('\n')}`);
if (values.json !== undefined) {
  const report = { facts, settings, requests: requests.facts, saturationQps, budgets, cells };
  writeFileSync(values.json, `${JSON.stringify(report, null, 1)}\n`);
}
