/**
 * `/metrics` in Prometheus' text format: sums of what the I/O threads count and what the fleet
 * state says at this moment. Main thread; reads only. prom-client writes the format.
 */
import { collectDefaultMetrics, type Metric, Registry } from 'prom-client';
import type { FleetState } from '../core/fleet-state.ts';
import { endings } from '../terms.ts';
import { addEngineMetrics, type EngineSample } from './engine-metrics.ts';
import {
  type Counter,
  type HistogramName,
  secondsBuckets,
  type ThreadStats,
} from './thread-stats.ts';

export interface MetricsSource {
  readonly state: FleetState;
  readonly threads: readonly ThreadStats[];
  instances(): readonly { readonly slot: number; readonly url: string }[];
  /** What engines say of themselves. */
  engines(): readonly EngineSample[];
  /** Names of the models that the fleet serves. */
  models(): readonly string[];
  /** How far the estimates of an instance's last first tokens were off; milliseconds. */
  estimateError(slot: number): { readonly meanAbsoluteMs: number; readonly biasMs: number };
  tokensPerByte(model: string): number;
}

/** Of the prefix index (native/core/README.md). */
const blockBytes = 512;

export type Labels = Record<string, string | number>;
interface Sample {
  readonly value: number;
  readonly labels: Labels;
  readonly metricName?: string;
}

export function createMetrics(source: MetricsSource): { text(): Promise<string> } {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const add = (
    name: string,
    type: 'counter' | 'gauge' | 'histogram',
    help: string,
    samples: () => Sample[],
  ) => {
    // A metric that is read, not counted: prom-client asks any metric for its values by `get`.
    const get = async () => ({ name, help, type, values: samples(), aggregator: 'sum' });
    registry.registerMetric({ name, help, type, get, reset: () => undefined } as unknown as Metric);
  };
  addThreadMetrics(source, add);
  addInstanceMetrics(source, add);
  addEngineMetrics(() => source.engines(), add);
  addEstimateMetrics(source, add);
  return { text: () => registry.metrics() };
}

export type Add = (
  name: string,
  type: 'counter' | 'gauge' | 'histogram',
  help: string,
  samples: () => Sample[],
) => void;

function addThreadMetrics({ threads }: MetricsSource, add: Add): void {
  const sum = (read: (stats: ThreadStats) => number) =>
    threads.reduce((total, stats) => total + read(stats), 0);
  add('dualmap_requests_total', 'counter', 'Requests that were placed, by how they ended.', () =>
    endings.map((ending) => ({
      labels: { ending },
      value: sum((stats) => stats.ending(ending)),
    })),
  );
  add('dualmap_answers_total', 'counter', 'Answers to clients, by class of status.', () =>
    [2, 3, 4, 5].map((statusClass) => ({
      labels: { status: `${statusClass}xx` },
      value: sum((stats) => stats.status(statusClass)),
    })),
  );
  const counter = (name: string, help: string, key: Counter) =>
    add(name, 'counter', help, () => [{ labels: {}, value: sum((stats) => stats.counter(key)) }]);
  counter('dualmap_received_total', 'Requests received, refused ones included.', 'requests');
  counter('dualmap_request_bytes_total', 'Bytes of request bodies.', 'requestBytes');
  counter('dualmap_unsent_total', 'Requests that ended while they waited here.', 'unsent');
  counter('dualmap_retries_total', 'Requests sent on to another instance.', 'retries');
  counter('dualmap_prompt_tokens_total', 'Prompt tokens as engines report them.', 'promptTokens');
  counter('dualmap_completion_tokens_total', 'Tokens that engines made.', 'completionTokens');
  counter('dualmap_cached_tokens_total', 'Prompt tokens that engines had cached.', 'cachedTokens');
  const lines = ['written', 'lost'] as const;
  add('dualmap_journal_lines_total', 'counter', 'Lines of the journal, by what came of them.', () =>
    lines.map((result) => ({
      labels: { result },
      value: sum((stats) => stats.counter(result === 'lost' ? 'journalLost' : 'journalWritten')),
    })),
  );
  const histogram = (name: string, help: string, key: HistogramName) =>
    add(name, 'histogram', help, () => histogramSamples(name, key, threads));
  histogram(
    'dualmap_time_to_first_token_seconds',
    'Last request byte read to first token relayed, streams only.',
    'ttft',
  );
  histogram('dualmap_request_duration_seconds', 'Request read to answer relayed.', 'duration');
  histogram('dualmap_queue_seconds', 'Time in the queues of the router, if any.', 'queued');
  histogram(
    'dualmap_ttft_estimate_error_seconds',
    'Distance between estimated and measured time to first token.',
    'estimateError',
  );
}

