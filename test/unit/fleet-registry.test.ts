import { describe, expect, test } from 'vitest';
import { ringWeight, warmUpStep, warmUpStepDueMs, warmUpSteps } from '../../src/fleet/instance.ts';
import { SnapshotsSeen } from '../../src/fleet/snapshots-seen.ts';
import { FleetOfTest } from '../support/fleet.ts';

/** The life of an instance: joining, serving, draining, dead, gone. */

const urls = Array.from({ length: 8 }, (_, index) => `http://10.0.0.${index}:8000`);
const chain = new BigUint64Array([1n, 2n, 3n]);

describe('joining', () => {
  test('an instance gets nothing before it answers, and then a place on the rings', () => {
    const fleet = new FleetOfTest({});
    const instance = fleet.registry.add(urls[0]!, 1, null);
    expect([fleet.state.state(0), fleet.pairOf(1n)]).toEqual(['joining', [undefined, undefined]]);
    fleet.registry.markServing(instance, [], false);
    expect([fleet.state.state(0), fleet.pairOf(1n)]).toEqual(['serving', [urls[0], undefined]]);
    expect(fleet.told).toEqual(['0 joining', '0 serving']);
  });

  test('it serves only when every thread knows its URL', () => {
    const fleet = new FleetOfTest({ isUnseen: true });
    fleet.serve(urls[0]!);
    expect(fleet.state.state(0)).toBe('joining');
    const { version, urls: named } = fleet.snapshots[0]!;
    expect(named).toEqual([urls[0]]);
    fleet.registry.seen(version - 1);
    expect(fleet.state.state(0)).toBe('joining');
    fleet.registry.seen(version);
    expect(fleet.state.state(0)).toBe('serving');
  });

  test('one that died meanwhile does not serve when the threads have heard of it', () => {
    const fleet = new FleetOfTest({ isUnseen: true });
    const instance = fleet.serve(urls[0]!);
    fleet.registry.markDead(instance);
    fleet.registry.seen(fleet.registry.version);
    expect(fleet.state.state(0)).toBe('dead');
    fleet.registry.markServing(instance, [], false);
    expect(fleet.state.state(0)).toBe('serving');
  });

  test('every slot taken is an error, not a wrong slot', () => {
    const fleet = new FleetOfTest({ instancesMax: 1 });
    fleet.serve(urls[0]!);
    expect(() => fleet.registry.add(urls[1]!, 1, null)).toThrow(/--max-instances/);
  });
});

describe('changes that pile up', () => {
  test('end in one build of the rings and one snapshot a turn', () => {
    const fleet = new FleetOfTest({ isDeferred: true, instancesMax: 8 });
    for (const url of urls) fleet.serve(url);
    expect([fleet.scheduled.length, fleet.core.ringsVersion]).toEqual([1, 0]);
    fleet.runScheduled();
    expect([fleet.core.ringsVersion, fleet.snapshots.length]).toEqual([1, 1]);
    expect(fleet.runScheduled()).toBe(0);
    const [first, second] = fleet.registry.instances;
    fleet.registry.drain(first!);
    fleet.registry.setWeight(second!, 2);
    expect(fleet.runScheduled()).toBe(1);
    expect([fleet.core.ringsVersion, fleet.snapshots.length]).toEqual([2, 2]);
  });

  test('a death and a recovery build nothing: whoever looks walks past', () => {
    const fleet = new FleetOfTest({});
    const instance = fleet.serve(urls[0]!);
    const { ringsVersion } = fleet.core;
    fleet.registry.markDead(instance);
    fleet.registry.markServing(instance, [], true);
    expect(fleet.core.ringsVersion).toBe(ringsVersion);
    expect(fleet.told).toEqual(['0 joining', '0 serving', '0 dead', '0 serving']);
  });

  test('rings that do not fit leave the old ones', () => {
    const fleet = new FleetOfTest({ instancesMax: 2 });
    const instance = fleet.serve(urls[0]!);
    fleet.registry.setWeight(instance, 100);
    expect(fleet.told.at(-1)).toBe('rings too large');
    expect(fleet.pairOf(1n)).toEqual([urls[0], undefined]);
  });
});

