/**
 * One decision on a ready chain of 16 blocks, a million blocks indexed: pair, hits, estimate,
 * choice and reservation. The rate includes giving the reservation back, the latency does not.
 */
import { createFleet, indexChains, makeChains, place, placeAndEnd } from './fleet.mjs';
import { latencies, options, rates, report } from './stage.mjs';

async function measure(instances, budgets) {
  const { core } = createFleet(instances);
  indexChains(core);
  const chains = makeChains();
  let asked = 0;
  const nextChain = () => {
    asked = (asked + 1) % chains.length;
    return chains[asked];
  };
  const { decide } = await rates('decision', { decide: () => placeAndEnd(core, nextChain()) });
  const latency = latencies(
    () => place(core, nextChain()),
    () => core.end(core.placement.ticket, 0),
  );
  return {
    name: `decision on a ready chain, ${instances} instances`,
    ...decide,
    ...latency,
    budgets: budgets({ ...decide, ...latency }),
  };
}

const large = 4000;

report([
  await measure(options.instances, ({ perSecond, p99Ns }) => [
    { what: 'decisions a second', atLeast: 1_500_000, measured: perSecond },
    { what: 'decision p99, ns', atMost: 2000, measured: p99Ns },
  ]),
  await measure(large, ({ p99Ns }) => [
    { what: `decision p99 at ${large} instances, ns`, atMost: 20_000, measured: p99Ns },
  ]),
]);
