/**
 * What is measured: a list of named cells that covers every row of the proxy budgets, and the
 * budgets themselves. Not the full product of sizes, kinds and connections: that would take a day
 * and say no more. Data only.
 */

/** How an engine paces the events of a stream; told to it in a request header (protocol.ts). */
export interface StreamShape {
  readonly intervalMs: number;
  readonly chunks: number;
  /** Into how many ticks an interval is divided; 1: all streams get their event at once. */
  readonly phases: number;
  /** Each event carries the moment at which it was sent. */
  readonly stamped: boolean;
}

export type Load =
  /** wrk: every connection sends its next request as soon as it has the answer. */
  | { readonly kind: 'closed'; readonly stream?: StreamShape }
  /** Constant rate, timed from the moment a request was due; half of a measured capacity, or fixed. */
  | { readonly kind: 'rate'; readonly perSecond: number; readonly capacityFrom?: undefined }
  | { readonly kind: 'rate'; readonly perSecond?: undefined; readonly capacityFrom: string }
  /** Streams of stamped events. */
  | { readonly kind: 'relay'; readonly stream: StreamShape }
  /** As many streams as the options and the limit of file descriptors allow, held open. */
  | { readonly kind: 'hold'; readonly stream: StreamShape }
  /** Streams that the client leaves after their first event. */
  | { readonly kind: 'cancel'; readonly stream: StreamShape };

export interface Cell {
  readonly name: string;
  readonly what: string;
  readonly bodyBytes: number;
  /** Connections, or streams. */
  readonly connections: number;
  readonly load: Load;
}

const endless = 1_000_000;
const fast: StreamShape = { intervalMs: 5, chunks: 100, phases: 1, stamped: false };

const KB = 1024;
const closed = { kind: 'closed' } as const;
const streamed = { kind: 'closed', stream: fast } as const;

export const cells: readonly Cell[] = [
  { name: 'unary-200b', what: '200 B', bodyBytes: 200, connections: 64, load: closed },
  { name: 'unary-4k', what: '4 KB', bodyBytes: 4 * KB, connections: 64, load: closed },
  { name: 'unary-4k-1', what: '4 KB', bodyBytes: 4 * KB, connections: 1, load: closed },
  { name: 'unary-4k-2000', what: '4 KB', bodyBytes: 4 * KB, connections: 2000, load: closed },
  { name: 'unary-64k', what: '64 KB', bodyBytes: 64 * KB, connections: 64, load: closed },
  {
    name: 'unary-400k',
    what: '400 KB, 100 a second',
    bodyBytes: 400 * KB,
    connections: 64,
    load: { kind: 'rate', perSecond: 100 },
  },
  {
    name: 'latency-4k',
    what: '4 KB at half load',
    bodyBytes: 4 * KB,
    connections: 64,
    load: { kind: 'rate', capacityFrom: 'unary-4k' },
  },
  // What a generator of one thread sends in time on any machine.
  {
    name: 'latency-4k-1000',
    what: '4 KB, 1,000 a second',
    bodyBytes: 4 * KB,
    connections: 64,
    load: { kind: 'rate', perSecond: 1_000 },
  },
  // As the referee sends it, but for the length of the body.
  { name: 'sse-200b', what: '200 B, 5 ms', bodyBytes: 200, connections: 200, load: streamed },
  { name: 'sse-4k', what: '4 KB, 5 ms', bodyBytes: 4 * KB, connections: 64, load: streamed },
  { name: 'sse-4k-1', what: '4 KB, 5 ms', bodyBytes: 4 * KB, connections: 1, load: streamed },
  {
    name: 'sse-4k-2000',
    what: '4 KB, 50 ms',
    bodyBytes: 4 * KB,
    connections: 2000,
    load: { kind: 'closed', stream: { ...fast, intervalMs: 50, chunks: 40 } },
  },
  { name: 'sse-64k', what: '64 KB, 5 ms', bodyBytes: 64 * KB, connections: 64, load: streamed },
  {
    name: 'relay-64',
    what: 'an event every 10 ms',
    bodyBytes: 4 * KB,
    connections: 64,
    load: {
      kind: 'relay',
      stream: { intervalMs: 10, chunks: endless, phases: 10, stamped: true },
    },
  },
  {
    name: 'relay-2000',
    what: 'an event every 200 ms',
    bodyBytes: 4 * KB,
    connections: 2000,
    load: {
      kind: 'relay',
      stream: { intervalMs: 200, chunks: endless, phases: 200, stamped: true },
    },
  },
  {
    name: 'cancel',
    what: 'the client goes away',
    bodyBytes: 4 * KB,
    connections: 64,
    load: {
      kind: 'cancel',
      stream: { intervalMs: 200, chunks: endless, phases: 20, stamped: false },
    },
  },
  {
    name: 'streams',
    what: 'an event a second',
    bodyBytes: 4 * KB,
    connections: 0,
    load: {
      kind: 'hold',
      stream: { intervalMs: 1000, chunks: endless, phases: 100, stamped: false },
    },
  },
];

