import { expect, test } from 'vitest';
import { engineNames } from '../../src/emulate/metrics.ts';
import type { Act } from '../support/e2e-engine.ts';
import { eventually } from '../support/listen-client.ts';
import { chat, chatPath, endingsBecome, withRouter } from '../support/router.ts';

/** What engines say of themselves reaches the fleet state, whatever kind they are of. */

test.each(engineNames)('the load and the cache of %s are read', async (engine) => {
  const engineOptions = { engine, timeScale: 1, blockTokens: 64, cacheBlocksMax: 4_000 };
  const config = { metricsPollIntervalMs: 50, bytesPerToken: 2, queueMode: 'direct' as const };
  await withRouter({ engines: 1, engineOptions, config }, async (parts) => {
    const { client, router, urls, engines } = parts;
    const { state } = router;
    await eventually(() => state.scraped(0) !== null, 'a scrape');
    expect(state.scraped(0)).toMatchObject({ waiting: 0, running: 0, kvUse: 0 });
    expect(state.capacityBlocks(0)).toBe((4_000 * 64 * 2) / 512);

    // One fills half of the cache for as long as it likes, two wait.
    const body = chat('x'.repeat(2_000 * 64 * 4), { max_tokens: 1 });
    const calls = [0, 1, 2].map(() => client.begin(chatPath, { body }));
    await eventually(() => engines[0]!.stats().waiting === 2, 'a queue in the engine');
    await eventually(() => state.scraped(0)!.waiting === 2, 'the queue to be seen');
    const { running, kvUse, atMs } = state.scraped(0)!;
    expect(running).toBe(1);
    expect(kvUse).toBeCloseTo(0.5, 1);
    expect(state.load(0, 'prefilling').requests).toBe(3);

    const metrics = (await client.get('/metrics')).body.toString();
    const instance = `{instance="${urls[0]}"}`;
    expect(metrics).toContain(`dualmap_instance_engine_waiting_requests${instance} 2\n`);
    expect(metrics).toContain(`dualmap_instance_engine_running_requests${instance} 1\n`);
    expect(metrics).toContain(
      `dualmap_instance_engine_info{instance="${urls[0]}",engine="${engine}"} 1\n`,
    );
    expect(metrics).toContain(`dualmap_instance_cache_capacity_bytes${instance} 512000\n`);
    expect(metrics).toContain(`dualmap_instance_scrape_failures_total${instance} 0\n`);
    const age = /^dualmap_instance_scrape_age_seconds\{[^}]*\} (\S+)$/m.exec(metrics)?.[1];
    expect(Number(age)).toBeGreaterThan(0);
    expect(Number(age)).toBeLessThan(5);

    for (const call of calls) call.abort();
    await eventually(() => state.scraped(0)!.waiting === 0, 'the queue to be gone');
    expect(state.scraped(0)!.atMs).toBeGreaterThan(atMs);
    await endingsBecome(router, { clientGone: 3 });
  });
});

test('metrics that hang leave the instance serving, and are told of', async () => {
  const config = { metricsPollIntervalMs: 50, healthCheckTimeoutMs: 300 };
  const act: Act = ({ url, response }) => {
    if (!url.includes('metrics')) response.end('pong');
  };
  await withRouter({ scripts: [act], config }, async ({ client, router, scripted, urls }) => {
    scripted[0]!.metrics = null;
    const sample = `scrape_failures_total{instance="${urls[0]}"} 1\n`;
    const text = async () => (await client.get('/metrics')).body.toString();
    await expect.poll(text, { timeout: 10_000 }).toContain(sample);
    expect(router.state.state(0)).toBe('serving');
    expect((await client.post(chatPath, chat('hello'))).body.toString()).toBe('pong');
  });
});

test('off asks for nothing', async () => {
  const config = { metricsPollIntervalMs: null };
  await withRouter({ scripts: [({ response }) => void response.end()], config }, async (parts) => {
    const { client, scripted, urls } = parts;
    scripted[0]!.metrics = null;
    await client.post(chatPath, chat('hello'));
    expect(scripted[0]!.calls.map(({ url }) => url)).toEqual([chatPath]);
    const metrics = (await client.get('/metrics')).body.toString();
    expect(metrics).not.toContain(`engine_waiting_requests{instance="${urls[0]}"}`);
  });
});
