/** The two rings alone: the pair of a key, and the array that carries it to JavaScript. */
import { createFleet, makeChains } from './fleet.mjs';
import { latencies, options, rates, report } from './stage.mjs';

const keys = makeChains().map((chain) => chain[0]);
const rows = [];
for (const instances of [options.instances, 4000]) {
  const { core } = createFleet(instances);
  let asked = 0;
  const call = () => {
    asked = (asked + 1) % keys.length;
    core.pairOf(keys[asked]);
  };
  const { ring } = await rates('ring', { ring: call });
  rows.push({ name: `pair, ${instances} instances`, ...ring, ...latencies(call), budgets: [] });
}
report(rows);
