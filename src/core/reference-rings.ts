/**
 * The reference twin of the two rings, written from native/core/README.md, "Rings". For tests only,
 * any thread. Paper: DualMap, the two hash rings and their candidates.
 */
import { littleEndian32, littleEndian64, seededXxh3, xxh3 } from './reference-hash.ts';

export interface RingInstance {
  readonly url: string;
  /** 1 is a whole share. */
  readonly weight: number;
}

/** Indices into the instances given; -1: none. */
export interface CandidatePair {
  readonly first: number;
  readonly second: number;
}

export type Ring = 0 | 1;

interface RingPoint {
  readonly point: bigint;
  readonly identity: bigint;
  readonly index: number;
}

type Hash = (bytes: Uint8Array) => bigint;

const pointsPerWeight = 160;

export class ReferenceRings {
  readonly #rings: readonly [RingPoint[], RingPoint[]];
  readonly #keyHashes: readonly [Hash, Hash];

  constructor(instances: readonly RingInstance[], ringSeed: bigint) {
    const pointHash = seededXxh3(ringSeed);
    this.#rings = [ringOf(instances, 0, pointHash), ringOf(instances, 1, pointHash)];
    this.#keyHashes = [seededXxh3(ringSeed + 1n), seededXxh3(ringSeed + 2n)];
  }

  /** The candidates among the instances that `serves` accepts, as if there were no others. */
  pair(key: bigint, serves: (index: number) => boolean = () => true): CandidatePair {
    const first = this.owner(0, key, serves);
    const second = this.owner(1, key, (index) => index !== first && serves(index));
    return { first, second };
  }

  /** The accepted instance of the first point at or after the key's position; -1: none. */
  owner(ring: Ring, key: bigint, accepts: (index: number) => boolean = () => true): number {
    const points = this.#rings[ring];
    const start = firstAtOrAfter(points, this.#keyHashes[ring](littleEndian64(key)));
    for (let step = 0; step < points.length; step += 1) {
      const { index } = points[(start + step) % points.length]!;
      if (accepts(index)) return index;
    }
    return -1;
  }
}

function ringOf(instances: readonly RingInstance[], ring: Ring, hash: Hash): RingPoint[] {
  const points = instances.flatMap(({ url, weight }, index) => {
    const identity = xxh3(Buffer.from(url));
    const count = Math.max(1, Math.round(pointsPerWeight * weight));
    return Array.from({ length: count }, (_, point) => {
      const name = [littleEndian64(identity), littleEndian32(ring), littleEndian32(point)];
      return { point: hash(Buffer.concat(name)), identity, index };
    });
  });
  return points.sort((left, right) =>
    left.point === right.point
      ? ascending(left.identity, right.identity)
      : ascending(left.point, right.point),
  );
}

function ascending(left: bigint, right: bigint): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function firstAtOrAfter(points: readonly RingPoint[], position: bigint): number {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle]!.point < position) low = middle + 1;
    else high = middle;
  }
  return low;
}
