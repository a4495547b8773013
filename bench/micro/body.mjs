/**
 * From a raw body to a decision (scan, canonical prompt, chained hash, choice, reservation and its
 * end) beside bare simdjson and XXH3 over the same bytes, in turn.
 */
import { corpusDigest, makeCorpus } from '../../dist/bench/corpus.js';
import { medianOf } from '../../dist/bench/statistics.js';
import { bareScan } from '../../dist/core/native.js';
import { createFleet } from './fleet.mjs';
import { options, rates, report } from './stage.mjs';

const { core } = createFleet(options.instances);
const corpus = makeCorpus();
const secondsEach = options.seconds / 10;
let nowMs = 0;

function decide(body) {
  nowMs += 0.001;
  const fault = core.place(body, 'chat', nowMs);
  if (fault !== null) throw new Error(fault);
  core.end(core.placement.ticket, 0);
}

function scanBare(body) {
  if (bareScan(body) === 0) throw new Error('the corpus is not JSON');
}

const rounds = [];
for (let round = 0; round < options.rounds; round += 1) {
  const seconds = [];
  for (const { name, body } of corpus) {
    const calls = { ours: () => decide(body), bare: () => scanBare(body) };
    const { ours, bare } = await rates(name, calls, secondsEach);
    seconds.push({ ours: 1 / ours.perSecond, bare: 1 / bare.perSecond });
  }
  rounds.push(seconds);
}

const total = (seconds, kind) => seconds.reduce((sum, body) => sum + body[kind], 0);
const share = medianOf(rounds.map((seconds) => total(seconds, 'bare') / total(seconds, 'ours')));
/** Every body counts alike here, however few its bytes are. */
const geometricMean = (values) =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
const shareOfEach = medianOf(
  rounds.map((seconds) => geometricMean(seconds.map(({ ours, bare }) => bare / ours))),
);
const bytes = corpus.reduce((sum, { body }) => sum + body.length, 0);

report([
  ...corpus.map(({ name, body }, index) => ({
    name: `body ${name}`,
    perSecond: medianOf(rounds.map((seconds) => 1 / seconds[index].ours)),
    bytesPerSecond: medianOf(rounds.map((seconds) => body.length / seconds[index].ours)),
    share: medianOf(rounds.map((seconds) => seconds[index].bare / seconds[index].ours)),
    budgets: [],
  })),
  {
    name: `body, whole corpus (${corpusDigest(corpus)})`,
    perSecond: medianOf(rounds.map((seconds) => corpus.length / total(seconds, 'ours'))),
    bytesPerSecond: medianOf(rounds.map((seconds) => bytes / total(seconds, 'ours'))),
    share,
    budgets: [
      { what: 'bodies: speed over bare simdjson + XXH3, all bytes', atLeast: 0.8, measured: share },
      { what: 'the same, geometric mean of the bodies', atLeast: 0.8, measured: shareOfEach },
    ],
  },
]);
