import { describe, expect, test } from 'vitest';
import { type AdminAnswer, FleetAdmin, readJoining } from '../../src/fleet/admin.ts';
import type { Instance } from '../../src/fleet/instance.ts';
import { FleetOfTest, type FleetOptions } from '../support/fleet.ts';

/** What `/workers` answers, without a socket. */

const url = 'http://10.0.0.1:8000';

function adminOf(options: FleetOptions = {}) {
  const fleet = new FleetOfTest(options);
  const watched: Instance[] = [];
  const admin = new FleetAdmin({
    registry: fleet.registry,
    state: fleet.state,
    log: { info: () => undefined },
    watch: (instance) => watched.push(instance),
  });
  const ask = (method: string, path: string, body = '') => admin.answer({ method, path, body });
  const join = (fields: object) => ask('POST', '/workers', JSON.stringify(fields));
  return { fleet, watched, ask, join };
}

interface Described {
  readonly id: string;
  readonly url: string;
  readonly weight: number;
  readonly state: string;
  readonly models: readonly string[];
  readonly ring_weight: number;
  readonly load: Readonly<Record<string, number>>;
}

function bodyOf<T = Described>(answer: AdminAnswer, status: number): T {
  if ('code' in answer) throw new Error(`${answer.code}: ${answer.message}`);
  expect(answer.status).toBe(status);
  return JSON.parse(answer.text) as T;
}

describe('POST /workers', () => {
  test('joins: it is watched, and warms up', () => {
    const { fleet, watched, join } = adminOf({ warmUpMs: 1_000 });
    const told = bodyOf(join({ url: 'HTTP://10.0.0.1:8000/', weight: 2, model: 'm' }), 201);
    expect(told).toMatchObject({ url, weight: 2, state: 'joining', models: ['m'] });
    expect(told.id).toMatch(/^[0-9a-f]{16}$/);
    expect(told.ring_weight).toBeLessThan(2);
    expect(watched).toEqual(fleet.registry.instances);
  });

  test('twice is once', () => {
    const { fleet, watched, join } = adminOf();
    const first = bodyOf(join({ url, weight: 2 }), 201);
    const { version } = fleet.registry;
    expect(bodyOf(join({ url, weight: 2 }), 200)).toEqual(first);
    expect(bodyOf(join({ url }), 200)).toEqual(first);
    expect([watched.length, fleet.registry.version]).toEqual([1, version]);
  });

  test('of one that is there changes what is mentioned', () => {
    const { fleet, join } = adminOf();
    const instance = fleet.serve(url);
    const { ringsVersion } = fleet.core;
    expect(bodyOf(join({ url, weight: 0.5 }), 200)).toMatchObject({ weight: 0.5, models: [] });
    expect(fleet.core.ringsVersion).toBe(ringsVersion + 1);
    expect(bodyOf(join({ url, model: 'm' }), 200)).toMatchObject({ weight: 0.5, models: ['m'] });
    expect(fleet.registry.instances).toEqual([instance]);
  });

  test('of one that drains keeps it', () => {
    const { fleet, join } = adminOf();
    const instance = fleet.serve(url);
    fleet.registry.drain(instance);
    expect(bodyOf(join({ url }), 200).state).toBe('serving');
  });

  test('is refused when there is no room, with what to do', () => {
    const { fleet, join } = adminOf({ instancesMax: 2 });
    fleet.serve('http://a');
    const heavy = join({ url, weight: 1.5 });
    expect(heavy).toMatchObject({ code: 'fleet_full', param: 'weight' });
    bodyOf(join({ url, weight: 1 }), 201);
    const full = join({ url: 'http://b', weight: 0.01 });
    expect(full).toMatchObject({ code: 'fleet_full', message: /--max-instances/ });
    expect(join({ url, weight: 2 })).toMatchObject({ code: 'fleet_full', param: 'weight' });
    bodyOf(join({ url, weight: 0.5 }), 200);
    expect(fleet.told).not.toContain('rings too large');
  });

  test.each([
    ['', 'invalid_json', undefined],
    ['{"url":', 'invalid_json', undefined],
    ['[]', 'invalid_json', undefined],
    ['null', 'invalid_json', undefined],
    ['{}', 'invalid_type', 'url'],
    ['{"url":7}', 'invalid_type', 'url'],
    ['{"url":"10.0.0.1:8000"}', 'invalid_value', 'url'],
    ['{"url":"http://a/v1"}', 'invalid_value', 'url'],
    ['{"url":"http://a","weight":"2"}', 'invalid_type', 'weight'],
    ['{"url":"http://a","weight":0}', 'invalid_value', 'weight'],
    ['{"url":"http://a","weight":0.009}', 'invalid_value', 'weight'],
    ['{"url":"http://a","weight":100.1}', 'invalid_value', 'weight'],
    ['{"url":"http://a","weight":1e999}', 'invalid_value', 'weight'],
    ['{"url":"http://a","model":7}', 'invalid_type', 'model'],
    ['{"url":"http://a","model":""}', 'invalid_value', 'model'],
    ['{"url":"http://a","wieght":2}', 'invalid_value', 'wieght'],
  ])('%s is %s of %s', (body, code, param) => {
    const { fleet, ask } = adminOf();
    const answer = ask('POST', '/workers', body);
    expect(answer).toMatchObject({ code, message: /\w{3}/ });
    expect('param' in answer ? answer.param : undefined).toBe(param);
    expect(fleet.registry.instances).toEqual([]);
  });

  test('takes weights up to their bounds', () => {
    for (const weight of [0.01, 100]) {
      expect(readJoining(`{"url":"${url}","weight":${weight}}`)).toMatchObject({ weight });
    }
    const bare = { url, weight: null, model: null };
    expect(readJoining(`{"url":"${url}","weight":null}`)).toEqual(bare);
  });
});

