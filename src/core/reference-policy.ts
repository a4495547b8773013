/**
 * The reference twin of what the policies know and decide: a cache model, hotness, and the rules as
 * pure functions. For tests only, any thread.
 */
import type { ReferenceRings } from './reference-rings.ts';

/**
 * Which instance holds which block. A block is resident as long as fewer than `capacityBlocks` new
 * blocks were inserted into that instance since the block was last used: LRU, approximately.
 */
export class ReferencePrefixIndex {
  readonly #holders = new Map<number, Holder>();

  /** Empties the instance, as a restart of its engine does. */
  reset(instance: number, capacityBlocks: number): void {
    this.#holders.set(instance, { capacityBlocks, insertions: 0, stamps: new Map() });
  }

  /**
   * The instance computes or reuses this chain. Deepest block first, so that a chain loses its tail
   * before its root: a tail without its root is no hit.
   */
  use(instance: number, blockHashes: readonly bigint[]): void {
    const holder = this.#holder(instance);
    for (const hash of [...blockHashes].reverse()) {
      if (!isResident(holder, hash)) holder.insertions += 1;
      holder.stamps.set(hash, holder.insertions);
    }
  }

  /** How many leading blocks of the chain the instance holds. */
  cachedBlocks(instance: number, blockHashes: readonly bigint[]): number {
    const holder = this.#holder(instance);
    const missing = blockHashes.findIndex((hash) => !isResident(holder, hash));
    return missing === -1 ? blockHashes.length : missing;
  }

  #holder(instance: number): Holder {
    const holder = this.#holders.get(instance);
    if (holder === undefined) throw new RangeError(`instance ${instance} was never reset`);
    return holder;
  }
}

interface Holder {
  readonly capacityBlocks: number;
  readonly stamps: Map<bigint, number>;
  insertions: number;
}

function isResident(holder: Holder, hash: bigint): boolean {
  const stamp = holder.stamps.get(hash);
  return stamp !== undefined && holder.insertions - stamp < holder.capacityBlocks;
}

const hotCountMin = 20;

/**
 * Which keys take too large a share of the last requests (algorithm: bounds 2/n and 1/n). A key
 * becomes hot above 2/n with at least 20 requests, cold below 1/n; between, it stays what it was.
 */
export class ReferenceHotness {
  readonly #instanceCount: number;
  readonly #windowRequests: number;
  readonly #window: (readonly bigint[])[] = [];
  readonly #hot = new Set<bigint>();

  constructor(instanceCount: number, windowRequests: number) {
    this.#instanceCount = instanceCount;
    this.#windowRequests = windowRequests;
  }

  /** One request with its keys of every level. */
  record(levelKeys: readonly bigint[]): void {
    this.#window.push(levelKeys);
    if (this.#window.length > this.#windowRequests) this.#window.shift();
    const counts = new Map<bigint, number>();
    for (const key of this.#window.flat()) counts.set(key, (counts.get(key) ?? 0) + 1);
    for (const key of this.#hot) {
      if (this.#fairShares(counts.get(key) ?? 0) < 1) this.#hot.delete(key);
    }
    for (const [key, count] of counts) {
      if (count >= hotCountMin && this.#fairShares(count) > 2) this.#hot.add(key);
    }
  }

  isHot(key: bigint): boolean {
    return this.#hot.has(key);
  }

  /** The shallowest level whose key is not hot; the deepest if all are. */
  level(levelKeys: readonly bigint[]): number {
    const level = levelKeys.findIndex((key) => !this.isHot(key));
    return level === -1 ? levelKeys.length - 1 : level;
  }

  /** A count in units of 1/n of the window, kept free of rounding until the one division. */
  #fairShares(count: number): number {
    return (count * this.#instanceCount) / this.#window.length;
  }
}

export interface PairView {
  /** Estimated time to first token on each candidate, milliseconds. */
  readonly ttftFirst: number;
  readonly ttftSecond: number;
  /** Cached prefix on each candidate, any one unit. */
  readonly cachedFirst: number;
  readonly cachedSecond: number;
  /** Load of each candidate, any one unit. */
  readonly loadFirst: number;
  readonly loadSecond: number;
  readonly sloTtftMs: number;
  readonly sloFraction: number;
}

export type Choice = 'first' | 'second';

/** The paper's rule inside the pair. Ties: equal loads take `first`, equal estimates the warm one. */
export function chooseDualmapPaper(view: PairView): Choice {
  if (view.cachedFirst === view.cachedSecond) {
    return view.loadSecond < view.loadFirst ? 'second' : 'first';
  }
  const firstIsWarm = view.cachedFirst > view.cachedSecond;
  const ttftWarm = firstIsWarm ? view.ttftFirst : view.ttftSecond;
  const ttftOther = firstIsWarm ? view.ttftSecond : view.ttftFirst;
  const keepsWarm = ttftWarm <= view.sloFraction * view.sloTtftMs || ttftWarm <= ttftOther;
  return keepsWarm === firstIsWarm ? 'first' : 'second';
}

/** The serving instance with the fewest pending tokens, the lowest index of equals; -1: none. */
export function chooseLeastTokens(
  pendingTokens: readonly number[],
  serves: (index: number) => boolean = () => true,
): number {
  let chosen = -1;
  for (const [index, tokens] of pendingTokens.entries()) {
    if (serves(index) && (chosen === -1 || tokens < pendingTokens[chosen]!)) chosen = index;
  }
  return chosen;
}

/** One ring, one owner. */
export function chooseConsistentHash(
  rings: ReferenceRings,
  levelKey: bigint,
  serves: (index: number) => boolean = () => true,
): number {
  return rings.owner(0, levelKey, serves);
}

/** The first serving instance after the previous one, going round at the end; -1: none. */
export function chooseRoundRobin(
  previous: number,
  instanceCount: number,
  serves: (index: number) => boolean = () => true,
): number {
  for (let step = 1; step <= instanceCount; step += 1) {
    const index = (previous + step) % instanceCount;
    if (serves(index)) return index;
  }
  return -1;
}
