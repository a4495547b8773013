/**
 * A router under mixed load for a while: unary answers and streams, clients that leave before and
 * after the first token, slow readers, bodies of 400 KB, bad requests, distinct and shared
 * prefixes, and an instance that closes its connection after each answer. Nothing may fail, leak or
 * grow. Run after the build, from anywhere, on Linux:
 *
 *   node bench/soak/soak.mjs [--seconds 600] [--load 0.7 | --rate N] [--io-threads 2] [--seed 1]
 *        [--sample-seconds 5] [--calibrate-seconds 10] [--json OUT]
 *
 * Router, engines and load share the machine. What it can carry is measured first, in a closed loop
 * with the same mix; the load is that times `--load`, arrivals at random, whatever the router
 * answers. `--rate` gives the requests a second instead. What makes a run good: `verdict.mjs`.
 * Prints one line; exit code 0 for a good run, 1 for any other.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { runFacts } from '../../dist/bench/environment.js';
import { Load } from './load.mjs';
import { Command, cpuSeconds, descriptors, get, residentBytes } from './processes.mjs';
import { bounds, faultsOf, leftovers, metricSum, trendOf, trendSecondsMin } from './verdict.mjs';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    load: { type: 'string', default: '0.7' },
    rate: { type: 'string' },
    'io-threads': { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
    'sample-seconds': { type: 'string', default: '5' },
    'calibrate-seconds': { type: 'string', default: '10' },
    json: { type: 'string' },
  },
});
const seconds = Number(values.seconds);
const instances = 4;
const timeScale = 50;
const paperUsPerToken = 160;
const calibrationClients = 128;
/** The first seconds compile, and open what a thread keeps from its first request on. */
const warmSeconds = 3;
const inFlightMax = 4_096;
const graceSeconds = 5;
/** After the load: connections close, counters empty. */
const settleMsMax = 15_000;

function startEngine(index) {
  const args = ['emulate', '--port=0', '--preset=paper-7b', `--time-scale=${timeScale}`];
  return Command.start(index === 0 ? [...args, '--switches', 'closeKeepAlive'] : args);
}

function startRouter(engines) {
  return Command.start([
    ...['serve', '--worker-urls', ...engines.map(({ url }) => url)],
    ...['--host', '127.0.0.1', '--port', '0', '--io-threads', values['io-threads']],
    ...['--prefill-us-per-token', String(paperUsPerToken / timeScale), '--slo-ttft-ms', '100'],
    ...['--shutdown-grace-period-secs', String(graceSeconds), '--log-level', 'warn'],
  ]);
}

const portOf = ({ url }) => Number(new URL(url).port);

/** What the kernel and the router say of the router now. */
async function sample(router, startMs) {
  const { pid, url, heaps } = router;
  const metrics = await get(`${url}/metrics`);
  const rssBytes = residentBytes(pid);
  return {
    seconds: (performance.now() - startMs) / 1_000,
    rssBytes,
    liveHeapBytes: heaps.liveBytes,
    outsideHeapBytes: rssBytes - heaps.takenBytes,
    cpuSeconds: cpuSeconds(pid),
    descriptors: descriptors(pid, portOf(router)),
    inFlight: metricSum(metrics, 'dualmap_instance_requests_in_flight'),
    ended: metricSum(metrics, 'dualmap_requests_total'),
    retries: metricSum(metrics, 'dualmap_retries_total'),
  };
}

/** The load, and samples beside it. */
async function soak(router, load, rate) {
  const samples = [];
  const startMs = performance.now();
  let running = true;
  const sampling = (async () => {
    while (running) {
      samples.push(await sample(router, startMs));
      await wait(Number(values['sample-seconds']) * 1_000);
    }
  })();
  await load.atRate(rate, seconds, inFlightMax);
  running = false;
  await sampling;
  await load.untilEnded();
  return samples;
}

const statsOf = async ({ url }) => JSON.parse(await get(`${url}/emulate/stats`));

/** The router when all is over, given time to notice it and to have `restMax` descriptors again. */
async function atRest(router, engines, restMax = Number.POSITIVE_INFINITY) {
  const deadlineMs = performance.now() + settleMsMax;
  for (;;) {
    const metrics = await get(`${router.url}/metrics`);
    const stats = await Promise.all(engines.map(statsOf));
    const busy = leftovers(metrics, stats);
    const held = descriptors(router.pid, portOf(router));
    const isQuiet = busy.length === 0 && held.clients === 0 && held.rest <= restMax;
    if (isQuiet || performance.now() > deadlineMs) {
      return { metrics, leftovers: busy, descriptors: held };
    }
    await wait(200);
  }
}

/**
 * Warms everything up, and returns the requests a second that router, engines and load can do
 * together on this machine; null if the rate is given.
 */
