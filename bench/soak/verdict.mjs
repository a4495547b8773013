/**
 * What makes a soak run a good one. Pure. A quantity is flat if its floor does not rise: if the
 * least of it in the last third of the run is not above the least of the middle third by more than
 * a bound. Bursts stand on the floor; what leaks raises it.
 */

/** Growth from third to third: less than the share of the floor, or than `least`. */
export const bounds = {
  bytes: { share: 0.02, least: 4 * 2 ** 20 },
  descriptors: { share: 0.05, least: 8 },
};
/** Below this a third may pass without a full collection. */
export const trendSecondsMin = 400;

/** `points`: `{seconds, value}`, in order of time. */
export function trendOf(points, { share, least }) {
  const third = points.at(-1).seconds / 3;
  const floorOf = (from) => {
    const inside = points.filter(({ seconds }) => seconds >= from && seconds <= from + third);
    return inside.reduce((low, point) => (point.value < low.value ? point : low));
  };
  const [before, after] = [floorOf(third), floorOf(2 * third)];
  const growth = after.value - before.value;
  const growthMax = Math.max(least, share * before.value);
  return { growth, growthMax, flat: growth < growthMax };
}

/** The value of a metric, all its labels summed; of those whose line holds `label`, if given. */
export function metricSum(text, name, label = '') {
  let sum = 0;
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
    if (line.includes(label)) sum += Number(line.slice(line.lastIndexOf(' ')));
  }
  return sum;
}

const gauges = ['prefilling_requests', 'pending_prefill_tokens', 'decoding_requests'];

/** What a router and its engines still hold, in words, when no request is in flight. */
export function leftovers(metrics, engines) {
  const held = [...gauges, 'requests_in_flight']
    .map((name) => [name, metricSum(metrics, `dualmap_instance_${name}`)])
    .filter(([, value]) => value !== 0)
    .map(([name, value]) => `${name} is ${value}`);
  const busy = engines.flatMap(({ waiting, running }, index) =>
    waiting + running > 0 ? [`engine ${index} has ${waiting} waiting, ${running} running`] : [],
  );
  return [...held, ...busy];
}

/** Endings that this load must not bring about. */
const badEndings = ['failedBeforeFirstToken', 'failedAfterFirstToken', 'deadline', 'shed'];

function metricFaults(metrics) {
  const ending = (name) => metricSum(metrics, 'dualmap_requests_total', `"${name}"`);
  const faults = [...badEndings, 'drained']
    .filter((name) => ending(name) > 0)
    .map((name) => `${ending(name)} requests ended as ${name}`);
  const serverErrors = metricSum(metrics, 'dualmap_answers_total', '"5xx"');
  if (serverErrors > 0) faults.push(`${serverErrors} answers were 5xx`);
  const ended = metricSum(metrics, 'dualmap_requests_total');
  const sent = metricSum(metrics, 'dualmap_instance_requests_total');
  const retries = metricSum(metrics, 'dualmap_retries_total');
  const unsent = metricSum(metrics, 'dualmap_unsent_total');
  if (sent + unsent !== ended + retries) {
    const given = `${sent} requests sent to instances, ${unsent} unsent`;
    faults.push(`${given}, ${ended} endings and ${retries} retries`);
  }
  return faults;
}

/** Every reason why the run is not a good one; none if it is. */
export function faultsOf(run) {
  const { load, samples, atStart, atEnd, exit, log, exitMsMax } = run;
  const faults = [...metricFaults(atEnd.metrics), ...atEnd.leftovers];
  if (load.faultCount > 0)
    faults.push(`${load.faultCount} requests ended otherwise than they must`);
  if (load.notSent > 0) faults.push(`the load was not held: ${load.notSent} requests not sent`);
  for (const [kind, { sent }] of Object.entries(load.counts)) {
    if (sent === 0) faults.push(`no request of the kind ${kind}`);
  }
  const { clients, instances, rest } = atEnd.descriptors;
  if (clients > 0) faults.push(`${clients} connections of clients that have gone`);
  if (rest > atStart.descriptors.rest) {
    faults.push(`${rest} other descriptors, ${atStart.descriptors.rest} before the load`);
  }
  const instancesMax = Math.max(...samples.map((sample) => sample.descriptors.instances));
  if (instances > instancesMax) faults.push(`${instances} connections to instances, all idle`);
  for (const [name, trend] of Object.entries(run.trends ?? {})) {
    if (!trend.flat) faults.push(`${name} grows: ${Math.round(trend.growth)} from third to third`);
  }
  if (exit.code !== 0) faults.push(`the router ended with ${exit.signal ?? exit.code}`);
  if (exit.tookMs > exitMsMax) faults.push(`the router took ${exit.tookMs} ms to end`);
  const errorLines = log.split('\n').filter((line) => / (ERROR|FATAL) /.test(line));
  if (errorLines.length > 0) faults.push(`the log has errors: ${errorLines[0]}`);
  return faults;
}
