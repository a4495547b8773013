/**
 * The prompt scan alone: JSON, canonical bytes, block hashes, level keys, and the object that holds
 * them, which the request path does without.
 */
import { makeCorpus } from '../../dist/bench/corpus.js';
import { scanPrompt } from '../../dist/core/scan.js';
import { latencies, rates, report } from './stage.mjs';

const rows = [];
for (const { name, body } of makeCorpus().filter((one) => one.kind === 'chat')) {
  const call = () => scanPrompt(body, 'chat');
  if (call().fault !== null) throw new Error(`${name} is faulty`);
  const { scan } = await rates('scan', { scan: call });
  const bytesPerSecond = scan.perSecond * body.length;
  rows.push({ name: `scan ${name}`, ...scan, bytesPerSecond, ...latencies(call), budgets: [] });
}
report(rows);
