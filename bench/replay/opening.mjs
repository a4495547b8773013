/** How a comparison of this folder begins: what it runs on and what it will send, said aloud. */
import { formatFacts } from '../../dist/bench/environment.js';
import { factsOf } from './facts.mjs';
import { readRequests, settingsOf } from './workload.mjs';

/** `values`: the flags; `program`: the name of the file that runs. */
export async function openComparison(values, program) {
  const facts = factsOf(program);
  const settings = settingsOf(values);
  const requests = await readRequests(values.trace, settings);
  console.log(`${formatFacts(facts)}\n`);
  const { trace, warmup, timeScale } = settings;
  console.log(
    `${trace}: ${requests.facts.requests} requests, the first ${warmup} to warm up; load 1 is ` +
      `${requests.saturationQps.toFixed(2)} a second, times ${timeScale}\n`,
  );
  return { facts, settings, requests };
}
