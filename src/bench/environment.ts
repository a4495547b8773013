/**
 * Under what a benchmark ran: command, commit, date, machine, versions. A figure without these is
 * not one. Main thread; runs git and the tools for their versions.
 */
import { spawnSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

/** The package's own folder, from `src/bench` and from `dist/bench`. */
export const packageRoot: string = fileURLToPath(new URL('../..', import.meta.url));

export interface RunFacts {
  readonly command: string;
  readonly commit: string;
  readonly date: string;
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** Words that a shell would take apart are quoted, so that the line can be pasted. */
export function commandLine(words: readonly string[]): string {
  const quoted = words.map((word) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`,
  );
  return ['dualmap', ...quoted].join(' ');
}

export function runFacts(
  argv: readonly string[],
  versions: Readonly<Record<string, string>>,
): RunFacts {
  const processors = cpus();
  const memoryGiB = Math.round(totalmem() / 2 ** 30);
  return {
    command: commandLine(argv),
    commit: commit(),
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    machine: `${processors[0]?.model.trim() ?? 'unknown'}, ${processors.length} cores, ${memoryGiB} GiB, Linux ${release()}`,
    versions: { node: process.version, ...versions },
  };
}

/** Hash of HEAD, and `+ changes` if the working tree is not what was committed. */
function commit(): string {
  const hash = git('rev-parse', '--short=12', 'HEAD');
  // An installed package is no repository: its figures are still worth having.
  if (hash === null) return 'unknown: not a git repository, or without a commit';
  return git('status', '--porcelain') === '' ? hash : `${hash} + changes`;
}

/** What git prints; `null` if it fails. */
function git(...args: string[]): string | null {
  const run = spawnSync('git', args, { cwd: packageRoot, encoding: 'utf8' });
  return run.status === 0 ? run.stdout.trim() : null;
}

/** Debian keeps proxies where not everyone's path leads. */
export function toolEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin` };
}

/** First version number that `tool flag` prints; `null`: there is no such tool. */
export function toolVersion(tool: string, flag: string): string | null {
  const run = spawnSync(tool, [flag], { encoding: 'utf8', env: toolEnvironment() });
  if (run.error !== undefined) return null;
  return /\d+\.\d+[\w.+-]*/.exec(`${run.stdout}${run.stderr}`)?.[0] ?? 'unknown';
}

export function formatFacts(facts: RunFacts): string {
  const versions = Object.entries(facts.versions).map(([name, version]) => `${name} ${version}`);
  return [
    `command  ${facts.command}`,
    `commit   ${facts.commit}`,
    `date     ${facts.date} UTC`,
    `machine  ${facts.machine}`,
    `versions ${versions.join(', ')}`,
  ].join('\n');
}
