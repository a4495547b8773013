/**
 * Traces of shapes that no public trace has: long agent sessions, retrieval, bursts of code
 * completion. Made, not recorded: every result of them is labelled synthetic. The same seed gives
 * the same bytes. Run after the build:
 *
 *   node bench/study/shapes.mjs --out FOLDER [--rows 4000] [--seed 1]
 *
 * Blocks of 64 tokens. A prompt is a list of parts, each a text of its own; two prompts have as
 * many blocks in common as they begin with the same parts.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { createRandom } from '../../dist/replay/random.js';

const blockTokens = 64;

/** Draws, all from one stream. */
class Draw {
  #next;

  constructor(seed) {
    this.#next = createRandom(seed);
  }

  uniform(low, high) {
    return low + (high - low) * this.#next();
  }

  integer(low, high) {
    return Math.floor(this.uniform(low, high + 1));
  }

  exponential(mean) {
    return -mean * Math.log(1 - this.#next());
  }

  logNormal(median, sigma) {
    const angle = 2 * Math.PI * this.#next();
    return median * Math.exp(sigma * Math.sqrt(-2 * Math.log(1 - this.#next())) * Math.cos(angle));
  }

  /** Ranks below `count`, the most frequent first. */
  zipf(count, exponent) {
    const total = (count ** (1 - exponent) - 1) / (1 - exponent);
    const rank = (1 + this.#next() * total * (1 - exponent)) ** (1 / (1 - exponent));
    return Math.min(count - 1, Math.floor(rank) - 1);
  }
}

/** Numbers for prefixes: equal ids, equal prompts up to the end of that block. */
class Prefixes {
  #ids = new Map();

  /** `parts`: [name, tokens], in order. */
  blocksOf(parts) {
    const ids = [];
    let previous = -1;
    let text = '';
    let room = blockTokens;
    const close = () => {
      const key = `${previous} ${text}`;
      previous = this.#ids.get(key) ?? this.#ids.size;
      this.#ids.set(key, previous);
      ids.push(previous);
      text = '';
      room = blockTokens;
    };
    for (const [name, tokens] of parts) {
      for (let at = 0; at < tokens; ) {
        const taken = Math.min(room, tokens - at);
        text += `${name}:${at}+${taken};`;
        at += taken;
        room -= taken;
        if (room === 0) close();
      }
    }
    if (room < blockTokens) close();
    return ids;
  }
}

const tokensOf = (parts) => parts.reduce((sum, [, tokens]) => sum + tokens, 0);

/** Tools and instructions, a task, then turn by turn an answer and what a tool gave back. */
function agentSessions(draw, rows) {
  const requests = [];
  let startMs = 0;
  for (let session = 0; requests.length < 3 * rows; session++) {
    startMs += draw.exponential(4_000);
    const kind = draw.zipf(4, 0.8);
    const parts = [
      [`tools ${kind}`, 5_000 + 1_500 * kind],
      [`task ${session}`, draw.integer(1_000, 24_000)],
    ];
    const turns = Math.min(80, 5 + Math.floor(draw.exponential(25)));
    let nowMs = startMs;
    for (let turn = 0; turn < turns && tokensOf(parts) < 120_000; turn++) {
      const answer = Math.round(Math.min(2_000, draw.logNormal(180, 0.8)));
      requests.push({ timeMs: nowMs, parts: [...parts], output: Math.max(8, answer) });
      parts.push([`answer ${session} ${turn}`, Math.max(8, answer)]);
      parts.push([`result ${session} ${turn}`, Math.round(draw.logNormal(1_100, 1))]);
      nowMs += 25 * answer + 2_000 + draw.exponential(6_000);
    }
  }
  return requests;
}

/** Instructions, the best documents for a question, the question. */
function retrieval(draw, rows) {
  const documents = 3_000;
  const lengths = Array.from({ length: documents }, () => Math.round(draw.logNormal(700, 0.6)));
  let nowMs = 0;
  return Array.from({ length: rows }, (_, row) => {
    nowMs += draw.exponential(100);
    const parts = [['instructions', 900]];
    const count = draw.integer(3, 10);
    const found = new Set();
    while (found.size < count) found.add(draw.zipf(documents, 0.95));
    for (const document of found) parts.push([`document ${document}`, lengths[document]]);
    parts.push([`question ${row}`, draw.integer(20, 200)]);
    return { timeMs: nowMs, parts, output: draw.integer(60, 400) };
  });
}

/** Files that are edited: a request for every few keys, many in a burst, few tokens back. */
function completion(draw, rows) {
  const files = Array.from({ length: 1_200 }, (_, file) => {
    return { name: `file ${file}`, tokens: draw.integer(300, 7_000), edits: 0 };
  });
  const requests = [];
  let nowMs = 0;
  let isBurst = false;
  let changesMs = 0;
  while (requests.length < rows) {
    if (nowMs >= changesMs) {
      isBurst = !isBurst;
      changesMs = nowMs + draw.exponential(isBurst ? 8_000 : 40_000);
    }
    nowMs += draw.exponential(isBurst ? 12 : 90);
    const file = files[draw.zipf(files.length, 0.7)];
    const cursor = Math.round(file.tokens * draw.uniform(0.5, 1));
    // What stands before the cursor is as it was, but for its last lines.
    const kept = Math.max(0, cursor - draw.integer(0, 300));
    const parts = [
      ['instructions', 200],
      [file.name, kept],
      [`${file.name} edit ${file.edits++}`, cursor - kept + draw.integer(50, 500)],
    ];
    requests.push({ timeMs: nowMs, parts, output: draw.integer(8, 64) });
  }
  return requests;
}

const shapes = { 'agent-sessions': agentSessions, retrieval, completion };

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    rows: { type: 'string', default: '4000' },
    seed: { type: 'string', default: '1' },
  },
});
if (values.out === undefined) throw new Error('--out is required');
const rows = Number(values.rows);
for (const [name, make] of Object.entries(shapes)) {
  const draw = new Draw(Number(values.seed));
  const prefixes = new Prefixes();
  const requests = make(draw, rows);
  requests.sort((a, b) => a.timeMs - b.timeMs);
  // Of sessions those in the middle: at first all are young.
  const skipped = Math.floor((requests.length - rows) / 2);
  const chosen = requests.slice(skipped, skipped + rows);
  const startMs = chosen[0].timeMs;
  const lines = chosen.map(({ timeMs, parts, output }) =>
    JSON.stringify({
      timestamp: Math.round(timeMs - startMs),
      input_length: tokensOf(parts),
      output_length: output,
      hash_ids: prefixes.blocksOf(parts),
    }),
  );
  const file = `${name}.SYNTHETIC.jsonl.gz`;
  writeFileSync(join(values.out, file), gzipSync(`${lines.join('\n')}\n`));
  const tokens = chosen.map(({ parts }) => tokensOf(parts)).sort((a, b) => a - b);
  const median = tokens[tokens.length >> 1];
  process.stdout.write(`${file}: ${rows} requests, median prompt of ${median} tokens\n`);
}
