import { describe, expect, test } from 'vitest';
import { type HttpAnswer, HttpClient, isWholeStream } from '../support/e2e-client.ts';
import { answerChat, sendJson } from '../support/e2e-engine.ts';
import { eventually } from '../support/listen-client.ts';
import { frontEnds } from '../support/listen-server.ts';
import { chat, chatPath, endingsOf, withRouter } from '../support/router.ts';

/** What the router says of itself, against what happened. */

const sampleLine = /^([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (\S+)$/;

/**
 * Samples by name and labels as written. Throws unless the text is Prometheus' format 0.0.4: every
 * sample after the HELP and TYPE of its metric, each once, every value a number.
 */
function parseMetrics({ body, headers }: HttpAnswer): Map<string, number> {
  expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  for (const line of body.toString().split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue;
    const type = /^# TYPE (\S+) (counter|gauge|histogram|summary)$/.exec(line);
    if (type !== null) {
      if (types.has(type[1]!)) throw new Error(`${type[1]} is described twice`);
      types.set(type[1]!, type[2]!);
      continue;
    }
    const [, name, labels = '', text] = sampleLine.exec(line) ?? [];
    if (name === undefined) throw new Error(`not a sample: ${line}`);
    const metric = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
    if (!types.has(metric)) throw new Error(`${name} has no type`);
    const value = text === 'NaN' || text === '+Inf' ? Number.POSITIVE_INFINITY : Number(text);
    if (Number.isNaN(value) || samples.has(name + labels)) throw new Error(`bad sample: ${line}`);
    samples.set(name + labels, value);
  }
  return samples;
}

describe.each(frontEnds)('behind the front end $name', ({ name, missing }) => {
  const it = test.skipIf(missing !== null);

  it('/metrics is what happened', async () => {
    const config = { frontEnd: name, ioThreads: 2 };
    await withRouter({ engines: 2, config }, async ({ client, engines, router, urls }) => {
      const question = 'x'.repeat(4_000);
      const options = { stream: true, stream_options: { include_usage: true }, max_tokens: 6 };
      for (let count = 0; count < 5; count += 1) {
        expect(isWholeStream(await client.post(chatPath, chat(question, options)))).toBe(true);
      }
      await client.post(chatPath, chat('short'));
      await client.post(chatPath, { messages: [] });
      await client.get('/nothing');
      engines[0]!.setSwitches({ reset: true });
      engines[1]!.setSwitches({ reset: true });
      expect((await client.post(chatPath, chat('lost'))).status).toBe(502);
      await eventually(() => endingsOf(router).completed === 6, 'the endings');

      const samples = parseMetrics(await client.get('/metrics'));
      const expected = {
        'dualmap_requests_total{ending="completed"}': 6,
        'dualmap_requests_total{ending="failedBeforeFirstToken"}': 1,
        'dualmap_requests_total{ending="clientGone"}': 0,
        'dualmap_answers_total{status="2xx"}': 6,
        'dualmap_answers_total{status="4xx"}': 2,
        'dualmap_answers_total{status="5xx"}': 1,
        dualmap_received_total: 10,
        dualmap_retries_total: 1,
        dualmap_completion_tokens_total: 5 * 6 + 4,
        dualmap_time_to_first_token_seconds_count: 5,
        'dualmap_time_to_first_token_seconds_bucket{le="+Inf"}': 5,
        dualmap_request_duration_seconds_count: 7,
      };
      for (const [sample, value] of Object.entries(expected)) {
        expect([sample, samples.get(sample)]).toEqual([sample, value]);
      }
      const sum = (metric: string) =>
        urls.reduce((total, url) => total + samples.get(`${metric}{instance="${url}"}`)!, 0);
      expect(sum('dualmap_instance_requests_total')).toBe(8);
      expect(sum('dualmap_instance_failures_total')).toBe(2);
      expect(sum('dualmap_instance_serving')).toBe(2);
      expect(sum('dualmap_instance_suspect')).toBe(2);
      for (const gauge of ['prefilling_requests', 'decoding_requests', 'requests_in_flight']) {
        expect([gauge, sum(`dualmap_instance_${gauge}`)]).toEqual([gauge, 0]);
      }
      const stats = engines.map((engine) => engine.stats());
      const cached = stats.reduce((total, { cachedTokens }) => total + cachedTokens, 0);
      expect(cached).toBeGreaterThan(0);
      expect(samples.get('dualmap_cached_tokens_total')).toBe(cached);
    });
  });

  it('/metrics counts an answer once, however many instances began it', async () => {
    const config = { frontEnd: name };
    await withRouter({ engines: 2, config }, async ({ client, engines }) => {
      for (const engine of engines) engine.setSwitches({ resetAfterEvents: 0 });
      const lost = await client.post(chatPath, chat('lost', { stream: true }));
      expect(lost.status).toBe(502);
      const samples = parseMetrics(await client.get('/metrics'));
      expect(samples.get('dualmap_answers_total{status="2xx"}')).toBe(0);
      expect(samples.get('dualmap_answers_total{status="5xx"}')).toBe(1);
      for (const { url } of engines) {
        const suspect = `dualmap_instance_suspect{instance="${url}"}`;
        expect([suspect, samples.get(suspect)]).toEqual([suspect, 1]);
      }
    });
  });

  it('/readiness says whether an instance serves, /health whether the router runs', async () => {
    const config = { frontEnd: name };
    await withRouter({ engines: 1, config }, async ({ client, engines, router }) => {
      expect((await client.get('/readiness')).status).toBe(200);
      engines[0]!.setSwitches({ refuseHealth: true });
      await eventually(() => router.state.state(0) === 'dead', 'the instance to be dead');
      expect((await client.get('/readiness')).status).toBe(503);
      for (const path of ['/health', '/liveness']) {
        expect((await client.get(path)).status).toBe(200);
      }
      engines[0]!.setSwitches({ refuseHealth: false });
      await eventually(() => router.state.state(0) === 'serving', 'the instance to serve');
      expect((await client.get('/readiness')).status).toBe(200);
    });
    const nobody = { urls: ['http://127.0.0.1:9'], config };
    await withRouter(nobody, async ({ client }) => {
      expect((await client.get('/readiness')).status).toBe(503);
    });
  });

  it('/v1/models is the union, and other paths go to an instance that serves', async () => {
    const scripts = [answerChat, answerChat];
    const config = { frontEnd: name };
    await withRouter({ engines: 1, scripts, config }, async ({ client, scripted }) => {
      const ids = async () => {
        const { body } = await client.get('/v1/models');
        const { object, data } = JSON.parse(body.toString());
        expect(object).toBe('list');
        return (data as { id: string }[]).map(({ id }) => id);
      };
      expect(await ids()).toEqual(['emulated-7b', 'scripted']);
      scripted[1]!.models = ['scripted', 'and-another'];
      const wanted = ['emulated-7b', 'scripted', 'and-another'];
      const deadlineMs = performance.now() + 5_000;
      while ((await ids()).length < wanted.length) {
        expect(performance.now()).toBeLessThan(deadlineMs);
      }
      expect(await ids()).toEqual(wanted);

      for (const engine of scripted) {
        engine.act = ({ response, method, url, body }) =>
          sendJson(response, 201, { method, url, body: body.toString() });
      }
      const headers = { 'content-type': 'application/json' };
      const body = '{"model": "scripted", "x": 1}';
      const passed = await client.begin('/v1/audio/speech?a=b', { body, headers }).answer;
      expect(passed.status).toBe(201);
      const seenByEngine = { method: 'POST', url: '/v1/audio/speech?a=b', body };
      expect(JSON.parse(passed.body.toString())).toEqual(seenByEngine);
    });
  });
});

describe('--prometheus-port', () => {
  test('gives /metrics, and nothing else, on a port of its own until the router ends', async () => {
    let port = 0;
    await withRouter({ engines: 1, config: { prometheusPort: 0 } }, async ({ client, router }) => {
      port = router.metricsPort!;
      expect([port > 0, port === router.port]).toEqual([true, false]);
      await client.post(chatPath, chat('hello'));
      const metrics = new HttpClient(`http://127.0.0.1:${port}`);
      const samples = parseMetrics(await metrics.get('/metrics'));
      expect(samples.get('dualmap_requests_total{ending="completed"}')).toBe(1);
      for (const path of ['/', '/v1/models', '/health', '/metrics/']) {
        expect([path, (await metrics.get(path)).status]).toEqual([path, 404]);
      }
      expect((await metrics.post('/metrics', {})).status).toBe(404);
      metrics.close();
    });
    const late = new HttpClient(`http://127.0.0.1:${port}`);
    expect((await late.get('/metrics')).status).toBe(null);
    late.close();
  });

  test('that is taken keeps the router from starting, in words', async () => {
    await withRouter({ engines: 1, config: { prometheusPort: 0 } }, async ({ router }) => {
      const again = withRouter(
        { engines: 1, config: { prometheusPort: router.metricsPort! } },
        () => Promise.resolve(),
      );
      await expect(again).rejects.toThrow(/cannot listen for metrics on .*EADDRINUSE/);
    });
  });
});
