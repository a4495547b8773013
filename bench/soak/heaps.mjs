/**
 * The JavaScript heaps of a process, one a thread, as `--trace-gc` tells them. Between two full
 * collections, which are minutes apart, a heap grows by what outlived its youth and died since:
 * resident memory alone cannot tell that from a leak. What a heap holds right after a full
 * collection can, and so can resident memory less what the heaps have taken.
 */

const mib = 2 ** 20;
/** `[pid:isolate] 105430 ms: Mark-Compact (reduce) 14.1 (28.4) -> 10.5 (13.4) MB, …` */
const collection = /^\[\d+:(0x[0-9a-f]+)\].* ms: (\S+) .*-> ([\d.]+) \(([\d.]+)\) MB/;

export class Heaps {
  #heaps = new Map();
  #rest = '';

  /** What the process writes on its standard output, in pieces. */
  push(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    for (const line of lines) {
      const found = collection.exec(line);
      if (found === null) continue;
      const [, isolate, kind, left, taken] = found;
      const heap = this.#heaps.get(isolate) ?? { liveBytes: Number(left) * mib };
      if (kind === 'Mark-Compact') heap.liveBytes = Number(left) * mib;
      heap.takenBytes = Number(taken) * mib;
      this.#heaps.set(isolate, heap);
    }
  }

  /** Right after the last full collection of each. */
  get liveBytes() {
    return this.#sum(({ liveBytes }) => liveBytes);
  }

  /** Taken from the system, the free room inside included. */
  get takenBytes() {
    return this.#sum(({ takenBytes }) => takenBytes);
  }

  #sum(read) {
    return [...this.#heaps.values()].reduce((sum, heap) => sum + read(heap), 0);
  }
}
