/**
 * Who is measured: nginx, HAProxy, the router with one and with two I/O threads, and no proxy at
 * all. Main thread.
 */
import { join } from 'node:path';
import { packageRoot } from '../environment.ts';
import type { Instances } from './instances.ts';
import { freePorts } from './ports.ts';
import { Child } from './processes.ts';
import { requestBytes } from './protocol.ts';
import { fillTemplate } from './templates.ts';

export const contenderNames = ['direct', 'nginx', 'haproxy', 'router', 'router-2'] as const;
export type ContenderName = (typeof contenderNames)[number];

export interface Contender {
  readonly name: ContenderName;
  readonly port: number;
  /** `null`: nothing stands in between. */
  readonly child: Child | null;
}

export interface ContenderOptions {
  readonly routerCommand: string | null;
  readonly quick: boolean;
  /** At most so many connections through the rivals. */
  readonly connectionsMax: { readonly nginx: number; readonly haproxy: number };
  readonly folder: string;
}

/** As the referee has them. */
export const refereeConnections = { nginx: 8192, haproxy: 4000 };

/** The names of those that can take part: two I/O threads only where the command says how. */
export function namesFor({ routerCommand, quick }: ContenderOptions): ContenderName[] {
  const canHaveTwo = !quick && (routerCommand === null || routerCommand.includes('%THREADS%'));
  return contenderNames.filter((name) => name !== 'router-2' || canHaveTwo);
}

/** Starts all of them and waits until each has answered a request. `onStart` sees every process. */
export async function startContenders(
  instances: Instances,
  options: ContenderOptions,
  onStart: (child: Child) => void,
): Promise<Contender[]> {
  const names = namesFor(options);
  const ports = await freePorts(names.length);
  const contenders = names.map((name, index): Contender => {
    if (name === 'direct') return { name, port: instances.ports[0]!, child: null };
    const port = ports[index]!;
    const command = commandOf(name, port, instances.ports, options);
    const child = new Child(name, command, { role: 'proxy' });
    onStart(child);
    return { name, port, child };
  });
  await Promise.all(contenders.map(untilItAnswers));
  return contenders;
}

function commandOf(
  name: Exclude<ContenderName, 'direct'>,
  port: number,
  instancePorts: readonly number[],
  { connectionsMax, folder, routerCommand }: ContenderOptions,
): readonly string[] {
  const common = { FOLDER: folder, PORT: String(port) };
  if (name === 'nginx') {
    const servers = instancePorts.map((one) => `server 127.0.0.1:${one};`).join(' ');
    const values = { ...common, SERVERS: servers, CONNECTIONS: String(connectionsMax.nginx) };
    return ['nginx', '-e', 'stderr', '-c', fillTemplate('nginx.conf', folder, values)];
  }
  if (name === 'haproxy') {
    const servers = instancePorts.map((one, index) => `  server s${index} 127.0.0.1:${one}`);
    const values = { SERVERS: servers.join('\n'), CONNECTIONS: String(connectionsMax.haproxy) };
    const file = fillTemplate('haproxy.cfg', folder, { ...common, ...values });
    return ['haproxy', '-db', '-f', file];
  }
  const places = {
    PORT: String(port),
    UPSTREAM: instancePorts.map((one) => `http://127.0.0.1:${one}`).join(' '),
    THREADS: name === 'router-2' ? '2' : '1',
  };
  return routerProcess(routerCommand, places);
}

/** A given command goes through a shell, which it replaces; ours does not need one. */
function routerProcess(
  command: string | null,
  { PORT, UPSTREAM, THREADS }: Readonly<Record<'PORT' | 'UPSTREAM' | 'THREADS', string>>,
): readonly string[] {
  if (command !== null) {
    const filled = command
      .replaceAll('%PORT%', PORT)
      .replaceAll('%UPSTREAM%', UPSTREAM)
      .replaceAll('%THREADS%', THREADS);
    return ['bash', '-c', `exec ${filled}`];
  }
  const serve = [process.execPath, join(packageRoot, 'dist/cli.js'), 'serve'];
  const options = ['--host', '127.0.0.1', '--port', PORT, '--io-threads', THREADS];
  return [...serve, ...options, '--worker-urls', ...UPSTREAM.split(' ')];
}

const answerMs = 20_000;
const retryMs = 50;

/** Until a request has a 2xx answer through it: a router must have found its instances first. */
async function untilItAnswers({ name, port, child }: Contender): Promise<void> {
  const deadline = performance.now() + answerMs;
  let last = 'no answer';
  const headers = { 'content-type': 'application/json' };
  const body = requestBytes(200, 1).subarray(-200);
  while (performance.now() < deadline) {
    if (child !== null && !child.isRunning) break;
    try {
      const url = `http://127.0.0.1:${port}/v1/chat/completions`;
      const answer = await fetch(url, { method: 'POST', headers, body });
      await answer.arrayBuffer();
      if (answer.ok) return;
      last = `status ${answer.status}`;
    } catch (error) {
      last = String((error as Error).cause ?? error);
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
  throw new Error(`${name} did not start (${last}): ${child?.output ?? ''}`);
}
