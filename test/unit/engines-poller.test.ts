import { beforeEach, describe, expect, test } from 'vitest';
import { FleetState } from '../../src/core/fleet-state.ts';
import { Core, createStateMemory } from '../../src/core/native.ts';
import { MetricsPoller } from '../../src/fleet/engines/poller.ts';
import type { ProbeAnswer } from '../../src/fleet/health.ts';
import { Registry } from '../../src/fleet/registry.ts';

const text = (waiting: number, blocks: number | null = 64) =>
  `vllm:num_requests_waiting ${waiting}
vllm:num_requests_running{engine="0"} 2
vllm:kv_cache_usage_perc 0.25
${blocks === null ? '' : `vllm:cache_config_info{num_gpu_blocks="${blocks}",block_size="16"} 1`}
`;
const ok = (body: string): ProbeAnswer => ({ status: 200, body });
const absent: ProbeAnswer = { status: 404, body: '' };

/** One instance, a clock turned by hand, and a chance that is always in the middle. */
function pollerOfOne() {
  const capacities = { instancesMax: 4, threadsMax: 1, ringPointsMax: 8_192, indexBlocks: 64 };
  const memory = createStateMemory({ ...capacities, hotnessRequestsMax: 1_024 });
  const state = new FleetState(memory, 4);
  const core = new Core(memory, 0, {
    policy: 'dualmap-paper',
    sloTtftMs: 5_000,
    sloFraction: 0.5,
    tokensPerByte: 0.25,
    suspectBackoffMs: 500,
    suspectBackoffMaxMs: 30_000,
  });
  const registryOptions = { ringSeed: 0, prefillMsPerToken: 0.16, capacityBlocks: 100 };
  const registry = new Registry(core, state, registryOptions, () => undefined);
  const instance = registry.add('http://10.0.0.1:8000', 1, null);
  registry.markServing(instance, [], false);
  const answers: Record<string, ProbeAnswer | Error> = { '/metrics': ok(text(1)) };
  const asked: string[] = [];
  const events: string[] = [];
  const parts = { nowMs: 0, held: null as Promise<void> | null };
  const poller = new MetricsPoller(
    { intervalMs: 1_000, timeoutMs: 500, bytesPerToken: 4 },
    {
      instances: () => registry.instances,
      state,
      probe: async (_url, path) => {
        asked.push(path);
        await parts.held;
        const answer = answers[path] ?? absent;
        if (answer instanceof Error) throw answer;
        return answer;
      },
      clock: { nowMs: () => parts.nowMs },
      random: () => 0.5,
    },
    {
      onRead: (_instance, { kind }) => events.push(kind),
      onUnreadable: (_instance, cause) => events.push(String(cause)),
    },
  );
  const at = async (ms: number) => {
    parts.nowMs = ms;
    await poller.tick();
  };
  return { state, core, registry, instance, answers, asked, events, poller, parts, at };
}

let one: ReturnType<typeof pollerOfOne>;
beforeEach(() => {
  one = pollerOfOne();
});

describe('the poller', () => {
  test('asks when it is due, and no sooner', async () => {
    await one.at(0);
    expect([one.asked, one.state.scraped(0)]).toEqual([[], null]);
    await one.at(50);
    await one.at(1_049);
    expect(one.asked).toHaveLength(1);
    one.answers['/metrics'] = ok(text(7));
    await one.at(1_050);
    expect(one.asked).toHaveLength(2);
    expect(one.state.scraped(0)).toEqual({ waiting: 7, running: 2, kvUse: 0.25, atMs: 1_050 });
    expect(one.events).toEqual(['vllm']);
  });

  test('has one request in flight, and stamps it with the time of asking', async () => {
    let answer: () => void = () => undefined;
    one.parts.held = new Promise((resolve) => {
      answer = resolve;
    });
    await one.at(0);
    const first = one.at(50);
    await one.at(5_000);
    expect(one.asked).toHaveLength(1);
    answer();
    await first;
    expect(one.state.scraped(0)!.atMs).toBe(50);
  });

  test('touches nothing of our own ledger', async () => {
    const body = Buffer.from('{"messages":[{"role":"user","content":"x"}]}');
    expect(one.core.place(body, 'chat', 0)).toBe(null);
    const before = one.state.load(0, 'prefilling');
    expect(before.requests).toBe(1);
    await one.at(0);
    await one.at(50);
    expect([one.state.load(0, 'prefilling'), one.state.holds(0)]).toEqual([before, 1]);
    one.core.end(one.core.placement.ticket);
  });

  test('asks one that does not answer less and less often, and leaves it serving', async () => {
    one.answers['/metrics'] = new Error('reset');
    await one.at(0);
    const times: number[] = [];
    for (let ms = 0; ms <= 200_000; ms += 10) {
      const before = one.asked.length;
      await one.at(ms);
      if (one.asked.length > before) times.push(ms);
    }
    expect(times.slice(0, 6)).toEqual([50, 2_050, 6_050, 14_050, 30_050, 62_050]);
    expect(times.at(-1)! - times.at(-2)!).toBe(60_000);
    expect(one.state.state(0)).toBe('serving');
    expect(one.events).toEqual(['Error: reset']);
    expect(one.state.scraped(0)).toBe(null);
    one.answers['/metrics'] = ok(text(1));
    await one.at(300_000);
    await one.at(301_000);
    expect(one.asked).toHaveLength(times.length + 2);
    expect(one.events).toEqual(['Error: reset', 'vllm']);
  });

  test('lets what it knew grow old, and says how old', async () => {
    await one.at(0);
    await one.at(50);
    one.answers['/metrics'] = absent;
    await one.at(1_050);
    expect(one.state.scraped(0)).toMatchObject({ waiting: 1, atMs: 50 });
    expect(one.poller.samples()).toMatchObject([
      { instance: one.instance.url, ageSeconds: 1, failuresTotal: 1, reading: { waiting: 1 } },
    ]);
  });

  test('does not ask an instance that does not serve', async () => {
    one.state.setState(0, 'dead');
    await one.at(0);
    await one.at(60_000);
    expect(one.asked).toEqual([]);
    one.state.setState(0, 'serving');
    await one.at(60_001);
    expect(one.asked).toHaveLength(1);
  });
});

