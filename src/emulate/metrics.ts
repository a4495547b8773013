import type { EngineStats } from './engine.ts';
import type { EngineSettings } from './presets.ts';

/**
 * Owns what an emulated engine says of its load and its cache, under the names of the engine it
 * stands for. Pure; any thread. These names are written here a second time on purpose: the router's
 * table (src/fleet/engines/names.ts) is tested against them.
 */

export const engineNames = ['vllm', 'sglang', 'trtllm', 'llamacpp'] as const;
export type EngineName = (typeof engineNames)[number];

type Type = 'gauge' | 'counter';
type Row = readonly [name: string, type: Type, help: string, labels: string, value: number];
type Dialect = (settings: EngineSettings, stats: EngineStats) => readonly Row[];

/** llama.cpp serves as many requests at once; its cache is divided among them. */
const slotsCount = 4;

/** Prometheus text format 0.0.4. */
export function renderMetrics(settings: EngineSettings, stats: EngineStats): string {
  const rows = dialects[settings.engine](settings, stats);
  const text = rows.map(
    ([name, type, help, labels, value]) =>
      `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name}${labels} ${value}\n`,
  );
  return text.join('');
}

const dialects: Record<EngineName, Dialect> = {
  vllm: (settings, stats) => {
    const labels = `{engine="0",model_name="${modelLabel(settings)}"}`;
    const byReason = labels.replace('}', ',reason="capacity"}');
    const config =
      `{block_size="${settings.blockTokens}",engine="0",` +
      `num_gpu_blocks="${settings.cacheBlocksMax}"}`;
    const prompt = stats.promptTokens;
    return [
      ['vllm:num_requests_running', 'gauge', 'Requests in execution.', labels, stats.running],
      ['vllm:num_requests_waiting', 'gauge', 'Requests waiting.', labels, stats.waiting],
      // A name that begins like another one: readers must match whole names.
      ['vllm:num_requests_waiting_by_reason', 'gauge', 'The same.', byReason, stats.waiting],
      ['vllm:kv_cache_usage_perc', 'gauge', '1 is full.', labels, stats.cacheUsage],
      ['vllm:prefix_cache_queries_total', 'counter', 'Tokens looked up.', labels, prompt],
      ['vllm:prefix_cache_hits_total', 'counter', 'Tokens found.', labels, stats.cachedTokens],
      ['vllm:prompt_tokens_total', 'counter', 'Prefill tokens.', labels, prompt],
      ['vllm:generation_tokens_total', 'counter', 'Tokens.', labels, stats.generatedTokens],
      ['vllm:cache_config_info', 'gauge', 'Configuration of the cache.', config, 1],
    ];
  },
  sglang: (settings, stats) => {
    const labels = `{engine_type="unified",model_name="${modelLabel(settings)}",tp_rank="0"}`;
    const config =
      `{num_pages="${settings.cacheBlocksMax}",` + `page_size="${settings.blockTokens}"}`;
    return [
      ['sglang:num_running_reqs', 'gauge', 'Running requests.', labels, stats.running],
      ['sglang:num_queue_reqs', 'gauge', 'Requests in the queue.', labels, stats.waiting],
      ['sglang:token_usage', 'gauge', 'Share of the tokens used.', labels, stats.cacheUsage],
      ['sglang:cache_hit_rate', 'gauge', 'Prefix cache hits.', labels, hitRatio(stats)],
      ['sglang:cache_config_info', 'gauge', 'Configuration of the cache.', config, 1],
    ];
  },
  trtllm: (settings, stats) => {
    const labels = `{engine_type="undefined",model_name="${modelLabel(settings)}"}`;
    const { cacheBlocksMax, blockTokens } = settings;
    return [
      ['trtllm_num_requests_running', 'gauge', 'Running requests.', labels, stats.running],
      ['trtllm_num_requests_waiting', 'gauge', 'Waiting requests.', labels, stats.waiting],
      ['trtllm_kv_cache_utilization', 'gauge', 'Share in use.', labels, stats.cacheUsage],
      ['trtllm_kv_cache_hit_rate', 'gauge', 'Share of hits.', labels, hitRatio(stats)],
      ['trtllm_kv_cache_max_blocks', 'gauge', 'Blocks.', labels, cacheBlocksMax],
      ['trtllm_kv_cache_tokens_per_block', 'gauge', 'Tokens a block.', labels, blockTokens],
    ];
  },
  llamacpp: (_settings, stats) => [
    ['llamacpp:requests_processing', 'gauge', 'Requests processing.', '', stats.running],
    ['llamacpp:requests_deferred', 'gauge', 'Requests deferred.', '', stats.waiting],
    ['llamacpp:tokens_predicted_total', 'counter', 'Tokens.', '', stats.generatedTokens],
  ],
};

function modelLabel({ model }: EngineSettings): string {
  return model.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));
}

function hitRatio({ promptTokens, cachedTokens }: EngineStats): number {
  return promptTokens === 0 ? 0 : cachedTokens / promptTokens;
}

/** TensorRT-LLM's own `/metrics`: statistics of its iterations, which is not Prometheus' format. */
export function iterationStats({ running, waiting }: EngineStats): string {
  return JSON.stringify([{ iter: 1, numActiveRequests: running, numQueuedRequests: waiting }]);
}

/** llama.cpp's `/slots`: what is used of the cache, dealt out to the slots one after the other. */
export function slotsAnswer(settings: EngineSettings, stats: EngineStats): string {
  const size = slotTokens(settings);
  let rest = Math.round(stats.cacheUsage * size * slotsCount);
  const slots = Array.from({ length: slotsCount }, (_, id) => {
    const used = Math.min(size, rest);
    rest -= used;
    const task = { id_task: id, n_prompt_tokens: used, next_token: [{ n_decoded: 0 }] };
    const slot = { id, n_ctx: size, speculative: false, is_processing: used > 0 };
    return used > 0 ? { ...slot, ...task } : slot;
  });
  return JSON.stringify(slots);
}

/** llama.cpp's `/props`. */
export function propsAnswer(settings: EngineSettings): string {
  const { model } = settings;
  const defaults = { n_ctx: slotTokens(settings), params: {} };
  return JSON.stringify({
    default_generation_settings: defaults,
    total_slots: slotsCount,
    model_alias: model,
  });
}

function slotTokens({ cacheBlocksMax, blockTokens }: EngineSettings): number {
  return Math.floor((cacheBlocksMax * blockTokens) / slotsCount);
}
