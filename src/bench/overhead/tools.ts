/**
 * What `bench overhead` needs of the machine and does not install. Main thread.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { toolVersion } from '../environment.ts';

interface Tool {
  readonly name: string;
  readonly aptPackage: string;
  readonly versionFlag: string;
}

const tools: readonly Tool[] = [
  { name: 'wrk', aptPackage: 'wrk', versionFlag: '-v' },
  { name: 'nginx', aptPackage: 'nginx-light', versionFlag: '-v' },
  { name: 'haproxy', aptPackage: 'haproxy', versionFlag: '-v' },
  { name: 'taskset', aptPackage: 'util-linux', versionFlag: '-V' },
  { name: 'setpriv', aptPackage: 'util-linux', versionFlag: '-V' },
];
const rivals = ['wrk', 'nginx', 'haproxy'];

/** Versions of the tools, and a fault for everything that is missing. */
export function findTools(): { versions: Record<string, string>; faults: string[] } {
  const versions: Record<string, string> = {};
  const faults: string[] = [];
  if (process.platform !== 'linux') faults.push('it reads /proc: it runs on Linux only');
  if (availableParallelism() < 2) {
    faults.push('it needs two processors: one for the proxy, one for load and instances');
  }
  for (const { name, aptPackage, versionFlag } of tools) {
    const version = toolVersion(name, versionFlag);
    if (version === null) faults.push(`${name} is missing: apt-get install ${aptPackage}`);
    else if (rivals.includes(name)) versions[name] = version;
  }
  return { versions, faults };
}

/** Descriptors that a proxy needs besides two for each stream. */
const spareDescriptors = 1000;

/** How many streams a proxy can hold within the hard limit of file descriptors. */
export function streamsWithinLimit(wanted: number, limits = readLimits()): number {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1];
  if (hard === undefined || hard === 'unlimited') return wanted;
  return Math.max(1, Math.min(wanted, Math.floor((Number(hard) - spareDescriptors) / 2)));
}

function readLimits(): string {
  return readFileSync('/proc/self/limits', 'utf8');
}