describe('the capacity', () => {
  test('is in blocks of 512 bytes, once for each life of the engine', async () => {
    await one.at(0);
    expect(one.state.capacityBlocks(0)).toBe(100);
    await one.at(50);
    expect(one.state.capacityBlocks(0)).toBe((64 * 16 * 4) / 512);
    one.answers['/metrics'] = ok(text(1, 128));
    await one.at(1_050);
    expect(one.state.capacityBlocks(0)).toBe(8);
    one.state.raiseGeneration(0);
    await one.at(2_050);
    expect(one.state.capacityBlocks(0)).toBe(16);
  });

  test('stays as configured while the engine does not tell', async () => {
    one.answers['/metrics'] = ok(text(1, null));
    await one.at(0);
    await one.at(50);
    expect([one.state.scraped(0)?.waiting, one.state.capacityBlocks(0)]).toEqual([1, 100]);
    one.answers['/metrics'] = ok(text(1));
    await one.at(1_050);
    expect(one.state.capacityBlocks(0)).toBe(8);
  });

  test('of an engine that restarted while it was asked is not that of the new one', async () => {
    let answer: () => void = () => undefined;
    one.parts.held = new Promise((resolve) => {
      answer = resolve;
    });
    await one.at(0);
    const poll = one.at(50);
    one.state.raiseGeneration(0);
    answer();
    await poll;
    expect([one.state.scraped(0), one.state.capacityBlocks(0)]).toEqual([null, 100]);
  });
});

describe('where the metrics are', () => {
  test('is found by their names, and remembered', async () => {
    one.answers['/metrics'] = ok('[{"iter":1}]');
    one.answers['/prometheus/metrics'] = ok('trtllm_num_requests_waiting 4\n');
    await one.at(0);
    await one.at(50);
    await one.at(1_050);
    expect(one.asked).toEqual(['/metrics', '/prometheus/metrics', '/prometheus/metrics']);
    expect([one.events, one.state.scraped(0)?.waiting]).toEqual([['trtllm'], 4]);
    // Another engine at the same address.
    one.answers['/prometheus/metrics'] = absent;
    one.answers['/metrics'] = ok(text(5));
    await one.at(2_050);
    expect([one.events, one.state.scraped(0)?.waiting]).toEqual([['trtllm', 'vllm'], 5]);
  });

  test('nowhere is a fault in words', async () => {
    one.answers['/metrics'] = absent;
    await one.at(0);
    await one.at(50);
    expect(one.events[0]).toMatch(/no metrics of a known engine at \/metrics nor/);
  });

  test('llama.cpp has its cache elsewhere, perhaps', async () => {
    one.answers['/metrics'] = ok('llamacpp:requests_deferred 3\nllamacpp:requests_processing 1\n');
    await one.at(0);
    await one.at(50);
    expect(one.state.scraped(0)).toMatchObject({ waiting: 3, running: 1, kvUse: null });
    one.answers['/slots'] = ok('[{"n_ctx":100,"is_processing":true,"n_prompt_tokens":50}]');
    const props = { total_slots: 4, default_generation_settings: { n_ctx: 1_280 } };
    one.answers['/props'] = ok(JSON.stringify(props));
    await one.at(1_050);
    await one.at(2_050);
    expect(one.state.scraped(0)).toMatchObject({ waiting: 3, kvUse: 0.5 });
    expect(one.state.capacityBlocks(0)).toBe(40);
    // The size is asked for until it is told.
    expect(one.asked.filter((path) => path === '/props')).toHaveLength(2);
  });
});
