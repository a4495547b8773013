/**
 * Streams of events through a proxy: how long an event is under way, how many can be held open, how
 * fast a client's leaving reaches the engine. Runs in the generator's process.
 */
import { connect, type Socket } from 'node:net';
import type { StreamShape } from './cells.ts';
import { HttpReader } from './http-reader.ts';
import { prefixCount, requestBytes, StampReader } from './protocol.ts';
import { type Marks, newHistogram, percentileMs } from './rate.ts';

export interface StreamsJob {
  readonly kind: 'streams';
  readonly port: number;
  readonly bodyBytes: number;
  readonly streams: number;
  readonly shape: StreamShape;
  /** After every stream has had its first event. */
  readonly seconds: number;
  /** Streams have ids, and when each was left is told. */
  readonly tellsLeaving: boolean;
}

export interface StreamsResult {
  /** Streams that had their first event. */
  readonly answers: number;
  readonly failed: number;
  readonly socketErrors: number;
  /** Events with a stamp that arrived, from the first on. */
  readonly events: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Moment at which the stream with the id `index + 1` was left, in nanoseconds; '': never open. */
  readonly leftNs: readonly string[];
}

/** Opening more at a time would measure the listen queue. */
const openingMax = 100;
const firstEventMs = 30_000;
const lastEventsMs = 200;

export async function runStreams(job: StreamsJob, marks: Marks): Promise<StreamsResult> {
  const run = new StreamsRun(job);
  await run.open();
  await marks.onMeasuring();
  await run.watch();
  await marks.onMeasured();
  // What the engines had sent by then is still to come out.
  if (job.shape.stamped) await new Promise((resolve) => setTimeout(resolve, lastEventsMs));
  return run.leave();
}

class StreamsRun {
  readonly #job: StreamsJob;
  readonly #delays = newHistogram();
  readonly #sockets: (Socket | null)[] = [];
  #events = 0;
  #isMeasuring = false;
  #isLeaving = false;
  #answers = 0;
  #failed = 0;
  #socketErrors = 0;

  constructor(job: StreamsJob) {
    this.#job = job;
  }

  async open(): Promise<void> {
    for (let from = 0; from < this.#job.streams; from += openingMax) {
      const count = Math.min(openingMax, this.#job.streams - from);
      await Promise.all(Array.from({ length: count }, (_, index) => this.#openOne(from + index)));
    }
  }

  /** Resolves with its first event, or its failure. */
  #openOne(index: number): Promise<void> {
    const { port, bodyBytes, shape, tellsLeaving } = this.#job;
    const id = tellsLeaving ? index + 1 : 0;
    const prefix = (index % prefixCount(bodyBytes)) + 1;
    return new Promise((resolve) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      this.#sockets[index] = socket;
      const timer = setTimeout(() => fail('socketErrors'), firstEventMs);
      const fail = (kind: 'failed' | 'socketErrors') => {
        clearTimeout(timer);
        if (!this.#isLeaving && this.#sockets[index] !== null) {
          if (kind === 'failed') this.#failed += 1;
          else this.#socketErrors += 1;
          this.#sockets[index] = null;
        }
        socket.destroy();
        resolve();
      };
      const reader = this.#newReader(
        () => {
          clearTimeout(timer);
          this.#answers += 1;
          resolve();
        },
        () => fail('failed'),
      );
      socket.once('connect', () => socket.write(requestBytes(bodyBytes, prefix, { shape, id })));
      socket.on('data', (data) => {
        try {
          reader.read(data);
        } catch (error) {
          socket.destroy(error as Error);
        }
      });
      socket.on('error', () => fail('socketErrors')).on('close', () => fail('socketErrors'));
    });
  }

  #newReader(onFirst: () => void, onFailed: () => void): HttpReader {
    const stamps = this.#job.shape.stamped ? new StampReader() : null;
    let hasEvents = false;
    return new HttpReader({
      onHead: (status) => {
        if (status < 200 || status > 299) onFailed();
      },
      onBody: (bytes) => {
        if (!hasEvents) onFirst();
        hasEvents = true;
        const now = process.hrtime.bigint();
        stamps?.read(bytes, (stamp) => {
          this.#events += 1;
          if (this.#isMeasuring) this.#delays.recordValue(Number(now - stamp));
        });
      },
      // The shape asks for more events than there is time for.
      onEnd: onFailed,
    });
  }

  async watch(): Promise<void> {
    this.#isMeasuring = true;
    await new Promise((resolve) => setTimeout(resolve, this.#job.seconds * 1000));
    this.#isMeasuring = false;
  }

  leave(): StreamsResult {
    this.#isLeaving = true;
    const leftNs = this.#sockets.map((socket) => {
      if (socket === null) return '';
      const now = process.hrtime.bigint().toString();
      socket.destroy();
      return now;
    });
    return {
      answers: this.#answers,
      failed: this.#failed,
      socketErrors: this.#socketErrors,
      events: this.#events,
      p50Ms: percentileMs(this.#delays, 50),
      p99Ms: percentileMs(this.#delays, 99),
      leftNs: this.#job.tellsLeaving ? leftNs : [],
    };
  }
}
