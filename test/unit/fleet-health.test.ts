import { beforeEach, describe, expect, test } from 'vitest';
import { HealthChecks, modelEntries, type ProbeAnswer } from '../../src/fleet/health.ts';
import type { Instance } from '../../src/fleet/instance.ts';
import { FleetOfTest } from '../support/fleet.ts';

const url = 'http://10.0.0.1:8000';
const ok: ProbeAnswer = { status: 200, body: '{}' };
const lists = (...ids: string[]): ProbeAnswer => ({
  status: 200,
  body: JSON.stringify({ data: ids.map((id) => ({ id, created: Math.random() })) }),
});

const bodyFor = (model: string) =>
  Buffer.from(`{"model":"${model}","messages":[{"role":"user","content":"x"}]}`);

/** A fleet of one instance whose answers the test sets; `check` is one round. */
function fleetOfOne(configuredModels: readonly string[] | null = null) {
  const { state, core, registry, snapshots: published } = new FleetOfTest({});
  const instance: Instance = registry.add(url, 1, configuredModels);
  const answers: Record<string, ProbeAnswer | Error> = { '/health': ok, '/v1/models': lists('m') };
  const asked: string[] = [];
  const events: string[] = [];
  const health = new HealthChecks(
    registry,
    async (_url, path) => {
      asked.push(path);
      const answer = answers[path]!;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    { path: '/health', intervalMs: 1e9, timeoutMs: 1, failureThreshold: 3, successThreshold: 2 },
    { onServing: () => events.push('serving'), onDead: () => events.push('dead') },
  );
  const check = async (times = 1) => {
    for (let i = 0; i < times; i += 1) await health.check(instance);
  };
  const place = (model: string) => {
    const refusal = core.place(bodyFor(model), 'chat', 0);
    if (refusal === null) core.end(core.placement.ticket, 0);
    return refusal;
  };
  return { health, instance, state, core, answers, asked, events, published, check, place };
}

const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
const fault = new Error('no connection could be opened', { cause: refused });

describe('health', () => {
  let fleet = fleetOfOne();
  beforeEach(() => {
    fleet = fleetOfOne();
  });

  test('the first success is enough to serve', async () => {
    expect(fleet.place('m')).toBe('no_instance');
    await fleet.check();
    expect([fleet.state.state(0), fleet.events]).toEqual(['serving', ['serving']]);
    expect(fleet.place('m')).toBe(null);
  });

  test('as many failures in a row as configured, and no fewer, make it dead', async () => {
    await fleet.check();
    fleet.answers['/health'] = { status: 503, body: '' };
    await fleet.check(2);
    fleet.answers['/health'] = ok;
    await fleet.check();
    fleet.answers['/health'] = new Error('timeout');
    await fleet.check(2);
    expect([fleet.state.state(0), fleet.events]).toEqual(['serving', ['serving']]);
    await fleet.check();
    expect([fleet.state.state(0), fleet.events]).toEqual(['dead', ['serving', 'dead']]);
    expect(fleet.place('m')).toBe('no_instance');
  });

  test('a dead one serves again after as many successes, with an empty cache', async () => {
    await fleet.check();
    const generation = fleet.state.generation(0);
    fleet.answers['/health'] = new Error('timeout');
    await fleet.check(3);
    fleet.answers['/health'] = ok;
    await fleet.check();
    expect(fleet.state.state(0)).toBe('dead');
    await fleet.check();
    expect(fleet.state.state(0)).toBe('serving');
    expect(fleet.state.generation(0)).toBe(generation + 1);
  });

  test('one that is back is tried at once, however often it has failed', async () => {
    await fleet.check();
    const { state, core } = fleet;
    expect(core.place(bodyFor('m'), 'chat', 0)).toBe(null);
    core.suspect(core.placement.ticket, 0);
    core.end(core.placement.ticket, 0);
    fleet.answers['/health'] = new Error('timeout');
    await fleet.check(3);
    expect(state.suspectUntilMs(0)).toBeGreaterThan(0);
    fleet.answers['/health'] = ok;
    await fleet.check(2);
    expect([state.failures(0), state.suspectUntilMs(0)]).toEqual([1, 0]);
  });

  test('a refused connection means a restart, a slow answer does not', async () => {
    await fleet.check();
    const generation = fleet.state.generation(0);
    fleet.answers['/health'] = new Error('timeout');
    await fleet.check();
    fleet.answers['/health'] = ok;
    await fleet.check();
    expect(fleet.state.generation(0)).toBe(generation);
    fleet.answers['/health'] = fault;
    await fleet.check();
    fleet.answers['/health'] = ok;
    await fleet.check();
    expect(fleet.state.generation(0)).toBe(generation + 1);
  });

  test('a check under way of one that has left counts for nothing', async () => {
    const { health, instance } = fleet;
    const check = health.check(instance);
    health.forget(instance);
    await check;
    expect([fleet.state.state(0), fleet.events]).toEqual(['joining', []]);
  });

  test('no check touches a load counter', async () => {
    await fleet.check();
    const { state, core } = fleet;
    expect(core.place(bodyFor('m'), 'chat', 0)).toBe(null);
    const before = state.load(0, 'prefilling');
    expect(before.requests).toBe(1);
    for (const answer of [new Error('timeout'), fault, ok]) {
      fleet.answers['/health'] = answer;
      await fleet.check(3);
      expect([state.load(0, 'prefilling'), state.holds(0)]).toEqual([before, 1]);
    }
    core.end(core.placement.ticket, 0);
    expect([state.load(0, 'prefilling').requests, state.holds(0)]).toEqual([0, 0]);
  });
});

describe('models', () => {
  test('are served as listed; another one is unknown', async () => {
    const fleet = fleetOfOne();
    await fleet.check();
    expect([fleet.place('m'), fleet.place('x')]).toEqual([null, 'model_not_found']);
    fleet.answers['/v1/models'] = lists('m', 'x');
    await fleet.check();
    expect(fleet.place('x')).toBe(null);
  });

  test('that only carry a new time stamp change nothing', async () => {
    const fleet = fleetOfOne();
    await fleet.check();
    const before = fleet.published.length;
    fleet.answers['/v1/models'] = lists('m');
    await fleet.check(3);
    expect(fleet.published).toHaveLength(before);
  });

  test('stay as they were while the instance is too busy to say', async () => {
    const fleet = fleetOfOne();
    await fleet.check();
    fleet.answers['/v1/models'] = { status: 503, body: '' };
    await fleet.check();
    expect([fleet.place('m'), fleet.place('x')]).toEqual([null, 'model_not_found']);
  });

  test.each([
    ['has no such route', { status: 404, body: '' }],
    ['lists none', lists()],
    ['answers something else', { status: 200, body: 'pong' }],
  ])('an instance that %s serves any', async (_what, answer) => {
    const fleet = fleetOfOne();
    fleet.answers['/v1/models'] = answer;
    await fleet.check();
    expect(fleet.place('anything')).toBe(null);
  });

  test('that are configured are not asked for', async () => {
    const fleet = fleetOfOne(['mine']);
    fleet.answers['/v1/models'] = new Error('must not be asked');
    await fleet.check();
    expect(fleet.asked).toEqual(['/health']);
    expect([fleet.place('mine'), fleet.place('m')]).toEqual([null, 'model_not_found']);
  });

  test('entries without a name are left out', () => {
    const body = JSON.stringify({ data: [{ id: 'a' }, { id: '' }, { id: 1 }, null, 'b'] });
    expect(modelEntries(body)).toEqual([{ id: 'a' }]);
  });
});