describe('draining', () => {
  test('takes nothing new, and is gone when nothing holds it', () => {
    const fleet = new FleetOfTest({});
    const instance = fleet.serve(urls[0]!);
    expect(fleet.core.placeChain(chain, 3, 384, 0)).toBe(null);
    fleet.registry.drain(instance);
    expect(fleet.state.state(0)).toBe('draining');
    expect(fleet.core.placeChain(chain, 3, 384, 0)).toBe('no_instance');
    fleet.sweepAt(10);
    expect(fleet.registry.instances).toEqual([instance]);
    fleet.core.end(fleet.core.placement.ticket, 0);
    fleet.sweepAt(20);
    expect(fleet.registry.instances).toEqual([]);
    expect(fleet.told).toEqual(['0 joining', '0 serving', '0 draining', '0 free', '0 gone']);
    expect(fleet.snapshots.at(-1)!.urls).toEqual([]);
  });

  test('its slot is not taken while a request waits for it, if only as its second choice', () => {
    const queued = { queues: true, bindsLate: true, prefillWindowTokens: 1 };
    const fleet = new FleetOfTest({ core: { ...queued, policy: 'dualmap' } });
    const instances = urls.slice(0, 2).map((url) => fleet.serve(url));
    const { core, state } = fleet;
    const busy = [-1, -1];
    const place = (word: bigint) => {
      expect(core.placeChain(new BigUint64Array([word]), 1, 128, 0)).toBe(null);
      return core.placement.ticket;
    };
    for (let word = 1n; busy.includes(-1); word += 1n) {
      const ticket = place(word);
      if (core.placement.isWaiting) core.end(ticket, 0);
      else busy[core.placement.chosen] = ticket;
    }
    const waiting = place(1_000n);
    expect([core.placement.isWaiting, state.standing(0), state.standing(1)]).toEqual([true, 1, 1]);
    const left = core.placement.other;
    fleet.registry.drain(instances[left]!);
    // All that it computed has ended, but an I/O thread has not heard yet that it leaves.
    core.end(busy[left]!, 0);
    fleet.sweepAt(10);
    expect(fleet.registry.instances).toEqual(instances);
    core.fleetChanged(10);
    expect(state.standing(left)).toBe(0);
    fleet.sweepAt(20);
    expect(fleet.registry.instances).toEqual([instances[1 - left]]);
    core.end(waiting, 20);
  });

  test('outlasts what health checks find', () => {
    const fleet = new FleetOfTest({});
    const instance = fleet.serve(urls[0]!);
    fleet.registry.drain(instance);
    fleet.registry.markDead(instance);
    fleet.registry.markServing(instance, [{ id: 'new' }], true);
    expect(fleet.state.state(0)).toBe('draining');
    expect(fleet.snapshots.at(-1)!.modelsJson).not.toContain('new');
  });

  test('that takes too long is told once, and the slot stays held', () => {
    const fleet = new FleetOfTest({ drainTimeoutMs: 100 });
    const instance = fleet.serve(urls[0]!);
    fleet.core.placeChain(chain, 3, 384, 0);
    fleet.registry.drain(instance);
    for (const nowMs of [99, 100, 200]) fleet.sweepAt(nowMs);
    expect(fleet.told.filter((one) => one === '0 overdue')).toHaveLength(1);
    expect(fleet.registry.instances).toEqual([instance]);
    fleet.core.end(fleet.core.placement.ticket, 0);
    fleet.sweepAt(300);
    expect(fleet.state.state(0)).toBe('free');
  });

  test('a drain that is taken back serves again, with its cache', () => {
    const fleet = new FleetOfTest({});
    const instance = fleet.serve(urls[0]!);
    const generation = fleet.state.generation(0);
    fleet.registry.drain(instance);
    fleet.registry.stay(instance);
    fleet.sweepAt(5_000);
    expect([fleet.state.state(0), fleet.state.generation(0)]).toEqual(['serving', generation]);
    expect(fleet.pairOf(1n)).toEqual([urls[0], undefined]);
  });

  test('a slot is free only when the rings without it are built', () => {
    const fleet = new FleetOfTest({ isDeferred: true });
    const instance = fleet.serve(urls[0]!);
    fleet.runScheduled();
    fleet.registry.drain(instance);
    fleet.sweepAt(1);
    expect(fleet.state.state(0)).toBe('draining');
    fleet.runScheduled();
    fleet.sweepAt(2);
    expect(fleet.state.state(0)).toBe('free');
  });

  test('a slot is not free while a decision under way may still come to hold it', () => {
    const fleet = new FleetOfTest({});
    const instance = fleet.serve(urls[0]!);
    const asked: number[] = [];
    fleet.core.isReadBefore = (version) => asked.push(version) === 1;
    fleet.registry.drain(instance);
    fleet.sweepAt(1);
    expect(fleet.state.state(0)).toBe('draining');
    fleet.sweepAt(2);
    expect([fleet.state.state(0), asked]).toEqual(['free', [2, 2]]);
  });

  test('a slot is taken again with a new generation, and nothing of the old one', () => {
    const fleet = new FleetOfTest({});
    const first = fleet.serve(urls[0]!);
    fleet.core.insertBlocks(chain, first.slot, 0);
    expect(fleet.core.hitBlocks(chain, first.slot)).toBe(3);
    const generation = fleet.state.generation(0);
    fleet.registry.drain(first);
    fleet.sweepAt(1);
    const second = fleet.serve(urls[1]!);
    expect(second.slot).toBe(0);
    expect(fleet.state.generation(0)).toBe(generation + 1);
    expect(fleet.core.hitBlocks(chain, 0)).toBe(0);
    expect([second.id === first.id, fleet.pairOf(1n)]).toEqual([false, [urls[1], undefined]]);
    expect(fleet.snapshots.at(-1)!.urls).toEqual([urls[1]]);
  });
});

