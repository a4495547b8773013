/**
 * Which snapshot of the fleet each I/O thread has taken over. An instance is served only when all
 * threads know its URL, since a thread that chooses it must find it. Main thread only.
 */
export class SnapshotsSeen {
  readonly #versions: number[];
  readonly #onAll: (version: number) => void;
  #waiting: { readonly version: number; readonly resolve: () => void }[] = [];
  #all = -1;

  /** `onAll`: every thread has this version now, or a later one. */
  constructor(threads: number, onAll: (version: number) => void) {
    this.#versions = new Array<number>(threads).fill(-1);
    this.#onAll = onAll;
  }

  /** `thread`: 0 is the first one. */
  saw(thread: number, version: number): void {
    this.#versions[thread] = version;
    const all = Math.min(...this.#versions);
    if (all === this.#all) return;
    this.#all = all;
    this.#onAll(all);
    const isDone = (one: { version: number }) => one.version <= all;
    for (const { resolve } of this.#waiting.filter(isDone)) resolve();
    this.#waiting = this.#waiting.filter((one) => !isDone(one));
  }

  /** Resolves when every thread has this version. */
  untilAll(version: number): Promise<void> {
    if (version <= this.#all) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ version, resolve }));
  }
}