describe('GET /workers', () => {
  test('lists all, with what they carry', () => {
    const { fleet, ask } = adminOf();
    const one = fleet.serve(url);
    fleet.registry.add('http://b', 1, ['m']);
    fleet.core.placeChain(new BigUint64Array([1n]), 1, 100, 0);
    const { workers } = bodyOf<{ workers: Described[] }>(ask('GET', '/workers'), 200);
    expect(workers).toMatchObject([
      { id: one.id, url, state: 'serving', models: [] },
      { url: 'http://b', state: 'joining', models: ['m'] },
    ]);
    expect(workers[0]!.load).toEqual({
      queued_requests: 0,
      prefilling_requests: 1,
      pending_prefill_tokens: 100,
      decoding_requests: 0,
      requests_in_flight: 1,
      requests_total: 1,
      failures_total: 0,
    });
    expect(bodyOf(ask('GET', `/workers/${one.id}`), 200)).toEqual(workers[0]);
    fleet.core.end(fleet.core.placement.ticket, 0);
  });
});

describe('DELETE /workers/ID', () => {
  test('drains, and says so as often as it is asked', () => {
    const { fleet, ask } = adminOf();
    const { id } = fleet.serve(url);
    for (let time = 0; time < 2; time += 1) {
      expect(bodyOf(ask('DELETE', `/workers/${id}`), 202)).toMatchObject({ state: 'draining' });
    }
    fleet.sweepAt(1);
    expect(ask('DELETE', `/workers/${id}`)).toMatchObject({ code: 'unknown_instance' });
    expect(bodyOf(ask('GET', '/workers'), 200)).toEqual({ workers: [] });
  });

  test('of nobody is 404', () => {
    const { ask } = adminOf();
    for (const id of ['0', 'x'.repeat(99), '%2e']) {
      expect(ask('DELETE', `/workers/${id}`)).toMatchObject({ code: 'unknown_instance' });
    }
  });
});
