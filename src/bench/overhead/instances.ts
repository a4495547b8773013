/**
 * What stands behind the contenders: nginx with a ready answer, or engines that stream; both count
 * what they serve. Main thread.
 */
import type { FleetKind } from './cells.ts';
import type { FromEngine, ToEngine } from './engine.ts';
import { freePorts } from './ports.ts';
import { Child } from './processes.ts';
import { fillTemplate, programUrl } from './templates.ts';

export interface ServedCounts {
  readonly served: number;
  readonly chunks: number;
}

export interface Instances {
  readonly ports: readonly number[];
  counts(): Promise<ServedCounts>;
  /** When streams with an id were closed by the other side, in nanoseconds; each is told once. */
  closed(): Promise<ReadonlyMap<number, bigint>>;
  readonly child: Child;
}

const instancesCount = 4;

export function startInstances(kind: FleetKind, folder: string): Promise<Instances> {
  return kind === 'unary' ? startNginx(folder) : startEngines();
}

async function startNginx(folder: string): Promise<Instances> {
  const [statusPort, ...ports] = await freePorts(instancesCount + 1);
  const file = fillTemplate('instances.conf', folder, {
    FOLDER: folder,
    STATUS_PORT: String(statusPort),
    LISTEN: ports.map((port) => `listen 127.0.0.1:${port} backlog=4096;`).join(' '),
  });
  const command = ['nginx', '-e', 'stderr', '-c', file];
  const child = new Child('nginx (instances)', command, { role: 'load' });
  let asked = 0;
  return {
    ports,
    child,
    counts: async () => {
      const answer = await fetch(`http://127.0.0.1:${statusPort}/`);
      asked += 1;
      const served = /\n *\d+ \d+ (\d+)/.exec(await answer.text())?.[1];
      if (served === undefined) throw new Error('nginx does not tell how much it has served');
      return { served: Number(served) - asked, chunks: 0 };
    },
    closed: () => Promise.resolve(new Map()),
  };
}

async function startEngines(): Promise<Instances> {
  const command = [process.execPath, programUrl('engine')];
  const child = new Child('engines', command, { role: 'load', hasChannel: true });
  const next = <Type extends FromEngine['type']>(type: Type) =>
    new Promise<Extract<FromEngine, { type: Type }>>((resolve, reject) => {
      const onMessage = (message: FromEngine) => {
        if (message.type !== type) return;
        child.process.off('message', onMessage);
        resolve(message as Extract<FromEngine, { type: Type }>);
      };
      child.process.on('message', onMessage);
      void child.ended.then(() => reject(new Error(`the engines ended: ${child.output}`)), reject);
    });
  const ask = <Type extends ToEngine>(type: Type) => {
    child.process.send(type);
    return next(type);
  };
  const { ports } = await next('ports');
  return {
    ports,
    child,
    counts: () => ask('counts'),
    closed: async () => {
      const { closed } = await ask('closed');
      return new Map(closed.map(([id, ns]) => [id, BigInt(ns)]));
    },
  };
}
