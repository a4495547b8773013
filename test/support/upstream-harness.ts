import { afterEach, beforeEach, expect } from 'vitest';
import {
  type Upstream,
  type UpstreamOptions,
  type UpstreamRequest,
  upstreamDefaults,
} from '../../src/dispatch/upstream.ts';
import type { Implementation } from './upstream-implementations.ts';
import { Recorder } from './upstream-recorder.ts';
import { type RawAnswer, RawServer } from './upstream-server.ts';

/** What the parts of the law of upstreams share: one fake instance and one upstream per test. */

export const statusOk = 'HTTP/1.1 200 OK\r\n';
export const answerOk = `${statusOk}content-length: 2\r\n\r\nok`;
/** The engine must see a cancel within this time (design.md). */
const cancelSeenMsMax = 50;

/**
 * Takes how long an instance took to see a cancel, up to five times: a busy machine can only make
 * it longer, so the shortest counts.
 */
export async function expectSeenInTime(measureMs: () => Promise<number>): Promise<void> {
  let shortestMs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5 && shortestMs >= cancelSeenMsMax; round += 1) {
    shortestMs = Math.min(shortestMs, await measureMs());
  }
  expect(shortestMs).toBeLessThan(cancelSeenMsMax);
}

export const reply =
  (bytes: string): RawAnswer =>
  ({ connection }) =>
    connection.send(bytes);

export const replyAndClose =
  (bytes: string): RawAnswer =>
  async ({ connection }) => {
    await connection.send(bytes);
    connection.end();
  };

export const replyAndReset =
  (bytes: string, before: () => Promise<void>): RawAnswer =>
  async ({ connection }) => {
    if (bytes !== '') await connection.send(bytes);
    await before();
    connection.reset();
  };

/**
 * Ten turns of the loop, which both sides run on: what was sent has arrived, and a connection that
 * has served a request is idle in the pool.
 */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export class Harness {
  server!: RawServer;
  upstream!: Upstream;
  readonly #implementation: Implementation;
  readonly #recorders: Recorder[] = [];

  /** To be made inside `describe`: it starts and stops server and upstream around each test. */
  constructor(implementation: Implementation) {
    this.#implementation = implementation;
    beforeEach(async () => {
      this.server = await RawServer.start(() => undefined);
      this.upstream = this.create();
    });
    afterEach(async () => {
      await this.upstream.close();
      await this.server.stop();
      expect(this.#recorders.flatMap((recorder) => recorder.violations)).toEqual([]);
      this.#recorders.length = 0;
    });
  }

  readonly create = (options: Partial<UpstreamOptions> = {}): Upstream =>
    this.#implementation.create({ ...upstreamDefaults, ...options });

  /** A handler whose violations of the law fail the test. */
  readonly record = (): Recorder => {
    const recorder = new Recorder();
    this.#recorders.push(recorder);
    return recorder;
  };

  readonly request = (change: Partial<UpstreamRequest> = {}): UpstreamRequest => {
    const body = Buffer.from('{"stream":true}');
    const base = { origin: this.server.origin, method: 'POST', path: '/v1/chat/completions' };
    return { ...base, headers: ['content-type', 'application/json'], body, ...change };
  };

  /** Sends a request and waits for its ending. */
  readonly ask = async (
    answer: RawAnswer,
    change: Partial<UpstreamRequest> = {},
  ): Promise<Recorder> => {
    const recorder = this.record();
    this.server.answer = answer;
    this.upstream.send(this.request(change), recorder);
    await recorder.ended;
    return recorder;
  };
}