/** What `--quick` runs: every kind of load once. */
export const quickCells = [
  ...['unary-4k', 'latency-4k', 'sse-200b', 'relay-64', 'cancel', 'streams'],
];

/** Which instances a cell needs: nginx with a ready answer, engines that stream, or fresh ones. */
export type FleetKind = 'unary' | 'sse' | 'hold';

export function fleetOf({ load }: Cell): FleetKind {
  if (load.kind === 'hold') return 'hold';
  if (load.kind === 'rate') return 'unary';
  return load.kind === 'closed' && load.stream === undefined ? 'unary' : 'sse';
}

/** Figures a cell can yield, in the order of the table. Less is better, but for rates. */
export const metrics = {
  cpuUsPerRequest: 'CPU us/request',
  cpuUsPerChunk: 'CPU us/chunk',
  cores: 'cores used',
  bytesPerStream: 'KB/stream',
  p50Ms: 'p50 ms',
  p99Ms: 'p99 ms',
  addedP50Ms: 'added p50 ms',
  addedP99Ms: 'added p99 ms',
  perSecond: 'a second',
} as const;
export type Metric = keyof typeof metrics;
export type Figures = { readonly [name in Metric]?: number };

/** Figures that are shown in other units than they are kept in. */
export const shownPer: { readonly [name in Metric]?: number } = { bytesPerStream: 1000 };

/** Costs that are set in relation to each rival of the same round. */
export const ratioMetrics: readonly Metric[] = ['cpuUsPerRequest', 'cpuUsPerChunk', 'cores'];

export interface Budget {
  readonly cell: string;
  readonly metric: Metric;
  readonly contender: 'router' | 'router-2';
  /** At most this figure, or this many times that of the rival. */
  readonly atMost: number;
  readonly times?: 'nginx' | 'haproxy' | 'router';
}

export const budgets: readonly Budget[] = [
  budget('unary-4k', 'cpuUsPerRequest', 1, 'nginx'),
  budget('unary-4k', 'cpuUsPerRequest', 1, 'haproxy'),
  { ...budget('unary-4k', 'cpuUsPerRequest', 1.1, 'router'), contender: 'router-2' },
  budget('sse-200b', 'cpuUsPerChunk', 1, 'nginx'),
  budget('sse-200b', 'cpuUsPerChunk', 1.2, 'haproxy'),
  budget('relay-64', 'p99Ms', 1),
  budget('unary-400k', 'cores', 0.15),
  budget('latency-4k', 'addedP50Ms', 0.15),
  budget('latency-4k', 'addedP99Ms', 1),
  budget('streams', 'bytesPerStream', 20_000),
  budget('cancel', 'p99Ms', 50),
];

function budget(cell: string, metric: Metric, atMost: number, times?: Budget['times']): Budget {
  const row = { cell, metric, contender: 'router', atMost } as const;
  return times === undefined ? row : { ...row, times };
}
