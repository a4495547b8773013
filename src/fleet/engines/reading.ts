/**
 * What an engine says of itself, read from its metrics. Pure; any thread.
 */
import {
  type CapacitySource,
  type EngineKind,
  type EngineNames,
  engineKinds,
  engineNames,
  namesRead,
} from './names.ts';
import { type MetricSamples, readSamples } from './prometheus.ts';

export interface EngineReading {
  readonly kind: EngineKind;
  /** Requests, whoever sent them. */
  readonly waiting: number;
  readonly running: number;
  /** Share of the cache in use, 0..1; `null`: not told. */
  readonly kvUse: number | null;
  /** Share of prompt tokens that its prefix cache gave, 0..1; `null`: not told. */
  readonly prefixHitRatio: number | null;
  /** Tokens that its cache holds; `null`: not told. */
  readonly capacityTokens: number | null;
}

/** `null`: the text has no name of any engine's load. Throws MetricsFault (prometheus.ts). */
export function readEngine(text: string): EngineReading | null {
  const samples = readSamples(text, namesRead);
  const kind = engineKinds.find((candidate) => {
    const { waiting, running } = engineNames[candidate];
    return samples.has(waiting) || samples.has(running);
  });
  if (kind === undefined) return null;
  const names = engineNames[kind];
  return {
    kind,
    waiting: sum(samples, names.waiting) ?? 0,
    running: sum(samples, names.running) ?? 0,
    kvUse: kvUseOf(samples, names),
    prefixHitRatio: prefixHitRatioOf(samples, names),
    capacityTokens: firstOf(names.capacity, (source) => capacityOf(samples, source)),
  };
}

function kvUseOf(samples: MetricSamples, names: EngineNames): number | null {
  const use = firstOf(names.kvUse, (name) => mean(samples, name));
  return use === null ? null : Math.min(1, use);
}

function prefixHitRatioOf(samples: MetricSamples, names: EngineNames): number | null {
  const { prefixCache } = names;
  if (prefixCache === null) return null;
  if ('ratio' in prefixCache) return mean(samples, prefixCache.ratio);
  const queries = sum(samples, prefixCache.queries);
  const hits = sum(samples, prefixCache.hits);
  return queries === null || queries === 0 || hits === null ? null : Math.min(1, hits / queries);
}

function capacityOf(samples: MetricSamples, source: CapacitySource): number | null {
  let tokens = 0;
  if ('metric' in source) {
    // vLLM writes "None" into a label that it does not know yet: that is no number.
    for (const { labels } of samples.get(source.metric) ?? []) {
      const part = Number(labels[source.blocksLabel]) * Number(labels[source.blockTokensLabel]);
      if (part > 0) tokens += part;
    }
  } else {
    tokens = (sum(samples, source.blocks) ?? 0) * (mean(samples, source.blockTokens) ?? 0);
  }
  return tokens > 0 && Number.isSafeInteger(tokens) ? tokens : null;
}

function sum(samples: MetricSamples, name: string): number | null {
  const list = samples.get(name);
  return list === undefined ? null : list.reduce((total, { value }) => total + value, 0);
}

function mean(samples: MetricSamples, name: string): number | null {
  const total = sum(samples, name);
  return total === null ? null : total / samples.get(name)!.length;
}

function firstOf<T>(sources: readonly T[], read: (source: T) => number | null): number | null {
  for (const source of sources) {
    const value = read(source);
    if (value !== null) return value;
  }
  return null;
}