describe('a warm-up', () => {
  test('goes in steps from the first answer to the whole weight', () => {
    const fleet = new FleetOfTest({ warmUpMs: 1_000 });
    fleet.nowMs = 5_000;
    const instance = fleet.registry.add(urls[0]!, 2, null, true);
    fleet.sweepAt(50_000);
    fleet.registry.markServing(instance, [], false);
    const weights: number[] = [];
    for (let ms = 0; ms <= 1_000; ms += 50) {
      fleet.sweepAt(50_000 + ms);
      weights.push(ringWeight(instance));
    }
    expect(weights[0]).toBe(2 / warmUpSteps);
    expect(weights.at(-1)).toBe(2);
    expect(weights).toEqual(weights.toSorted((left, right) => left - right));
    expect(new Set(weights).size).toBe(warmUpSteps);
    expect(instance.warmUp).toBe('done');
    // A build for each step, and no more.
    expect(fleet.core.ringsVersion).toBe(warmUpSteps);
  });

  test('is not for the fleet that the router starts with, nor for one that recovers', () => {
    const fleet = new FleetOfTest({ warmUpMs: 1_000 });
    const instance = fleet.serve(urls[0]!);
    expect(ringWeight(instance)).toBe(1);
    const late = fleet.serve(urls[1]!, { warmsUp: true });
    expect(ringWeight(late)).toBe(1 / warmUpSteps);
    fleet.sweepAt(1_000);
    fleet.registry.markDead(late);
    fleet.registry.markServing(late, [], true);
    expect(ringWeight(late)).toBe(1);
  });

  test.each([1, 700, 1_000, 30_000])('of %i ms takes each step when it is due', (warmUpMs) => {
    expect(warmUpStepDueMs(1, warmUpMs)).toBe(0);
    expect(warmUpStepDueMs(warmUpSteps, warmUpMs)).toBe(warmUpMs);
    for (let step = 2; step <= warmUpSteps; step += 1) {
      const dueMs = warmUpStepDueMs(step, warmUpMs);
      expect(warmUpStep(dueMs, warmUpMs)).toBe(step);
      expect(warmUpStep(dueMs - 0.001, warmUpMs)).toBe(step - 1);
    }
    expect(warmUpStep(2 * warmUpMs, warmUpMs)).toBe(warmUpSteps);
  });

  test('of no length is none', () => {
    const fleet = new FleetOfTest({ warmUpMs: 0 });
    expect(ringWeight(fleet.serve(urls[0]!, { warmsUp: true }))).toBe(1);
    expect(warmUpStep(0, 0)).toBe(warmUpSteps);
  });
});

test('a snapshot counts as seen when the last thread has it', async () => {
  const seen: number[] = [];
  const snapshots = new SnapshotsSeen(2, (version) => seen.push(version));
  let isReached = false;
  const reached = snapshots.untilAll(3).then(() => {
    isReached = true;
  });
  snapshots.saw(0, 3);
  snapshots.saw(1, 2);
  await Promise.resolve();
  expect([seen, isReached]).toEqual([[2], false]);
  snapshots.saw(1, 4);
  await reached;
  expect(seen).toEqual([2, 3]);
  await snapshots.untilAll(1);
});
