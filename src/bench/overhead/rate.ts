/**
 * Open-loop load at a constant rate: every answer is timed from the moment its request was due, so
 * that a stall of the proxy costs every request that it held up. Runs in the generator's process.
 */
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { build, type Histogram } from 'hdr-histogram-js';
import { HttpReader } from './http-reader.ts';
import { prefixCount, requestBytes } from './protocol.ts';
import type { TickerData } from './ticker.ts';

export interface RateJob {
  readonly kind: 'rate';
  readonly port: number;
  readonly bodyBytes: number;
  readonly connections: number;
  readonly perSecond: number;
  readonly warmSeconds: number;
  readonly seconds: number;
}

export interface LatencyResult {
  readonly answers: number;
  readonly failed: number;
  readonly socketErrors: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly latenessP99Ms: number;
}

/** Both ends of the measured time; the harness takes its samples before the job goes on. */
export interface Marks {
  onMeasuring(): Promise<void>;
  onMeasured(): Promise<void>;
}

/** Nanoseconds to a minute, three digits. */
export const newHistogram = (): Histogram =>
  build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60e9,
    numberOfSignificantValueDigits: 3,
  });

/** The p-th percentile of nanoseconds, in milliseconds; 0 if there is none. */
export const percentileMs = (histogram: Histogram, percent: number): number =>
  histogram.totalCount === 0 ? 0 : histogram.getValueAtPercentile(percent) / 1e6;

const nowNs = () => Number(process.hrtime.bigint());
/** How long answers may still come in after the last request. */
const lastAnswersMs = 10_000;

/**
 * Sends `warmSeconds`, then `seconds`; `onMeasuring` and `onMeasured` mark the second part, which
 * alone counts for latency. Requests without a free connection wait for one, their clock running.
 */
export async function runRate(job: RateJob, marks: Marks): Promise<LatencyResult> {
  const run = new RateRun(job, marks);
  await run.open();
  await run.send();
  return run.result();
}

interface Connection {
  readonly socket: Socket;
  /** Which request it carries: their number since the start. */
  tick: number;
}

class RateRun {
  readonly #job: RateJob;
  readonly #marks: Marks;
  readonly #requests: readonly Buffer[];
  readonly #intervalNs: number;
  readonly #warmCount: number;
  readonly #count: number;
  readonly #latencies = newHistogram();
  readonly #lateness = newHistogram();
  readonly #connections: Connection[] = [];
  readonly #idle: Connection[] = [];
  /** Requests without a connection, oldest first. */
  readonly #waiting: number[] = [];
  #startNs = 0;
  #due = 0;
  #answers = 0;
  #failed = 0;
  #socketErrors = 0;
  #inFlight = 0;
  #onIdle: (() => void) | null = null;

  constructor(job: RateJob, marks: Marks) {
    this.#job = job;
    this.#marks = marks;
    this.#intervalNs = 1e9 / job.perSecond;
    this.#warmCount = Math.round(job.warmSeconds * job.perSecond);
    this.#count = this.#warmCount + Math.max(1, Math.round(job.seconds * job.perSecond));
    this.#requests = Array.from({ length: prefixCount(job.bodyBytes) }, (_, prefix) =>
      requestBytes(job.bodyBytes, prefix + 1),
    );
  }

  async open(): Promise<void> {
    await Promise.all(Array.from({ length: this.#job.connections }, () => this.#connect()));
  }

  #connect(): Promise<void> {
    const socket = connect({ port: this.#job.port, host: '127.0.0.1', noDelay: true });
    const connection: Connection = { socket, tick: 0 };
    const reader = new HttpReader({ onEnd: (status) => this.#onAnswer(connection, status) });
    this.#connections.push(connection);
    return new Promise((resolve, reject) => {
      socket.once('error', reject).once('connect', () => {
        socket.off('error', reject).on('error', () => this.#onBroken());
        socket.on('end', () => this.#onBroken());
        this.#idle.push(connection);
        resolve();
      });
      socket.on('data', (data) => {
        try {
          reader.read(data);
        } catch (error) {
          socket.destroy(error as Error);
        }
      });
    });
  }

  #onBroken(): void {
    this.#socketErrors += 1;
    this.#onIdle?.();
  }

  /** Resolves when every answer is there, or a connection has broken, or it takes too long. */
  async send(): Promise<void> {
    const lead = 20e6;
    this.#startNs = nowNs() + lead;
    const workerData: TickerData = {
      startNs: this.#startNs,
      intervalNs: this.#intervalNs,
      count: this.#count,
    };
    const ticker = new Worker(new URL('./ticker.js', import.meta.url), { workerData });
    await new Promise<void>((resolve, reject) => {
      ticker.once('error', reject).once('exit', () => resolve());
      ticker.on('message', () => this.#sendDue());
    });
    this.#sendDue();
    await this.#marks.onMeasured();
    await this.#lastAnswers();
    for (const { socket } of this.#connections) socket.destroy();
  }

  #lastAnswers(): Promise<void> {
    const isDone = this.#inFlight === 0 && this.#waiting.length === 0;
    // With a broken connection the run is void: nothing is worth waiting for.
    if (isDone || this.#socketErrors > 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, lastAnswersMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #dueNs(tick: number): number {
    return this.#startNs + tick * this.#intervalNs;
  }

  #sendDue(): void {
    while (this.#due < this.#count && this.#dueNs(this.#due) <= nowNs()) {
      const tick = this.#due;
      this.#due += 1;
      // The rate waits for nobody.
      if (tick === this.#warmCount) void this.#marks.onMeasuring();
      const connection = this.#idle.pop();
      if (connection === undefined) this.#waiting.push(tick);
      else this.#sendOn(connection, tick);
      if (tick >= this.#warmCount) this.#lateness.recordValue(nowNs() - this.#dueNs(tick));
    }
  }

  #sendOn(connection: Connection, tick: number): void {
    connection.tick = tick;
    this.#inFlight += 1;
    connection.socket.write(this.#requests[tick % this.#requests.length]!);
  }

  #onAnswer(connection: Connection, status: number): void {
    this.#inFlight -= 1;
    this.#answers += 1;
    if (status < 200 || status > 299) this.#failed += 1;
    const { tick } = connection;
    if (tick >= this.#warmCount) this.#latencies.recordValue(nowNs() - this.#dueNs(tick));
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(connection);
    else this.#sendOn(connection, next);
    if (this.#inFlight === 0 && this.#waiting.length === 0) this.#onIdle?.();
  }

  result(): LatencyResult {
    // What has no answer by now never got one.
    const lost = this.#inFlight + this.#waiting.length;
    return {
      answers: this.#answers,
      failed: this.#failed,
      socketErrors: this.#socketErrors + lost,
      p50Ms: percentileMs(this.#latencies, 50),
      p99Ms: percentileMs(this.#latencies, 99),
      latenessP99Ms: percentileMs(this.#lateness, 99),
    };
  }
}
