/** The prefix index alone: how much of a chain of 16 blocks one instance holds, of a million indexed. */
import { createFleet, indexChains, makeChains } from './fleet.mjs';
import { latencies, options, rates, report } from './stage.mjs';

const { core } = createFleet(options.instances);
indexChains(core);
const asked = makeChains().map((chain) => {
  const { first } = core.pairOf(chain[0]);
  return { chain, slot: first };
});
let next = 0;
const probe = () => {
  next = (next + 1) % asked.length;
  const { chain, slot } = asked[next];
  core.hitBlocks(chain, slot);
};
const { index } = await rates('index', { index: probe });
report([{ name: 'index probe, 16 blocks', ...index, ...latencies(probe), budgets: [] }]);
