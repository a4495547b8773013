/**
 * The router as a whole, on the main thread: makes the fleet state, starts the I/O threads, keeps
 * the control plane (registry, health checks, metrics) and ends everything in order.
 */
import { Worker } from 'node:worker_threads';
import { systemClock } from './clock.ts';
import { type ComputePool, openComputePool } from './compute/pool.ts';
import type { Config } from './config/config.ts';
import { policyModes } from './config/policy-modes.ts';
import { FleetState } from './core/fleet-state.ts';
import { Core, createStateMemory } from './core/native.ts';
import { createUndiciUpstream } from './dispatch/undici.ts';
import { type Upstream, upstreamDefaults } from './dispatch/upstream.ts';
import { FleetAdmin } from './fleet/admin.ts';
import { MetricsPoller } from './fleet/engines/poller.ts';
import { HealthChecks } from './fleet/health.ts';
import { Registry, type RegistryHooks } from './fleet/registry.ts';
import { SnapshotsSeen } from './fleet/snapshots-seen.ts';
import { Speeds } from './fleet/speeds.ts';
import { chooseFrontEnd, probePort } from './listen/choose.ts';
import type { JournalBatch } from './observe/journal.ts';
import { JournalFile } from './observe/journal-file.ts';
import { createLog, type Log } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';
import { type MetricsPort, openMetricsPort } from './observe/metrics-port.ts';
import { ThreadStats } from './observe/thread-stats.ts';
import { probeBy } from './probe.ts';
import { Rebalancer } from './rebalancer.ts';
import {
  coreOptions,
  type FromIoThread,
  type IoThreadData,
  type ToIoThread,
  threadUrl,
} from './threads.ts';

/** Points of one generation of rings: 160 on two rings, for up to four groups of models. */
const ringPointsPerInstance = 160 * 2 * 4;
const hotnessRequestsPerInstance = 32;
const hotnessRequestsMin = 1_024;
const blockBytes = 512;
/**
 * What a request allocates is dead when its answer is out. Larger, and new objects push everything
 * else out of the processor's caches: with 96 MB a request of 4 KB cost an eighth more than with
 * this. Smaller, and requests in flight are copied again and again.
 */
const youngGenerationMb = 16;
/** Leaving instances and warm-ups are looked at this often. */
const sweepIntervalMs = 50;

/** A running router. */
export interface RunningRouter {
  readonly url: string;
  readonly port: number;
  /** The shared state, for whoever wants to look. */
  readonly state: FleetState;
  /** Statistics of each I/O thread. */
  readonly stats: readonly ThreadStats[];
  /** The port of `/metrics` alone (`--prometheus-port`); `null` if it is off. */
  readonly metricsPort: number | null;
  /**
   * Takes no new connections, lets requests in flight finish for at most `graceMs` (default: the
   * configuration's), then closes what is left.
   */
  close(graceMs?: number): Promise<void>;
}

/**
 * Starts a router. Rejects if the port is in use. Resolves when it listens and every instance has
 * been asked for its health once (or `healthCheckTimeoutMs` has passed).
 */
export async function startRouter(config: Config): Promise<RunningRouter> {
  const log = createLog({ level: config.logLevel, json: config.logJson, thread: 'main' });
  const ioThreads = threadsToRun(config, log);
  const port = await probePort(config.host, config.port);
  const memory = createStateMemory({
    instancesMax: config.instancesMax,
    threadsMax: ioThreads + 1,
    ringPointsMax: config.instancesMax * ringPointsPerInstance,
    indexBlocks: config.indexBlocks,
    hotnessRequestsMax: Math.max(
      hotnessRequestsMin,
      config.instancesMax * hotnessRequestsPerInstance,
    ),
    waitingMax: config.queueSize,
  });
  const router = new MainThread({ ...config, ioThreads }, memory, port, log);
  await router.start();
  return router;
}

function threadsToRun(config: Config, log: Log): number {
  const frontEnd = config.frontEnd === 'http' ? null : chooseFrontEnd((line) => log.warn(line));
  if (config.frontEnd === 'uws' && frontEnd?.name !== 'uws') {
    throw new Error('uWebSockets.js has no binary for this platform (--front-end uws)');
  }
  return frontEnd?.sharesPort ? config.ioThreads : 1;
}

type AdminQuestion = Extract<FromIoThread, { type: 'admin' }>;

