/**
 * What every stage of `dualmap bench decide` shares: its options, operations a second by benny,
 * latency a call by hdr-histogram, and how its rows get back. A stage is a program of its own, so
 * that none runs on the heap and the compiled code that another one left behind.
 *
 *   node bench/micro/decision.mjs [--instances 64] [--seconds 2] [--rounds 3]
 */
import { parseArgs } from 'node:util';
import benny from 'benny';
import { build } from 'hdr-histogram-js';

const { values } = parseArgs({
  options: {
    instances: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
  },
});

export const options = {
  instances: Number(values.instances),
  seconds: Number(values.seconds),
  rounds: Number(values.rounds),
};

/** Operations a second of functions without arguments, one after the other, and benny's margin. */
export async function rates(name, cases, seconds = options.seconds) {
  const settings = { maxTime: seconds, minSamples: 5, delay: 0 };
  const { results } = await benny.suite(
    name,
    ...Object.entries(cases).map(([caseName, call]) => benny.add(caseName, call, settings)),
  );
  return Object.fromEntries(
    results.map(({ name: caseName, details, margin }) => [
      caseName,
      { perSecond: 1 / details.mean, marginPercent: margin },
    ]),
  );
}

const warmCalls = 20_000;

/**
 * Percentiles of one call, in nanoseconds, the timer's own cost included. `after` follows every
 * call and is not timed. Runs for `seconds`.
 */
export function latencies(call, after = () => undefined, seconds = options.seconds) {
  for (let index = 0; index < warmCalls; index += 1) {
    call();
    after();
  }
  const histogram = build({ highestTrackableValue: 1e10, numberOfSignificantValueDigits: 3 });
  const end = performance.now() + seconds * 1000;
  for (let startMs = 0; startMs < end; ) {
    startMs = performance.now();
    call();
    const endMs = performance.now();
    after();
    histogram.recordValue(Math.round((endMs - startMs) * 1e6));
  }
  const at = (percent) => histogram.getValueAtPercentile(percent);
  return { p50Ns: at(50), p99Ns: at(99), p999Ns: at(99.9) };
}

/** Hands over the rows of this stage, to the command or to the terminal. */
export function report(rows) {
  if (process.send === undefined) console.table(rows);
  else process.send(rows);
}
