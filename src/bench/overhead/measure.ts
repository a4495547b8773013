/**
 * One run: one cell through one contender. Main thread; load and instances are processes of their
 * own.
 */
import type { Cell, Figures, StreamShape } from './cells.ts';
import type { Contender } from './contenders.ts';
import type { FromGenerator, Job, ToGenerator } from './generator.ts';
import type { Instances, ServedCounts } from './instances.ts';
import { Child, type Usage, usageOf } from './processes.ts';
import { prefixCount, shapeText } from './protocol.ts';
import type { LatencyResult } from './rate.ts';
import type { StreamsResult } from './streams.ts';
import { overheadFile, programUrl } from './templates.ts';
import { eventsVoidReason, lateReason, parseWrk, voidReason } from './verdict.ts';

/** Figures, or the reason why there are none, or not all of them. */
export interface RunResult {
  readonly figures: Figures | null;
  readonly voidReason: string | null;
}

export interface Stage {
  readonly instances: Instances;
  readonly generator: Child;
  readonly seconds: number;
  readonly warmSeconds: number;
  /** Streams of a cell that holds as many as it can. */
  readonly streams: number;
  /** Sees every process of the run, to end it if the harness is told to stop. */
  readonly onStart: (child: Child) => void;
}

const wait = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Everything that counts at one moment. */
interface Sample extends ServedCounts, Usage {
  readonly atMs: number;
}

async function sample({ instances }: Stage, { child }: Contender): Promise<Sample> {
  const counts = await instances.counts();
  const none = { cpuNs: 0, residentBytes: 0, residentBytesMax: 0 };
  const usage = child === null ? none : usageOf(child.pid);
  return { ...counts, ...usage, atMs: performance.now() };
}

function conclude(reason: string | null, figures: Figures): RunResult {
  return reason === null ? { figures, voidReason: null } : { figures: null, voidReason: reason };
}

export async function measure(
  cell: Cell,
  contender: Contender,
  stage: Stage,
  perSecond: number | null,
): Promise<RunResult> {
  const { load } = cell;
  if (load.kind === 'closed') return runClosed(cell, contender, stage, load.stream ?? null);
  if (load.kind === 'rate') return runRate(cell, contender, stage, perSecond ?? load.perSecond);
  if (load.kind === 'relay') return runRelay(cell, contender, stage, load.stream);
  if (load.kind === 'hold') return runHold(cell, contender, stage, load.stream);
  return runCancel(cell, contender, stage, load.stream);
}

/** wrk, and figures of the time between its start and its end, when all connections are busy. */
async function runClosed(
  cell: Cell,
  contender: Contender,
  stage: Stage,
  stream: StreamShape | null,
): Promise<RunResult> {
  const load = ['-t1', `-c${cell.connections}`, '-d1h', '--timeout', '20s', '--latency'];
  const url = `http://127.0.0.1:${contender.port}/v1/chat/completions`;
  const before = await stage.instances.counts();
  const wrk = new Child('wrk', ['wrk', ...load, '-s', overheadFile('post.lua'), url], {
    role: 'load',
    env: {
      BODY_BYTES: String(cell.bodyBytes),
      PREFIXES: String(prefixCount(cell.bodyBytes)),
      ...(stream === null ? {} : { SHAPE: shapeText(stream) }),
    },
  });
  stage.onStart(wrk);
  await wait(stage.warmSeconds);
  const from = await sample(stage, contender);
  await wait(stage.seconds);
  const to = await sample(stage, contender);
  // It then prints what it has.
  wrk.process.kill('SIGINT');
  await wrk.ended;
  const after = await stage.instances.counts();
  const counts = parseWrk(wrk.output);
  const reason = voidReason({ ...counts, served: after.served - before.served });
  const per = stream === null ? 'served' : 'chunks';
  const count = to[per] - from[per];
  if (count === 0) return conclude(reason ?? 'nothing was served while it was measured', {});
  const cpuUs = contender.child === null ? null : (to.cpuNs - from.cpuNs) / 1000 / count;
  const cpu =
    cpuUs === null ? {} : stream === null ? { cpuUsPerRequest: cpuUs } : { cpuUsPerChunk: cpuUs };
  const perSecond = (count / (to.atMs - from.atMs)) * 1000;
  // The latency of a whole stream is its length.
  const latency = stream === null ? { p50Ms: counts.p50Ms, p99Ms: counts.p99Ms } : {};
  return conclude(reason, { ...cpu, ...latency, perSecond });
}

async function runRate(
  { bodyBytes, connections }: Cell,
  contender: Contender,
  stage: Stage,
  perSecond: number | undefined,
): Promise<RunResult> {
  if (perSecond === undefined) return conclude('the capacity is not known', {});
  const { seconds, warmSeconds } = stage;
  const { port, child } = contender;
  const job = {
    kind: 'rate',
    port,
    bodyBytes,
    connections,
    perSecond,
    warmSeconds,
    seconds,
  } as const;
  const before = await stage.instances.counts();
  const { result, from, to } = await generate<LatencyResult>(job, contender, stage);
  const after = await stage.instances.counts();
  const served = after.served - before.served;
  const cores = (to.cpuNs - from.cpuNs) / 1e6 / (to.atMs - from.atMs);
  const cpu = child === null ? {} : { cores };
  const late = lateReason(result.latenessP99Ms);
  const reason = voidReason({ ...result, served });
  // All requests were sent and answered: what they cost is known, how long they took is not.
  if (reason === null && late !== null) return { figures: cpu, voidReason: late };
  const { p50Ms, p99Ms } = result;
  return conclude(reason, { ...cpu, p50Ms, p99Ms, perSecond });
}

