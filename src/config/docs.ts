import { requestFaults, upstreamFaults } from '../errors.ts';
import type { Config } from './config.ts';
import { weightMax, weightMin } from './instance-url.ts';
import { options } from './options.ts';

/**
 * The parts of the README that are made from tables of this code, so that neither can be forgotten
 * when the other changes. A block lies between `<!-- NAME: ... -->` and `<!-- end of NAME -->`.
 */

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

/** A row for every option: `--name`, unit, default, what is accepted, why. */
export function optionsMarkdown(): string {
  const rows = (Object.keys(options) as (keyof Config)[]).map((field) => {
    const { name, kind, unit, default: value, defaultText, why } = options[field];
    const format = kind.format as (value: unknown) => string;
    return [`\`--${name}\``, unit, defaultText ?? `\`${format(value)}\``, kind.accepts, why];
  });
  return [
    table(['option', 'unit', 'default', 'accepts', 'what and why'], rows),
    '',
    '`--slo-ttft-ms 3000` is `DUALMAP_SLO_TTFT_MS=3000` in the environment and `slo-ttft-ms: 3000` in',
    'the file. The command line goes before the environment, the environment before the file. In the',
    'file, `workers:` takes a list of `url`, `weight`',
    `(${weightMin} to ${weightMax}, default 1: the share of the prefixes) and \`models\` (default: ask the instance).`,
  ].join('\n');
}

/** A row for every answer that a client can get instead of the one it wanted. */
export function requestFaultsMarkdown(): string {
  const rows = Object.entries(requestFaults).map(([code, { status, type, meaning }]) => {
    return [`\`${code}\``, String(status), `\`${type}\``, meaning];
  });
  return table(['code', 'status', 'type', 'meaning'], rows);
}

/** A row for every way in which an instance can fail a request. */
export function upstreamFaultsMarkdown(): string {
  const rows = Object.entries(upstreamFaults).map(([code, { retryable, meaning }]) => {
    return [`\`${code}\``, retryable ? 'yes' : 'no', meaning];
  });
  return table(['code', 'tried elsewhere', 'meaning'], rows);
}

export const blocks: Readonly<Record<string, () => string>> = {
  options: optionsMarkdown,
  'request-faults': requestFaultsMarkdown,
  'upstream-faults': upstreamFaultsMarkdown,
};

/** The document with every block made anew. Throws if it lacks one. */
export function fillBlocks(document: string): string {
  let filled = document;
  for (const [name, make] of Object.entries(blocks)) {
    const pattern = new RegExp(`<!-- ${name}: [^>]*-->\n[\\s\\S]*?<!-- end of ${name} -->`);
    if (!pattern.test(filled)) throw new Error(`the document has no block "${name}"`);
    const head = `<!-- ${name}: made by npm run docs -->`;
    // A function: the text of a table may contain `$`.
    filled = filled.replace(pattern, () => `${head}\n\n${make()}\n\n<!-- end of ${name} -->`);
  }
  return filled;
}
