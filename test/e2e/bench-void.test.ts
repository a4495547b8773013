import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Cell } from '../../src/bench/overhead/cells.ts';
import { measure, type Stage, startGenerator } from '../../src/bench/overhead/measure.ts';
import type { Child } from '../../src/bench/overhead/processes.ts';
import { findTools } from '../../src/bench/overhead/tools.ts';

/**
 * The rules that void a run, with the real load generator against servers that do each thing wrong.
 * wrk, nginx and HAProxy are not needed.
 */

const missing = findTools().faults.filter((fault) => /^(setpriv|taskset|it )/.test(fault));
const why = missing.length === 0 ? '' : ` (skipped: ${missing.join(', ')})`;

let generator: Child;
let server: Server | null = null;
let requests = 0;

beforeAll(() => {
  if (missing.length === 0) generator = startGenerator();
});

afterAll(() => generator?.stop());

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => server?.close(resolve) ?? resolve(null));
  server = null;
});

const rate: Cell = {
  ...{ name: 'rate', what: '', bodyBytes: 200, connections: 4 },
  load: { kind: 'rate', perSecond: 200 },
};
const relay: Cell = {
  ...{ name: 'relay', what: '', bodyBytes: 200, connections: 4 },
  load: { kind: 'relay', stream: { intervalMs: 5, chunks: 1000, phases: 1, stamped: true } },
};

const event = () =>
  `data: {"stamp":"${process.hrtime.bigint().toString().padStart(19, '0')}","choices":[]}\n\n`;

/** Runs a cell against a server; `share` of what it does is confirmed. */
async function runAgainst(cell: Cell, listener: RequestListener, share = 1) {
  requests = 0;
  const counting: RequestListener = (request, answer) => {
    requests += 1;
    listener(request, answer);
  };
  server = createServer(counting);
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const counts = () =>
    Promise.resolve({ served: Math.floor(requests * share), chunks: Math.floor(events * share) });
  const instances = { ports: [port], counts, closed: () => Promise.resolve(new Map()) };
  const stage: Stage = {
    instances: { ...instances, child: generator },
    ...{ generator, seconds: 0.25, warmSeconds: 0.1, streams: 4, onStart: () => undefined },
  };
  return measure(cell, { name: 'direct', port, child: null }, stage, null);
}

let events = 0;
const answerAll: RequestListener = (request, answer) => {
  request.resume().on('end', () => answer.end('{}'));
};
const streamAll: RequestListener = (_, answer) => {
  answer.writeHead(200, { 'content-type': 'text/event-stream' });
  const timer = setInterval(() => {
    events += 1;
    answer.write(event());
  }, 5);
  answer.on('close', () => clearInterval(timer));
};

test.skipIf(missing.length > 0)(`an honest server has figures${why}`, async () => {
  const { figures, voidReason } = await runAgainst(rate, answerAll);
  // On a busy machine the generator may be late, and says so; nothing else may be wrong.
  if (voidReason === null) expect(figures!.p50Ms).toBeGreaterThan(0);
  else
    expect({ voidReason, figures }).toEqual({
      voidReason: expect.stringMatching(/fell behind/),
      figures: {},
    });
  const relayed = await runAgainst(relay, streamAll);
  expect(relayed.voidReason).toBeNull();
  expect(relayed.figures!.p99Ms).toBeGreaterThanOrEqual(relayed.figures!.p50Ms!);
});

test.skipIf(missing.length > 0)(`instances that under-count void a run${why}`, async () => {
  const { figures, voidReason } = await runAgainst(rate, answerAll, 0.9);
  expect(voidReason).toMatch(/^\d+ answers, but the instances served only \d+$/);
  expect(figures).toBeNull();
});

test.skipIf(missing.length > 0)(`one answer that is not 2xx voids a run${why}`, async () => {
  const { voidReason } = await runAgainst(rate, (request, answer) => {
    if (requests === 20) answer.statusCode = 503;
    answerAll(request, answer);
  });
  expect(voidReason).toMatch(/^1 of \d+ answers were not 2xx$/);
});

test.skipIf(missing.length > 0)(`one connection that breaks voids a run${why}`, async () => {
  const { voidReason } = await runAgainst(rate, (request, answer) => {
    if (requests === 20) answer.socket!.destroy();
    else answerAll(request, answer);
  });
  expect(voidReason).toMatch(/socket errors$/);
});

test.skipIf(missing.length > 0)(`events that get lost void a run${why}`, async () => {
  // What is sent counts twice: half of it is never seen to arrive.
  const { voidReason } = await runAgainst(relay, streamAll, 2);
  expect(voidReason).toMatch(/^the engines sent \d+ events, but only \d+ arrived$/);
});

test.skipIf(missing.length > 0)(`a stream that ends early voids a run${why}`, async () => {
  const { voidReason } = await runAgainst(relay, (_, answer) => {
    answer.writeHead(200, { 'content-type': 'text/event-stream' });
    answer.write(event());
    answer.end();
  });
  expect(voidReason).toMatch(/not 2xx|socket errors/);
});
