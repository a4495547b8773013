/**
 * The KV blocks of one simulated engine: who holds them, which prompt blocks they contain, and in
 * what order they are given away. Pure; belongs to one engine.
 *
 * As in vLLM v1: one queue of blocks that nobody holds. What is released goes to its end, what is
 * needed comes from its front, and what a free block contains can be hit until it is given away.
 */
export class BlockPool {
  readonly capacity: number;
  /** Prompt block -> place in the pool; -1: nowhere. */
  readonly #placeOf: Int32Array;
  /** Place -> prompt block; -1: nothing that could be hit. */
  readonly #blockAt: Int32Array;
  readonly #holders: Int32Array;
  /** The free queue, a ring closed by the place `capacity`, which holds no block. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  #freeCount: number;

  constructor(capacity: number, distinctBlocks: number) {
    this.capacity = capacity;
    this.#placeOf = new Int32Array(distinctBlocks).fill(-1);
    this.#blockAt = new Int32Array(capacity).fill(-1);
    this.#holders = new Int32Array(capacity);
    this.#next = Int32Array.from({ length: capacity + 1 }, (_, place) =>
      place === capacity ? 0 : place + 1,
    );
    this.#previous = Int32Array.from({ length: capacity + 1 }, (_, place) =>
      place === 0 ? capacity : place - 1,
    );
    this.#freeCount = capacity;
  }

  /** Blocks that nobody holds, whatever they contain. */
  get freeCount(): number {
    return this.#freeCount;
  }

  /** How many of `blocks[from..to)` can be hit, from the first one on. */
  hits(blocks: Int32Array, from: number, to: number): number {
    let at = from;
    while (at < to && this.#placeOf[blocks[at]!]! >= 0) at++;
    return at - from;
  }

  /** Whether a block that can be hit lies in the free queue. */
  isFree(block: number): boolean {
    return this.#holders[this.#placeOf[block]!] === 0;
  }

  /** Holds a block that can be hit; returns its place. */
  hold(block: number): number {
    const place = this.#placeOf[block]!;
    if (this.#holders[place]!++ === 0) this.#unlink(place);
    return place;
  }

  /** Holds the block that has been free for longest; returns its place. There must be one. */
  take(): number {
    const place = this.#next[this.capacity]!;
    this.#unlink(place);
    const block = this.#blockAt[place]!;
    if (block >= 0) this.#placeOf[block] = -1;
    this.#blockAt[place] = -1;
    this.#holders[place] = 1;
    return place;
  }

  /** A held block is full: it can be hit, unless another one with the same content is there. */
  name(place: number, block: number): void {
    if (this.#placeOf[block]! >= 0) return;
    this.#placeOf[block] = place;
    this.#blockAt[place] = block;
  }

  release(place: number): void {
    if (--this.#holders[place]! > 0) return;
    const end = this.capacity;
    const last = this.#previous[end]!;
    this.#next[last] = place;
    this.#previous[place] = last;
    this.#next[place] = end;
    this.#previous[end] = place;
    this.#freeCount++;
  }

  /**
   * A whole prompt was computed while nobody else held a block: all of `blocks[from..to)` can be
   * hit now. Tail first, so that the head, without which the tail cannot be hit, goes last.
   */
  use(blocks: Int32Array, from: number, to: number): void {
    if (this.capacity === 0) return;
    for (let at = to - 1; at >= from; at--) {
      const block = blocks[at]!;
      const place = this.#placeOf[block]! >= 0 ? this.hold(block) : this.take();
      this.name(place, block);
      this.release(place);
    }
  }

  #unlink(place: number): void {
    const next = this.#next[place]!;
    const previous = this.#previous[place]!;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#freeCount--;
  }
}
