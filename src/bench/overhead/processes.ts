/**
 * The processes of a run: started on a processor of their own, measured, and ended by their id.
 * Main thread. Never touches a process that it did not start; what it started ends with this
 * process, even if that is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { toolEnvironment } from '../environment.ts';

/** Processors that this process may use, from the text of /proc/self/status. */
export function allowedProcessors(status: string): number[] {
  const list = /^Cpus_allowed_list:\s+(\S+)/m.exec(status)?.[1] ?? '';
  return list.split(',').flatMap((range) => {
    const [first, last] = range.split('-').map(Number);
    return Array.from({ length: (last ?? first!) - first! + 1 }, (_, index) => first! + index);
  });
}

export type Role = 'proxy' | 'load';

/** Proxies have the first processor for themselves; load and instances share the second one. */
function processorOf(role: Role): number {
  const allowed = allowedProcessors(readFileSync('/proc/self/status', 'utf8'));
  return allowed[role === 'proxy' ? 0 : 1] ?? allowed[0]!;
}

export interface StartOptions {
  readonly role: Role;
  readonly env?: Readonly<Record<string, string>>;
  /** A module of ours that talks by messages. */
  readonly hasChannel?: boolean;
}

const outputBytesMax = 64 * 1024;
const endGraceMs = 5_000;

/** One process of ours. */
export class Child {
  readonly name: string;
  readonly process: ChildProcess;
  /** Resolves with the exit code, `null` after a signal. */
  readonly ended: Promise<number | null>;
  #output = '';

  constructor(name: string, command: readonly string[], options: StartOptions) {
    const { role, env, hasChannel } = options;
    this.name = name;
    // Both replace themselves by the next command: the id stays that of the process itself.
    const pinned = ['--pdeathsig', 'TERM', 'taskset', '-c', String(processorOf(role)), ...command];
    this.process = spawn('setpriv', pinned, {
      env: { ...toolEnvironment(), ...env },
      stdio: hasChannel ? ['ignore', 'pipe', 'pipe', 'ipc'] : ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.on('data', (data: Buffer) => {
        this.#output = (this.#output + data.toString('utf8')).slice(-outputBytesMax);
      });
    }
    this.ended = new Promise((resolve, reject) => {
      this.process.once('error', reject).once('close', resolve);
    });
  }

  get pid(): number {
    const { pid } = this.process;
    if (pid === undefined) throw new Error(`${this.name} could not be started`);
    return pid;
  }

  get isRunning(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** The last of what it printed. */
  get output(): string {
    return this.#output;
  }

  async stop(): Promise<void> {
    if (!this.isRunning) return;
    this.process.kill('SIGTERM');
    const kill = setTimeout(() => this.process.kill('SIGKILL'), endGraceMs);
    await this.ended;
    clearTimeout(kill);
  }
}

/** What a process and all below it have cost so far. */
export interface Usage {
  /** Processor time in nanoseconds, user and system. */
  readonly cpuNs: number;
  readonly residentBytes: number;
  /** Highest since the processes started. */
  readonly residentBytesMax: number;
}

/** Of a process and all its descendants. Threads that have ended in between are not counted. */
export function usageOf(pid: number): Usage {
  const pids = treeOf(pid);
  const sum = (read: (one: number) => number) => pids.reduce((total, one) => total + read(one), 0);
  return {
    cpuNs: sum(cpuNsOf),
    residentBytes: sum((one) => memoryOf(one, 'VmRSS')),
    residentBytesMax: sum((one) => memoryOf(one, 'VmHWM')),
  };
}

function treeOf(pid: number): number[] {
  const children = threadsOf(pid).flatMap((thread) =>
    (readIfAlive(`/proc/${pid}/task/${thread}/children`) ?? '').split(' ').filter(Boolean),
  );
  return [pid, ...children.flatMap((child) => treeOf(Number(child)))];
}

const threadsOf = (pid: number): string[] => readdirSync(`/proc/${pid}/task`);

/** The scheduler's own account, in nanoseconds; clock ticks would be 10 ms. */
function cpuNsOf(pid: number): number {
  return threadsOf(pid).reduce((total, thread) => {
    const text = readIfAlive(`/proc/${pid}/task/${thread}/schedstat`);
    return total + Number(text?.split(' ')[0] ?? 0);
  }, 0);
}

function memoryOf(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(
    readIfAlive(`/proc/${pid}/status`) ?? '',
  );
  return Number(kilobytes?.[1] ?? 0) * 1024;
}

/** `null`: that thread or process has ended since it was listed. */
function readIfAlive(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}
