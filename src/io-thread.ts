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
import { chooseFrontEnd } from './listen/choose.ts';
import { listenHttp } from './listen/http.ts';
import { endOnUncaughtError } from './observe/crash.ts';
import { Journal } from './observe/journal.ts';
import { createLog } from './observe/log.ts';
import { ThreadStats } from './observe/thread-stats.ts';
import { Router, type RouterOptions } from './router.ts';
import { coreOptions, type FromIoThread, type IoThreadData, type ToIoThread } from './threads.ts';

/** Deadlines and estimated ends of prefills are looked at this often. */
const sweepIntervalMs = 50;

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
  const metrics = new MetricsRequests();
  const stats = new ThreadStats(state, data.thread);
  const journal =
    config.journalFile === null
      ? null
      : new Journal(stats, (batch) => send({ type: 'journal', batch }));
  const router = new Router(routerOptions(config), {
    core: new Core(data.memory, data.thread, coreOptions(config)),
    state,
    clock: systemClock,
    stats,
    log,
    journal,
    isServing: (slot) => state.state(slot) === 'serving',
    upstreamFor: (url) => (url.startsWith('https:') ? secure : plain),
    metrics: () => metrics.ask(),
  });
  router.setFleet(data.fleet.urls, data.fleet.modelsJson);
  const listen = config.frontEnd === 'http' ? listenHttp : chooseFrontEnd(() => undefined).listen;
  const listener = await listen(
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
  const sweeper = setInterval(() => {
    router.sweep();
    journal?.flush();
  }, sweepIntervalMs);
  let closed: Promise<void> | null = null;
  const close = async () => {
    clearInterval(sweeper);
    router.close();
    await listener.close();
    await Promise.all([plain.close(), secure.close()]);
    journal?.flush();
    port.close();
  };
  const closeOnce = () => {
    closed ??= close();
    return closed;
  };
  port.on('message', (message: ToIoThread) => {
    if (message.type === 'fleet') router.setFleet(message.fleet.urls, message.fleet.modelsJson);
    else if (message.type === 'instanceLost') router.instanceLost(message.slot);
    else if (message.type === 'fleetChanged') router.fleetChanged();
    else if (message.type === 'metrics') metrics.answer(message.id, message.text);
    else if (message.type === 'journalSettled') journal?.settled(message.receipt);
    else if (message.type === 'close') void closeOnce();
    else {
      listener.stop();
      void router.drain().then(closeOnce);
    }
  });
  send({ type: 'listening', port: listener.port });
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

/** `/metrics` is answered by main, which sums over all threads. */
class MetricsRequests {
  readonly #waiting = new Map<number, (text: string) => void>();
  #next = 0;

  ask(): Promise<string> {
    const id = this.#next;
    this.#next += 1;
    send({ type: 'metrics', id });
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  answer(id: number, text: string): void {
    this.#waiting.get(id)?.(text);
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
