/**
 * The names under which each kind of engine tells its load and its cache: one table, and nothing
 * else knows them. Data only.
 */

export const engineKinds = ['vllm', 'sglang', 'trtllm', 'llamacpp'] as const;
export type EngineKind = (typeof engineKinds)[number];

/** Where an engine tells the size of its cache: blocks, and tokens of a block. */
export type CapacitySource =
  /** Two labels of one metric; a sample for each part of the engine. */
  | { readonly metric: string; readonly blocksLabel: string; readonly blockTokensLabel: string }
  | { readonly blocks: string; readonly blockTokens: string };

export interface EngineNames {
  /** Requests; summed over all labels, such as `engine`. Either of them tells the kind. */
  readonly waiting: string;
  readonly running: string;
  /** Share of the cache in use, 0..1; the first that is there; the mean over all labels. */
  readonly kvUse: readonly string[];
  /** The first that is there. */
  readonly capacity: readonly CapacitySource[];
  /** Tokens looked up and found since its start, or their ratio as the engine reckons it. */
  readonly prefixCache:
    | { readonly queries: string; readonly hits: string }
    | { readonly ratio: string }
    | null;
}

export const engineNames: Readonly<Record<EngineKind, EngineNames>> = {
  vllm: {
    waiting: 'vllm:num_requests_waiting',
    running: 'vllm:num_requests_running',
    kvUse: ['vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc'],
    capacity: [
      {
        metric: 'vllm:cache_config_info',
        blocksLabel: 'num_gpu_blocks',
        blockTokensLabel: 'block_size',
      },
    ],
    prefixCache: {
      queries: 'vllm:prefix_cache_queries_total',
      hits: 'vllm:prefix_cache_hits_total',
    },
  },
  sglang: {
    waiting: 'sglang:num_queue_reqs',
    running: 'sglang:num_running_reqs',
    kvUse: ['sglang:token_usage'],
    capacity: [
      {
        metric: 'sglang:cache_config_info',
        blocksLabel: 'num_pages',
        blockTokensLabel: 'page_size',
      },
      // What takes the place of those labels from 0.5.11 on.
      { blocks: 'sglang:num_pages', blockTokens: 'sglang:page_size' },
    ],
    prefixCache: { ratio: 'sglang:cache_hit_rate' },
  },
  trtllm: {
    waiting: 'trtllm_num_requests_waiting',
    running: 'trtllm_num_requests_running',
    kvUse: ['trtllm_kv_cache_utilization'],
    capacity: [
      { blocks: 'trtllm_kv_cache_max_blocks', blockTokens: 'trtllm_kv_cache_tokens_per_block' },
    ],
    prefixCache: { ratio: 'trtllm_kv_cache_hit_rate' },
  },
  // Its cache is asked for at /slots and /props (llama-cpp.ts).
  llamacpp: {
    waiting: 'llamacpp:requests_deferred',
    running: 'llamacpp:requests_processing',
    kvUse: [],
    capacity: [],
    prefixCache: null,
  },
};

/** In the order in which they are tried; TensorRT-LLM has something else at the first. */
export const metricsPaths = ['/metrics', '/prometheus/metrics'] as const;

/** Every name of the table. */
export const namesRead: ReadonlySet<string> = new Set(
  Object.values(engineNames).flatMap(({ waiting, running, kvUse, capacity, prefixCache }) => [
    waiting,
    running,
    ...kvUse,
    ...capacity.flatMap((from) =>
      'metric' in from ? [from.metric] : [from.blocks, from.blockTokens],
    ),
    ...(prefixCache === null ? [] : Object.values(prefixCache)),
  ]),
);