function streamsJob({ bodyBytes, connections }: Cell, port: number, shape: StreamShape) {
  const job = { kind: 'streams', port, bodyBytes, shape } as const;
  return { ...job, streams: connections, seconds: 0, tellsLeaving: false };
}

/** Streams are not counted by `served`: they never end by themselves. */
function streamsVoidReason(result: StreamsResult): string | null {
  return voidReason({ ...result, served: result.answers });
}

async function runRelay(
  cell: Cell,
  contender: Contender,
  stage: Stage,
  shape: StreamShape,
): Promise<RunResult> {
  const { seconds } = stage;
  const job = { ...streamsJob(cell, contender.port, shape), seconds };
  const before = await stage.instances.counts();
  const { result, from, to } = await generate<StreamsResult>(job, contender, stage);
  const reason =
    streamsVoidReason(result) ?? eventsVoidReason(result.events, to.chunks - before.chunks);
  const sent = to.chunks - from.chunks;
  const cpuUsPerChunk = (to.cpuNs - from.cpuNs) / 1000 / Math.max(1, sent);
  const cpu = contender.child === null ? {} : { cpuUsPerChunk };
  const perSecond = (sent / (to.atMs - from.atMs)) * 1000;
  return conclude(reason, { ...cpu, p50Ms: result.p50Ms, p99Ms: result.p99Ms, perSecond });
}

async function runHold(
  cell: Cell,
  contender: Contender,
  stage: Stage,
  shape: StreamShape,
): Promise<RunResult> {
  const { streams, seconds } = stage;
  const idle = await sample(stage, contender);
  const job = { ...streamsJob(cell, contender.port, shape), streams, seconds };
  const { result, to } = await generate<StreamsResult>(job, contender, stage);
  const bytesPerStream = (to.residentBytes - idle.residentBytes) / streams;
  return conclude(streamsVoidReason(result), contender.child === null ? {} : { bytesPerStream });
}

/** How long the engines may take to see that the clients have gone. */
const closeSecondsMax = 5;

async function runCancel(
  cell: Cell,
  contender: Contender,
  stage: Stage,
  shape: StreamShape,
): Promise<RunResult> {
  await stage.instances.closed();
  const job = { ...streamsJob(cell, contender.port, shape), tellsLeaving: true };
  const { result } = await generate<StreamsResult>(job, contender, stage);
  const seen = new Map<number, bigint>();
  const deadline = performance.now() + closeSecondsMax * 1000;
  while (seen.size < cell.connections && performance.now() < deadline) {
    await wait(0.02);
    for (const [id, ns] of await stage.instances.closed()) seen.set(id, ns);
  }
  const delaysMs = result.leftNs
    .flatMap((leftNs, index) => {
      const closedNs = seen.get(index + 1);
      return closedNs === undefined ? [] : [Number(closedNs - BigInt(leftNs)) / 1e6];
    })
    .toSorted((a, b) => a - b);
  const missing = cell.connections - delaysMs.length;
  const reason =
    streamsVoidReason(result) ??
    (missing > 0
      ? `${missing} streams were still open ${closeSecondsMax} s after the client`
      : null);
  if (reason !== null) return conclude(reason, {});
  const percentile = (share: number) => delaysMs[Math.ceil(delaysMs.length * share) - 1]!;
  return conclude(null, { p50Ms: percentile(0.5), p99Ms: percentile(0.99) });
}

/** Runs a job in the generator's process, with a sample at both ends of the measured time. */
async function generate<Result>(
  job: Job,
  contender: Contender,
  stage: Stage,
): Promise<{ result: Result; from: Sample; to: Sample }> {
  const { generator } = stage;
  const samples: Sample[] = [];
  const send = (message: ToGenerator) => generator.process.send(message);
  const result = await new Promise<Result>((resolve, reject) => {
    const onMessage = (message: FromGenerator) => {
      if (message.type === 'result') {
        generator.process.off('message', onMessage);
        resolve(message.result as Result);
      } else if (message.type === 'fault') {
        reject(new Error(`the generator failed: ${message.message}`));
      } else {
        sample(stage, contender)
          .then((taken) => {
            samples.push(taken);
            send({ kind: 'goOn' });
          })
          .catch(reject);
      }
    };
    generator.process.on('message', onMessage);
    void generator.ended.then(
      () => reject(new Error(`the generator ended: ${generator.output}`)),
      reject,
    );
    send(job);
  });
  const [from, to] = samples;
  if (from === undefined || to === undefined) throw new Error('the generator measured nothing');
  return { result, from, to };
}

/** The process that makes the load of every cell but wrk's. */
export function startGenerator(): Child {
  const command = [process.execPath, programUrl('generator')];
  return new Child('generator', command, { role: 'load', hasChannel: true });
}
