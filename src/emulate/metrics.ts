import type { EngineStats } from './engine.ts';
import type { EngineSettings } from './presets.ts';

/** Owns what `/metrics` says, under vLLM's names. Pure; any thread. */

type Row = readonly [name: string, type: 'gauge' | 'counter', help: string, value: number];

/** Prometheus text format 0.0.4. */
export function renderMetrics(settings: EngineSettings, stats: EngineStats): string {
  const model = settings.model.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));
  const labels = `engine="0",model_name="${model}"`;
  const rows: Row[] = [
    ['num_requests_running', 'gauge', 'Requests in model execution.', stats.running],
    ['num_requests_waiting', 'gauge', 'Requests waiting to be processed.', stats.waiting],
    ['kv_cache_usage_perc', 'gauge', 'KV-cache usage, 1 is full.', stats.cacheUsage],
    [
      'prefix_cache_queries_total',
      'counter',
      'Tokens looked up in the prefix cache.',
      stats.promptTokens,
    ],
    ['prefix_cache_hits_total', 'counter', 'Tokens found in the prefix cache.', stats.cachedTokens],
    ['prompt_tokens_total', 'counter', 'Prefill tokens.', stats.promptTokens],
    ['generation_tokens_total', 'counter', 'Generated tokens.', stats.generatedTokens],
  ];
  const text = rows.map(
    ([name, type, help, value]) =>
      `# HELP vllm:${name} ${help}\n# TYPE vllm:${name} ${type}\nvllm:${name}{${labels}} ${value}\n`,
  );
  // A name that begins like another one, as vLLM has it: readers must match whole names.
  text.push(
    '# HELP vllm:num_requests_waiting_by_reason Requests waiting, by reason.\n',
    '# TYPE vllm:num_requests_waiting_by_reason gauge\n',
    `vllm:num_requests_waiting_by_reason{${labels},reason="capacity"} ${stats.waiting}\n`,
    '# HELP vllm:cache_config_info Information of the cache configuration.\n',
    '# TYPE vllm:cache_config_info gauge\n',
    `vllm:cache_config_info{block_size="${settings.blockTokens}",engine="0",` +
      `num_gpu_blocks="${settings.cacheBlocksMax}"} 1\n`,
  );
  return text.join('');
}
