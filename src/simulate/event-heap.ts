/**
 * What is due when: a binary heap of (time, number). Equal times come out in the order they went
 * in, so that a simulation is the same on every machine. Pure.
 */
export class EventHeap {
  readonly #dueMs: number[] = [];
  readonly #order: number[] = [];
  readonly #value: number[] = [];
  #pushed = 0;

  /** Infinity when empty. */
  get nextMs(): number {
    return this.#dueMs[0] ?? Number.POSITIVE_INFINITY;
  }

  get size(): number {
    return this.#dueMs.length;
  }

  push(dueMs: number, value: number): void {
    let at = this.#dueMs.length;
    const order = this.#pushed++;
    this.#dueMs.push(dueMs);
    this.#order.push(order);
    this.#value.push(value);
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (this.#dueMs[above]! <= dueMs) break;
      this.#copy(above, at);
      at = above;
    }
    this.#set(at, dueMs, order, value);
  }

  /** The number that is due first. There must be one. */
  pop(): number {
    const first = this.#value[0]!;
    const dueMs = this.#dueMs.pop()!;
    const order = this.#order.pop()!;
    const value = this.#value.pop()!;
    const length = this.#dueMs.length;
    if (length === 0) return first;
    let at = 0;
    for (let below = 1; below < length; below = 2 * at + 1) {
      if (below + 1 < length && this.#isBefore(below + 1, this.#dueMs[below]!, this.#order[below]!))
        below++;
      if (!this.#isBefore(below, dueMs, order)) break;
      this.#copy(below, at);
      at = below;
    }
    this.#set(at, dueMs, order, value);
    return first;
  }

  #isBefore(at: number, dueMs: number, order: number): boolean {
    const atMs = this.#dueMs[at]!;
    return atMs < dueMs || (atMs === dueMs && this.#order[at]! < order);
  }

  #copy(from: number, to: number): void {
    this.#set(to, this.#dueMs[from]!, this.#order[from]!, this.#value[from]!);
  }

  #set(at: number, dueMs: number, order: number, value: number): void {
    this.#dueMs[at] = dueMs;
    this.#order[at] = order;
    this.#value[at] = value;
  }
}
