/** What pages the memory of a router asks the kernel for. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createStateMemory } from '../../src/core/native.ts';

const capacities = {
  instancesMax: 8,
  threadsMax: 1,
  ringPointsMax: 2_560,
  indexBlocks: 1 << 17,
  hotnessRequestsMax: 1_024,
  waitingMax: 16,
};

/** Mappings of this process that may have huge pages by request, in KB. */
function hugeKb(): number {
  const mappings = readFileSync('/proc/self/smaps', 'utf8').split(/^VmFlags: /m);
  const flags = mappings.slice(1).map((text) => text.split('\n', 1)[0]!.split(' '));
  const sizes = mappings.map((text) => Number(/^Size: +(\d+) kB/m.exec(text)?.[1] ?? 0));
  return flags.reduce((sum, has, at) => sum + (has.includes('hg') ? sizes[at]! : 0), 0);
}

/** How much more of it there is when a memory has been made; that is not dropped before. */
function hugeKbOf(options?: { hugePages: boolean }): number {
  const before = hugeKb();
  const memory = createStateMemory(capacities, options);
  const more = hugeKb() - before;
  return memory.byteLength > 8 << 20 ? more : Number.NaN;
}

describe.runIf(process.platform === 'linux')('the memory of a router', () => {
  it('asks for huge pages, unless told not to', () => {
    expect(hugeKbOf()).toBeGreaterThan(8 << 10);
    expect(hugeKbOf({ hugePages: false })).toBe(0);
  });
});
