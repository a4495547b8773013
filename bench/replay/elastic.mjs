/**
 * A fleet that grows by one instance and shrinks again under load, by `POST` and `DELETE /workers`
 * on a live router: is a request lost, and how soon are as many in time as before? Run after the
 * build:
 *
 *   node bench/replay/elastic.mjs --trace FILE [--load 0.8] [--policy dualmap] [--instances 8]
 *        [--limit 3600] [--time-scale 10] [--json OUT]
 *
 * After a third of the requests an instance joins, after two thirds the first of the old ones
 * leaves, with the warmest cache there is. The same requests on a fleet that stays as it is are run
 * before: a trace has better and worse minutes of its own. Times are in the engines' seconds.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { formatFacts } from '../../dist/bench/environment.js';
import { failuresOf, figuresOf } from './cell.mjs';
import { factsOf } from './facts.mjs';
import { Engines, replay, startRouter } from './fleet.mjs';
import { Observer } from './observer.mjs';
import { readRequests, settingsOf, stretchOf, workloadFlags } from './workload.mjs';

const { values } = parseArgs({
  options: {
    ...workloadFlags,
    limit: { type: 'string', default: '3600' },
    load: { type: 'string', default: '0.8' },
    policy: { type: 'string', default: 'dualmap' },
    json: { type: 'string' },
  },
});
const windowSeconds = 10;
const beforeSeconds = 60;
const backSecondsMax = 30;

const facts = factsOf('elastic.mjs');
const settings = settingsOf(values);
const load = Number(values.load);
const requests = await readRequests(values.trace, settings);
const count = requests.facts.requests;
const engines = await Engines.start({ ...settings, instances: settings.instances + 1 });
const joining = engines.urls.at(-1);
const leaving = engines.urls[0];

/** What is done to the fleet once the router has received so many requests. */
const changes = [
  { name: 'joins', after: Math.floor(count / 3), make: join },
  { name: 'leaves', after: Math.floor((2 * count) / 3), make: leave },
];

async function join(router) {
  const body = JSON.stringify({ url: joining });
  const answer = await fetch(`${router.url}/workers`, { method: 'POST', body });
  if (answer.status !== 201) throw new Error(`POST /workers: ${answer.status}`);
}

async function leave(router) {
  const { workers } = await (await fetch(`${router.url}/workers`)).json();
  const { id } = workers.find(({ url }) => url === leaving);
  const answer = await fetch(`${router.url}/workers/${id}`, { method: 'DELETE' });
  if (answer.status !== 202) throw new Error(`DELETE /workers: ${answer.status}`);
}

/** The outcomes of a run, and the place of the first request after each change. */
async function run(wanted) {
  await engines.clear();
  const urls = engines.urls.slice(0, -1);
  const router = await startRouter(urls, { ...settings, policy: values.policy });
  const due = [...wanted];
  const made = [];
  const observer = new Observer(router.url, async (received) => {
    if (due.length === 0 || received < due[0].after) return;
    const { name, make } = due.shift();
    made.push({ name, request: received });
    await make(router);
  });
  try {
    observer.start({ from: settings.warmup, to: count });
    const plan = { ...settings, path: requests.path, stretch: stretchOf(requests, load) };
    const outcomes = await replay(router.url, plan, settings);
    const { attainment, void: isVoid } = figuresOf(outcomes.slice(settings.warmup), settings);
    const figures = { attainment, void: isVoid, ...failuresOf(outcomes) };
    return { outcomes, made, ...figures, ...(await observer.stop()) };
  } finally {
    await router.stop();
  }
}

const secondsOf = ({ dueMs }) => (dueMs * settings.timeScale) / 1000;

/** Share in time of the requests due in these seconds. */
function attained(outcomes, from, to) {
  const there = outcomes.filter((outcome) => {
    return secondsOf(outcome) >= from && secondsOf(outcome) < to;
  });
  return { requests: there.length, attainment: figuresOf(there, settings).attainment };
}

/**
 * Windows from a change on, until the next one. Back is the first that is no worse than before the
 * change, or than the fleet that stayed, whichever asks for less; less two standard deviations of
 * so many requests.
 */
function afterwards(moved, still, at, end) {
  const former = attained(moved, at - beforeSeconds, at).attainment;
  const windows = [];
  for (let from = at; from + windowSeconds <= end; from += windowSeconds) {
    const here = attained(moved, from, from + windowSeconds);
    if (here.requests === 0) continue;
    const stayed = attained(still, from, from + windowSeconds).attainment;
    const level = Math.min(former, stayed);
    const noise = 2 * Math.sqrt((level * (1 - level)) / here.requests);
    const after = Math.round(from - at);
    windows.push({ after, ...here, stayed, isBack: here.attainment >= level - noise });
  }
  const back = windows.find(({ isBack }) => isBack);
  return { former, backSeconds: back?.after ?? null, windows };
}

const still = await run([]);
const moved = await run(changes);
await engines.stop();

const endSeconds = secondsOf(moved.outcomes.at(-1));
const times = moved.made.map(({ request }) =>
  secondsOf(moved.outcomes[Math.min(request, count - 1)]),
);
const events = moved.made.map(({ name }, at) => {
  const end = times[at + 1] ?? endSeconds;
  const after = afterwards(moved.outcomes, still.outcomes, times[at], end);
  return { name, atSeconds: times[at], ...after };
});
const servedByJoined = moved.outcomes.filter(({ instance }) => instance === joining).length;
const share = (value) => `${(100 * value).toFixed(1)} %`;

console.log(`${formatFacts(facts)}\n`);
console.log(
  `${settings.trace}, load ${load}, ${count} requests, ${servedByJoined} of them at the one that ` +
    `joined; attained ${share(moved.attainment)}, on a fleet that stays ${share(still.attainment)}\n`,
);
for (const { name, atSeconds, former, windows } of events) {
  console.log(
    `${name} at ${atSeconds.toFixed(0)} s; the ${beforeSeconds} s before: ${share(former)}`,
  );
  console.log('| after | requests | attained | fleet that stays |\n| --- | --- | --- | --- |');
  for (const { after, requests: sent, attainment, stayed } of windows) {
    console.log(`| ${after} s | ${sent} | ${share(attainment)} | ${share(stayed)} |`);
  }
  console.log('');
}
const budgets = [
  { what: 'requests failed or lost', atMost: 0, measured: moved.errors + moved.lost },
  ...events.map(({ name, backSeconds }) => ({
    what: `seconds until attainment is back after one ${name}`,
    atMost: backSecondsMax,
    measured: backSeconds,
  })),
];
for (const { what, atMost, measured } of budgets) {
  const isMet = measured !== null && measured <= atMost;
  console.log(`${isMet ? 'met' : 'missed'}: ${what}: ${measured ?? 'never'}, at most ${atMost}`);
}
if (moved.void || still.void) console.log('VOID: the generator was late');
if (values.json !== undefined) {
  const runs = [moved, still].map(({ outcomes, made, ...figures }) => figures);
  const result = { servedByJoined, moved: runs[0], still: runs[1], budgets, events };
  const report = { facts, settings, load, ...result };
  writeFileSync(values.json, `${JSON.stringify(report, null, 1)}\n`);
}
