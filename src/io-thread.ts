/**
 * The entry of an I/O thread: a listener, a router, an upstream client and a decision core of its
 * own over the shared fleet state. A request lives its whole life here. It ends by itself when main
 * asks it to drain or close; an uncaught error ends the process, by design: the supervisor restarts
 * it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from './clock.ts';
import type { Config } from './config/config.ts';
import { FleetState } from './core/fleet-state.ts';
import { addon, Core } from './core/native.ts';
import { createNativeUpstream } from './dispatch/native.ts';
import { createUndiciUpstream } from './dispatch/undici.ts';
import { upstreamDefaults } from './dispatch/upstream.ts';
import type { AdminAnswer } from './fleet/admin.ts';
import { Hotspots } from './hotspots.ts';
import { chooseFrontEnd } from './listen/choose.ts';
import { listenHttp } from './listen/http.ts';
import { endOnUncaughtError } from './observe/crash.ts';
import { Journal, type JournalBatch } from './observe/journal.ts';
import { createLog } from './observe/log.ts';
import { ThreadStats } from './observe/thread-stats.ts';
import { Router, type RouterOptions } from './router.ts';
import {
  coreOptions,
  type FromIoThread,
  type IoThreadData,
  rebalances,
  type ToIoThread,
} from './threads.ts';

/** Deadlines and estimated ends of prefills are looked at this often. */
const sweepIntervalMs = 50;
/** First-token times go to main this often, if there are any. */
const samplesIntervalMs = 1_000;

const data = workerData as IoThreadData;
const { config } = data;
const port = parentPort!;
const log = createLog({
  level: config.logLevel,
  json: config.logJson,
  thread: `io-${data.thread}`,
});

endOnUncaughtError(log);

async function run(): Promise<void> {
  const state = new FleetState(data.memory, config.instancesMax);
  const limits = { ...upstreamDefaults, connectTimeoutMs: config.connectTimeoutMs };
  const plain = createNativeUpstream(addon, limits);
  const secure = createUndiciUpstream(limits);
  const metrics = new Questions<string>();
  const admin = new Questions<AdminAnswer>();
  const stats = new ThreadStats(state, data.thread);
  const journal = openJournal(stats);
  const core = new Core(data.memory, data.thread, coreOptions(config));
  const router = new Router(routerOptions(config), {
    core,
    state,
    clock: systemClock,
    stats,
    log,
    journal,
    hotspots: openHotspots(),
    isServing: (slot) => state.state(slot) === 'serving',
    upstreamFor: (url) => (url.startsWith('https:') ? secure : plain),
    metrics: () => metrics.ask((id) => send({ type: 'metrics', id })),
    admin: (request) => admin.ask((id) => send({ type: 'admin', id, request })),
  });
  router.setFleet(data.fleet.urls, data.fleet.modelsJson);
  const listener = await listenOf(config)(
    {
      host: config.host,
      port: data.port,
      shared: config.ioThreads > 1,
      headerCountMax: config.headerCountMax,
      headerBytesMax: config.headerBytesMax,
      bodyTimeoutMs: config.bodyTimeoutMs,
    },
    router.serve,
  );
  const close = onceClosed(async () => {
    clearInterval(sweeper);
    clearInterval(reporter);
    router.close();
    await listener.close();
    await Promise.all([plain.close(), secure.close()]);
    journal?.flush();
    port.close();
  });
  const sweeper = setInterval(() => {
    router.sweep();
    journal?.flush();
  }, sweepIntervalMs);
  const reporter = setInterval(() => {
    if (core.samples.count > 0) send({ type: 'samples', rows: core.samples.take() });
  }, samplesIntervalMs);
  port.on('message', (message: ToIoThread) => {
    switch (message.type) {
      case 'metrics':
        return metrics.answer(message.id, message.text);
      case 'admin':
        return admin.answer(message.id, message.answer);
      case 'journalSettled':
        return journal?.settled(message.receipt);
      case 'drain':
        listener.stop();
        return void router.drain().then(close);
      case 'close':
        return void close();
      default:
        return tellRouter(router, message);
    }
  });
  send({ type: 'listening', port: listener.port });
}

type FleetMessage = Extract<ToIoThread, { type: 'fleet' | `instance${string}` }>;

function tellRouter(router: Router, message: FleetMessage): void {
  if (message.type === 'instanceLost') router.instanceLost(message.slot);
  else if (message.type === 'instanceOverdue') router.instanceOverdue(message.slot);
  else if (message.type === 'instanceChanged') router.instanceChanged(message.slot, message.state);
  else {
    router.setFleet(message.fleet.urls, message.fleet.modelsJson);
    send({ type: 'fleetSeen', version: message.fleet.version });
  }
}

/** `null`: off. */
function openJournal(stats: ThreadStats): Journal | null {
  if (config.journalFile === null) return null;
  return new Journal(stats, (batch: JournalBatch) => send({ type: 'journal', batch }));
}

/** `null`: nothing is rebalanced. */
function openHotspots(): Hotspots | null {
  return rebalances(config) ? new Hotspots((slots) => send({ type: 'hotspots', slots })) : null;
}

const listenOf = ({ frontEnd }: Config) =>
  frontEnd === 'http' ? listenHttp : chooseFrontEnd(() => undefined).listen;

/** However often it is called. */
function onceClosed(close: () => Promise<void>): () => Promise<void> {
  let closed: Promise<void> | null = null;
  return () => {
    closed ??= close();
    return closed;
  };
}

function routerOptions(from: Config): RouterOptions {
  const { apiKey, bodyBytesMax, requestsInFlightMax, queueTimeoutMs, explain } = from;
  const { firstTokenTimeoutMs } = from;
  const share = requestsInFlightMax === null ? null : requestsInFlightMax / from.ioThreads;
  return {
    apiKey,
    bodyBytesMax,
    requestsInFlightMax: share === null ? null : Math.ceil(share),
    queueTimeoutMs,
    firstTokenTimeoutMs,
    explain,
  };
}

/** What only main can answer: it is asked by message. */
class Questions<Answer> {
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #next = 0;

  ask(send: (id: number) => void): Promise<Answer> {
    const id = this.#next;
    this.#next += 1;
    send(id);
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  answer(id: number, answer: Answer): void {
    this.#waiting.get(id)?.(answer);
    this.#waiting.delete(id);
  }
}

function send(message: FromIoThread): void {
  port.postMessage(message);
}

run().catch((error: unknown) => {
  send({ type: 'failedToListen', message: error instanceof Error ? error.message : String(error) });
  port.close();
});
