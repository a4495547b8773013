/**
 * XXH3 alone, over the bytes of a body: what no scan can be faster than. By the xxhash-addon
 * package, whose source of XXH3 is the one that the core is built with.
 */

import xxhash from 'xxhash-addon';
import { makeCorpus } from '../../dist/bench/corpus.js';
import { latencies, rates, report } from './stage.mjs';

const rows = [];
for (const { name, body } of makeCorpus().filter((one) => one.kind === 'chat')) {
  const bytes = Buffer.from(body);
  const call = () => xxhash.XXHash3.hash(bytes);
  const { hash } = await rates('hash', { hash: call });
  const bytesPerSecond = hash.perSecond * bytes.length;
  rows.push({ name: `hash ${name}`, ...hash, bytesPerSecond, ...latencies(call), budgets: [] });
}
report(rows);
