import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { eventually } from './listen-client.ts';

/** The command `dualmap` as its users run it: a process of its own, from `dist/`. */

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

export class CliProcess {
  stdout = '';
  stderr = '';
  readonly #child: ChildProcess;
  readonly #exit: Promise<number | null>;

  constructor(args: readonly string[], environment: Record<string, string> = {}) {
    // Options of whoever runs the tests must not get in.
    const inherited = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(DUALMAP_|NODE_OPTIONS|VITEST)/.test(name)),
    );
    const env = { ...inherited, ...environment };
    this.#child = spawn(process.execPath, [cli, ...args], { env });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.#exit = once(this.#child, 'close').then(([code]) => code as number | null);
  }

  async untilPrinted(pattern: RegExp): Promise<RegExpExecArray> {
    let found: RegExpExecArray | null = null;
    await eventually(() => {
      found = pattern.exec(this.stdout);
      return found !== null || this.#child.exitCode !== null;
    }, `${pattern} from the process, which wrote ${this.stderr}`);
    if (found === null) throw new Error(`the process ended: ${this.stderr}`);
    return found;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** The exit code; `null` if a signal ended it. */
  ended(): Promise<number | null> {
    return this.#exit;
  }

  /** Leaves nothing behind, whatever the test did. */
  async kill(): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
    await this.#exit;
  }
}

/** Runs `test` with a process and ends it afterwards. */
export async function withCli<T>(
  args: readonly string[],
  test: (cli: CliProcess) => Promise<T>,
  environment: Record<string, string> = {},
): Promise<T> {
  const process = new CliProcess(args, environment);
  try {
    return await test(process);
  } finally {
    await process.kill();
  }
}
