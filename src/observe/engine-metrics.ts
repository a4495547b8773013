/**
 * What engines say of themselves, passed on under our names in `/metrics`, with its age. Main
 * thread; reads only.
 */
import type { Add, Labels } from './metrics.ts';

/** What is known of one instance whose metrics were asked for. */
export interface EngineSample {
  /** URL. */
  readonly instance: string;
  /** `null`: nothing could be read so far. */
  readonly reading: {
    readonly kind: string;
    readonly waiting: number;
    readonly running: number;
    readonly kvUse: number | null;
    readonly prefixHitRatio: number | null;
  } | null;
  readonly ageSeconds: number;
  readonly failuresTotal: number;
}

type Reading = NonNullable<EngineSample['reading']>;

export function addEngineMetrics(samples: () => readonly EngineSample[], add: Add): void {
  const gauge = (
    name: string,
    help: string,
    read: (reading: Reading, sample: EngineSample) => number | null,
    labels: (reading: Reading) => Labels = () => ({}),
  ) =>
    add(`dualmap_instance_${name}`, 'gauge', help, () =>
      samples().flatMap((sample) => {
        const { reading, instance } = sample;
        const value = reading === null ? null : read(reading, sample);
        return value === null ? [] : [{ labels: { instance, ...labels(reading!) }, value }];
      }),
    );
  gauge('engine_waiting_requests', 'Waiting in it, by its own count.', ({ waiting }) => waiting);
  gauge('engine_running_requests', 'Running in it, by its own count.', ({ running }) => running);
  gauge('engine_kv_cache_usage_ratio', 'Share of its cache in use.', ({ kvUse }) => kvUse);
  gauge(
    'engine_prefix_cache_hit_ratio',
    'Share of prompt tokens that its cache gave.',
    ({ prefixHitRatio }) => prefixHitRatio,
  );
  gauge(
    'engine_info',
    '1; the label says what kind of engine it is.',
    () => 1,
    ({ kind }) => ({ engine: kind }),
  );
  gauge(
    'scrape_age_seconds',
    'Since its own metrics were asked for last with success.',
    (_reading, { ageSeconds }) => ageSeconds,
  );
  add(
    'dualmap_instance_scrape_failures_total',
    'counter',
    'Times that its own metrics could not be read.',
    () =>
      samples().map(({ instance, failuresTotal }) => ({
        labels: { instance },
        value: failuresTotal,
      })),
  );
}