async function capacity(router) {
  const load = new Load(router.url, Number(values.seed) + 1_000);
  await load.closedLoop(calibrationClients, warmSeconds);
  const isWanted = values.rate === undefined;
  const calibrateSeconds = Number(values['calibrate-seconds']);
  const perSecond = isWanted ? await load.closedLoop(calibrationClients, calibrateSeconds) : null;
  load.close();
  if (load.faultCount > 0) throw new Error(`not fit to soak: ${JSON.stringify(load.faults[0])}`);
  return perSecond;
}

/** Growth of the floors, or null for a run too short to tell. */
function trendsOf(samples) {
  if (seconds < trendSecondsMin) return null;
  const points = (read) => samples.map((one) => ({ seconds: one.seconds, value: read(one) }));
  return {
    liveHeapBytes: trendOf(
      points(({ liveHeapBytes }) => liveHeapBytes),
      bounds.bytes,
    ),
    outsideHeapBytes: trendOf(
      points(({ outsideHeapBytes }) => outsideHeapBytes),
      bounds.bytes,
    ),
    descriptors: trendOf(
      points((one) => one.descriptors.all),
      bounds.descriptors,
    ),
  };
}

async function run() {
  const engines = await Promise.all(Array.from({ length: instances }, (_, i) => startEngine(i)));
  const router = await startRouter(engines);
  const capacityPerSecond = await capacity(router);
  const rate = capacityPerSecond === null ? Number(values.rate) : capacityPerSecond * values.load;
  const atStart = await atRest(router, engines);
  const load = new Load(router.url, Number(values.seed));
  const samples = await soak(router, load, rate);
  load.close();
  const atEnd = await atRest(router, engines, atStart.descriptors.rest);
  const exit = await router.stop(graceSeconds * 1_000 + 10_000);
  await Promise.all(engines.map((engine) => engine.stop(5_000)));
  const { log } = router;
  const trends = trendsOf(samples);
  // Nothing is in flight: it need not wait for its grace period to pass.
  const exitMsMax = 2_000;
  const faults = faultsOf({ load, samples, atStart, atEnd, exit, exitMsMax, log, trends });
  return { faults, capacityPerSecond, rate, load, samples, atStart, atEnd, exit, trends, log };
}

function reportOf({ load, atStart, atEnd, log, samples, rate, capacityPerSecond, ...rest }) {
  const [first, last] = [samples[0], samples.at(-1)];
  const ms = (histogram, percent) => histogram.getValueAtPercentile(percent) / 1_000;
  return {
    ...runFacts([], {}),
    command: ['node bench/soak/soak.mjs', ...process.argv.slice(2)].join(' '),
    capacityPerSecond,
    ratePerSecond: rate,
    requests: load.sent,
    kinds: load.counts,
    badAnswers: load.faults,
    sendLateMs: { p50: ms(load.lateUs, 50), p99: ms(load.lateUs, 99) },
    firstByteMs: { p50: ms(load.firstByteUs, 50), p99: ms(load.firstByteUs, 99) },
    routerCores: (last.cpuSeconds - first.cpuSeconds) / (last.seconds - first.seconds),
    retries: last.retries - first.retries,
    descriptors: { atStart: atStart.descriptors, atEnd: atEnd.descriptors },
    ...rest,
    bounds,
    log: log.split('\n').slice(0, 20),
    samples,
  };
}

function lineOf({ faults, ratePerSecond, capacityPerSecond, requests, samples, trends }) {
  const share = capacityPerSecond === null ? '' : ` (${values.load} of what the machine carries)`;
  const mib = (bytes) => (bytes / 2 ** 20).toFixed(1);
  const memory = samples.map(({ rssBytes }) => rssBytes);
  const growth = ({ liveHeapBytes, outsideHeapBytes, descriptors }) =>
    `on the floor ${mib(liveHeapBytes.growth)} MiB in the heaps, ` +
    `${mib(outsideHeapBytes.growth)} MiB outside, ${descriptors.growth} descriptors`;
  const what = [
    `${requests} requests in ${seconds} s at ${ratePerSecond.toFixed(0)}/s${share}`,
    `memory ${mib(memory[0])} to ${mib(memory.at(-1))} MiB`,
    trends === null ? `trends not judged below ${trendSecondsMin} s` : growth(trends),
  ].join(', ');
  return faults.length === 0 ? `soak: good: ${what}` : `soak: BAD: ${faults.join('; ')}: ${what}`;
}

process.on('exit', () => Command.killAll());
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

try {
  const report = reportOf(await run());
  if (values.json !== undefined) {
    writeFileSync(values.json, `${JSON.stringify(report, null, 1)}\n`);
  }
  console.log(lineOf(report));
  process.exit(report.faults.length === 0 ? 0 : 1);
} catch (error) {
  console.log(`soak: BAD: ${error.message}`);
  process.exit(1);
}