class MainThread implements RunningRouter {
  readonly port: number;
  readonly url: string;
  readonly state: FleetState;
  readonly stats: readonly ThreadStats[];
  readonly #config: Config;
  readonly #log: Log;
  readonly #registry: Registry;
  readonly #seen: SnapshotsSeen;
  readonly #admin: FleetAdmin;
  readonly #health: HealthChecks;
  readonly #probes: Upstream;
  /** `null`: off. */
  readonly #poller: MetricsPoller | null;
  readonly #pool: ComputePool;
  readonly #speeds: Speeds;
  readonly #rebalancer: Rebalancer;
  readonly #metrics: ReturnType<typeof createMetrics>;
  readonly #threads: Worker[] = [];
  readonly #ended: Promise<void>[] = [];
  #metricsPort: MetricsPort | null = null;
  /** `null`: off. */
  #journal: JournalFile | null = null;
  #sweeper: NodeJS.Timeout | undefined;
  #closing: Promise<void> | null = null;

  constructor(config: Config, memory: SharedArrayBuffer, port: number, log: Log) {
    this.#config = config;
    this.#log = log;
    this.port = port;
    this.url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
    this.state = new FleetState(memory, config.instancesMax);
    const threads = Array.from({ length: config.ioThreads }, (_, index) => index + 1);
    this.stats = threads.map((thread) => new ThreadStats(this.state, thread));
    const core = new Core(memory, 0, coreOptions(config));
    this.#registry = new Registry(
      core,
      this.state,
      {
        ringSeed: config.ringSeed,
        prefillMsPerToken: config.prefillUsPerToken / 1000,
        capacityBlocks: (config.cacheTokens * config.bytesPerToken) / blockBytes,
        warmUpMs: config.warmUpMs,
        drainTimeoutMs: config.drainTimeoutMs,
      },
      this.#registryHooks(),
    );
    this.#seen = new SnapshotsSeen(config.ioThreads, (version) => this.#registry.seen(version));
    for (const { url, weight, models } of config.instances) this.#registry.add(url, weight, models);
    this.#probes = createUndiciUpstream(upstreamDefaults);
    this.#health = this.#createHealthChecks();
    this.#poller = this.#createPoller();
    this.#pool = openComputePool(threadUrl('compute/tasks'));
    this.#speeds = this.#createSpeeds();
    const plan = this.#pool.planRebalance;
    this.#rebalancer = new Rebalancer({ core, state: this.state, clock: systemClock, plan });
    this.#admin = new FleetAdmin({
      registry: this.#registry,
      state: this.state,
      log,
      watch: (instance) => void this.#health.watch(instance),
    });
    this.#metrics = createMetrics({
      state: this.state,
      threads: this.stats,
      instances: () => this.#registry.instances,
      engines: () => this.#poller?.samples() ?? [],
      models: () => this.#registry.modelNames(),
      estimateError: (slot) => this.#speeds.error(slot),
      tokensPerByte: (model) => core.tokensPerByte(model),
    });
  }

  #createSpeeds(): Speeds {
    const { estimate, policy, prefillUsPerToken } = this.#config;
    const isFitted =
      estimate === 'auto' ? policyModes[policy].fitsEstimates : estimate === 'fitted';
    const options = { isFitted, prefillMsPerToken: prefillUsPerToken / 1000 };
    return new Speeds(this.state, options, (jobs) => this.#pool.fitSpeeds(jobs));
  }

  #createPoller(): MetricsPoller | null {
    const { config, log } = { config: this.#config, log: this.#log };
    const { metricsPollIntervalMs: intervalMs, healthCheckTimeoutMs, bytesPerToken } = config;
    if (intervalMs === null) return null;
    return new MetricsPoller(
      { intervalMs, timeoutMs: healthCheckTimeoutMs, bytesPerToken },
      {
        instances: () => this.#registry.instances,
        state: this.state,
        probe: probeBy(this.#probes),
        clock: systemClock,
        random: Math.random,
      },
      {
        onRead: ({ url }, { kind, capacityTokens }) =>
          log.info({ instance: url, engine: kind, capacityTokens }, 'engine metrics are read'),
        onUnreadable: ({ url }, cause) =>
          log.warn({ instance: url, cause: String(cause) }, 'engine metrics cannot be read'),
      },
    );
  }

  #registryHooks(): RegistryHooks {
    const log = this.#log;
    return {
      clock: systemClock,
      schedule: setImmediate,
      onSnapshot: (fleet) => this.#tellAll({ type: 'fleet', fleet }),
      onState: (slot, state) => this.#tellAll({ type: 'instanceChanged', slot, state }),
      onDrainTimeout: ({ url, slot }) => {
        log.warn({ instance: url }, 'instance leaves before its requests have ended');
        this.#tellAll({ type: 'instanceOverdue', slot });
      },
      onGone: (instance) => {
        this.#health.forget(instance);
        log.info({ instance: instance.url }, 'instance has left');
      },
      onRingsTooLarge: () => log.error('the rings do not fit: raise --max-instances'),
    };
  }

  #createHealthChecks(): HealthChecks {
    const { config, log } = { config: this.#config, log: this.#log };
    return new HealthChecks(
      this.#registry,
      probeBy(this.#probes),
      {
        path: config.healthCheckPath,
        intervalMs: config.healthCheckIntervalMs,
        timeoutMs: config.healthCheckTimeoutMs,
        failureThreshold: config.healthFailureThreshold,
        successThreshold: config.healthSuccessThreshold,
      },
      {
        onServing: ({ url }) => log.info({ instance: url }, 'instance serves'),
        onDead: ({ url, slot }, cause) => {
          log.error({ instance: url, cause: String(cause) }, 'instance is dead');
          this.#tellAll({ type: 'instanceLost', slot });
        },
      },
    );
  }

  get metricsPort(): number | null {
    return this.#metricsPort?.port ?? null;
  }

  async start(): Promise<void> {
    this.#registry.flush();
    try {
      await this.#openMetricsPort();
      this.#journal = await openJournal(this.#config, this.#log);
      for (const thread of this.stats.keys()) await this.#startThread(thread + 1);
    } catch (error) {
      await this.close(0);
      throw error;
    }
    await this.#health.start();
    this.#registry.flush();
    await this.#seen.untilAll(this.#registry.version);
    this.#sweeper = setInterval(() => this.#registry.sweep(), sweepIntervalMs);
    this.#poller?.start();
  }

  async #openMetricsPort(): Promise<void> {
    const { host, prometheusPort } = this.#config;
    if (prometheusPort === null) return;
    this.#metricsPort = await openMetricsPort(host, prometheusPort, () => this.#metrics.text());
    this.#log.info({ port: this.#metricsPort.port }, 'metrics have a port of their own');
  }

  #startThread(thread: number): Promise<void> {
    const { memory } = this.state;
    // What changes from here on comes to it as messages.
    const fleet = this.#registry.snapshot();
    this.#seen.saw(thread - 1, fleet.version);
    const data: IoThreadData = { thread, memory, config: this.#config, port: this.port, fleet };
    const worker = new Worker(threadUrl('io-thread'), {
      workerData: data,
      resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
    });
    this.#threads.push(worker);
    this.#ended.push(new Promise((resolve) => worker.once('exit', () => resolve())));
    return new Promise((resolve, reject) => {
      worker.on('message', (message: FromIoThread) => {
        if (message.type === 'listening') resolve();
        else if (message.type === 'failedToListen') reject(new Error(message.message));
        else if (message.type === 'journal') void this.#writeJournal(worker, message.batch);
        else if (message.type === 'samples') this.#speeds.take(message.rows);
        else if (message.type === 'hotspots') this.#rebalancer.hot(message.slots);
        else if (message.type === 'fleetSeen') this.#seen.saw(thread - 1, message.version);
        else if (message.type === 'admin') this.#answerAdmin(worker, message);
        else void this.#answerMetrics(worker, message.id);
      });
      worker.once('error', reject);
      worker.once('exit', () => reject(new Error('an I/O thread ended before it listened')));
    });
  }

  async #answerMetrics(worker: Worker, id: number): Promise<void> {
    const text = await this.#metrics.text();
    worker.postMessage({ type: 'metrics', id, text } satisfies ToIoThread);
  }

  async #writeJournal(worker: Worker, { text, lines }: JournalBatch): Promise<void> {
    const isWritten = (await this.#journal?.append(text)) ?? false;
    const receipt = { chars: text.length, lines, isWritten };
    worker.postMessage({ type: 'journalSettled', receipt } satisfies ToIoThread);
  }

  #answerAdmin(worker: Worker, { id, request }: AdminQuestion): void {
    const answer = this.#admin.answer(request);
    worker.postMessage({ type: 'admin', id, answer } satisfies ToIoThread);
  }

  #tellAll(message: ToIoThread): void {
    for (const thread of this.#threads) thread.postMessage(message);
  }

  close(graceMs = this.#config.shutdownGraceMs): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    this.#health.stop();
    this.#poller?.stop();
    this.#rebalancer.stop();
    clearInterval(this.#sweeper);
    this.#tellAll({ type: 'drain' });
    const grace = setTimeout(() => this.#tellAll({ type: 'close' }), graceMs);
    await Promise.all(this.#ended);
    clearTimeout(grace);
    this.#speeds.stop();
    const { journal, metricsPort } = { journal: this.#journal, metricsPort: this.#metricsPort };
    await Promise.all([
      ...[this.#probes.close(), this.#pool.close(), metricsPort?.close(), journal?.close()],
    ]);
  }
}

async function openJournal(config: Config, log: Log): Promise<JournalFile | null> {
  const { journalFile: path, journalBytesMax: bytesMax, journalFilesMax: filesMax } = config;
  if (path === null) return null;
  return JournalFile.open(
    { path, bytesMax, filesMax },
    {
      onLost: (cause) => log.warn({ path, cause: String(cause) }, 'lines of the journal are lost'),
      onWrittenAgain: () => log.info({ path }, 'the journal is written again'),
    },
  );
}
