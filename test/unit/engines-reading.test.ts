import { describe, expect, test } from 'vitest';
import { type EngineName, engineNames, renderMetrics } from '../../src/emulate/metrics.ts';
import { engineSettings } from '../../src/emulate/presets.ts';
import { capacityOfProps, kvUseOfSlots } from '../../src/fleet/engines/llama-cpp.ts';
import { readEngine } from '../../src/fleet/engines/reading.ts';

const stats = {
  waiting: 3,
  running: 5,
  served: 0,
  aborted: 0,
  promptTokens: 1_000,
  cachedTokens: 250,
  generatedTokens: 9,
  cachedBlocks: 7,
  cacheUsage: 0.5,
};

const textOf = (engine: EngineName) =>
  renderMetrics(engineSettings({ preset: 'paper-7b', engine, model: 'a"}b' }), stats);

describe('an engine', () => {
  test.each(engineNames)('%s is known by its names', (kind) => {
    const cache = { kvUse: 0.5, prefixHitRatio: 0.25, capacityTokens: 1_953 * 512 };
    const nothing = { kvUse: null, prefixHitRatio: null, capacityTokens: null };
    expect(readEngine(textOf(kind))).toEqual({
      kind,
      waiting: 3,
      running: 5,
      ...(kind === 'llamacpp' ? nothing : cache),
    });
  });

  test.each(['', 'python_gc_objects_total 1', '[{"iter":1}]', '<html>', 'vllm:num_requests 1'])(
    'is not to be seen in %j',
    (text) => {
      expect(readEngine(text)).toBe(null);
    },
  );

  test('of several parts is their sum, its use their mean', () => {
    const text = [0, 1]
      .flatMap((engine) => [
        `vllm:num_requests_waiting{engine="${engine}"} ${engine + 1}`,
        `vllm:num_requests_waiting_by_reason{engine="${engine}"} 100`,
        `vllm:num_requests_running{engine="${engine}"} 10`,
        `vllm:gpu_cache_usage_perc{engine="${engine}"} ${engine}`,
        `vllm:cache_config_info{engine="${engine}",num_gpu_blocks="10",block_size="16"} 1`,
      ])
      .join('\n');
    expect(readEngine(text)).toMatchObject({
      waiting: 3,
      running: 20,
      kvUse: 0.5,
      capacityTokens: 320,
      prefixHitRatio: null,
    });
  });

  test.each(['None', '-5', '', '0'])('that has %j blocks does not tell its cache', (blocks) => {
    const text = `vllm:num_requests_running 0
vllm:cache_config_info{num_gpu_blocks="${blocks}",block_size="16"} 1`;
    expect(readEngine(text)!.capacityTokens).toBe(null);
  });

  test('may tell its cache in gauges where it once had labels', () => {
    const text = 'sglang:num_running_reqs 0\nsglang:num_pages 100\nsglang:page_size 64\n';
    expect(readEngine(text)).toMatchObject({ kind: 'sglang', capacityTokens: 6_400 });
  });

  test('uses no more than all of its cache', () => {
    const text = 'vllm:num_requests_running 0\nvllm:kv_cache_usage_perc 1.0001\n';
    expect(readEngine(text)!.kvUse).toBe(1);
  });
});

describe('llama.cpp', () => {
  const slot = { n_ctx: 1_000, is_processing: true };

  test.each([
    ['idle slots', [{ n_ctx: 1_000, is_processing: false, n_prompt_tokens: 5 }], 0],
    ['prompt and output', [{ ...slot, n_prompt_tokens: 200, next_token: { n_decoded: 50 } }], 0.25],
    ['a list', [{ ...slot, n_prompt_tokens: 200, next_token: [{ n_decoded: 50 }] }], 0.25],
    ['what does not say how far it is', [slot, { n_ctx: 3_000, is_processing: false }], 0.25],
    ['more than fits', [{ ...slot, n_prompt_tokens: 5_000 }], 1],
    ['nothing', [], null],
    ['what are no slots', [null, 1, {}, { n_ctx: '5' }], null],
    ['an error', { error: { code: 501 } }, null],
  ])('slots with %s', (_what, slots, use) => {
    expect(kvUseOfSlots(JSON.stringify(slots))).toBe(use);
  });

  test.each([
    [{ total_slots: 4, default_generation_settings: { n_ctx: 8_192 } }, 32_768],
    [{ total_slots: 4 }, null],
    [{ total_slots: 0, default_generation_settings: { n_ctx: 8_192 } }, null],
    [[], null],
  ])('%j has room for %s tokens', (props, tokens) => {
    expect(capacityOfProps(JSON.stringify(props))).toBe(tokens);
  });

  test('may answer anything', () => {
    expect([kvUseOfSlots('<html>'), capacityOfProps('')]).toEqual([null, null]);
  });
});