function histogramSamples(
  name: string,
  key: HistogramName,
  threads: readonly ThreadStats[],
): Sample[] {
  const all = threads.map((stats) => stats.histogram(key));
  const samples: Sample[] = [];
  let cumulated = 0;
  for (let bucket = 0; bucket <= secondsBuckets.length; bucket += 1) {
    for (const { counts } of all) cumulated += counts[bucket]!;
    const le = secondsBuckets[bucket] ?? '+Inf';
    samples.push({ metricName: `${name}_bucket`, labels: { le }, value: cumulated });
  }
  const sum = all.reduce((total, { sumSeconds }) => total + sumSeconds, 0);
  samples.push({ metricName: `${name}_sum`, labels: {}, value: sum });
  samples.push({ metricName: `${name}_count`, labels: {}, value: cumulated });
  return samples;
}

function addInstanceMetrics({ state, instances }: MetricsSource, add: Add): void {
  const each = (read: (slot: number) => number) => () =>
    instances().map(({ slot, url }) => ({ labels: { instance: url }, value: read(slot) }));
  const gauge = (name: string, help: string, read: (slot: number) => number) =>
    add(`dualmap_instance_${name}`, 'gauge', help, each(read));
  const total = (name: string, help: string, read: (slot: number) => number) =>
    add(`dualmap_instance_${name}_total`, 'counter', help, each(read));
  gauge('serving', '1 while requests are sent to it.', (slot) =>
    state.state(slot) === 'serving' ? 1 : 0,
  );
  gauge('suspect', '1 after a failure, until a request succeeds.', (slot) =>
    state.failures(slot) > 0 ? 1 : 0,
  );
  gauge(
    'queued_requests',
    'Waiting in the router, counted where they would rather go.',
    (slot) => state.load(slot, 'queued').requests,
  );
  gauge('queued_tokens', 'Uncached tokens of those.', (slot) => state.load(slot, 'queued').tokens);
  gauge(
    'prefilling_requests',
    'Sent, first token not yet seen.',
    (slot) => state.load(slot, 'prefilling').requests,
  );
  gauge(
    'pending_prefill_tokens',
    'Uncached tokens of those.',
    (slot) => state.load(slot, 'prefilling').tokens,
  );
  gauge(
    'decoding_requests',
    'First token seen, answer not yet complete.',
    (slot) => state.load(slot, 'decoding').requests,
  );
  gauge('requests_in_flight', 'Requests that hold it.', (slot) => state.holds(slot));
  gauge(
    'cache_capacity_bytes',
    'Prompt bytes that it is taken to keep in its prefix cache.',
    (slot) => state.capacityBlocks(slot) * blockBytes,
  );
  total('requests', 'Requests sent to it.', (slot) => state.total(slot, 'requestsTotal'));
  total('failures', 'Failures before a first token.', (slot) => state.total(slot, 'failuresTotal'));
  total('prompt_tokens', 'Prompt tokens sent to it, estimated.', (slot) =>
    state.total(slot, 'promptTokensTotal'),
  );
  total('predicted_cached_tokens', 'Of those, expected to be cached.', (slot) =>
    state.total(slot, 'cachedTokensTotal'),
  );
  total('cold_claims', 'Claims although the other candidate held more of the prefix.', (slot) =>
    state.total(slot, 'coldClaimsTotal'),
  );
  total('migrations', 'Moved here from the queue of the other candidate.', (slot) =>
    state.total(slot, 'migrationsTotal'),
  );
}

/** What estimates are made of, and how good they are. */
function addEstimateMetrics(source: MetricsSource, add: Add): void {
  const { state } = source;
  const gauge = (name: string, help: string, readMs: (slot: number) => number) =>
    add(`dualmap_instance_ttft_${name}`, 'gauge', help, () =>
      source.instances().map(({ slot, url }) => ({
        labels: { instance: url },
        value: readMs(slot) / 1000,
      })),
    );
  gauge(
    'estimate_error_seconds',
    'Mean distance between estimate and measured time, last 256 first tokens.',
    (slot) => source.estimateError(slot).meanAbsoluteMs,
  );
  gauge(
    'estimate_bias_seconds',
    'Mean of estimate less measured time, last 256 first tokens.',
    (slot) => source.estimateError(slot).biasMs,
  );
  gauge('base_seconds', 'Estimate: of any request.', (slot) => state.speed(slot).baseMs);
  gauge(
    'per_token_seconds',
    'Estimate: of an uncached token, ahead or its own.',
    (slot) => state.speed(slot).perTokenMs,
  );
  gauge(
    'per_token_context_seconds',
    'Estimate: of an own uncached token and a token that it attends to.',
    (slot) => state.speed(slot).perTokenContextMs,
  );
  gauge(
    'per_running_request_seconds',
    'Estimate: of a request that decodes there.',
    (slot) => state.speed(slot).perRunningMs,
  );
  add('dualmap_model_bytes_per_token', 'gauge', 'Bytes of prompt a token, as learnt.', () =>
    source.models().map((model) => ({
      labels: { model },
      value: 1 / source.tokensPerByte(model),
    })),
  );
}
