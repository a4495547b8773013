/**
 * Who says whether a thread was slow, or its processor away: a second thread on the same
 * processor, above every ordinary one, that wakes four times a millisecond. What the first computes
 * cannot keep it from waking; interrupts can, and the host of a guest, which takes processors and
 * pages away without a word in the guest's accounts. Wants `taskset` and, as root, `chrt`.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** Times that it was not woken; more are not written down, and so held against the watched. */
const missedMax = 200_000;

function isDone(command, ...args) {
  return spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;
}

export class Witness {
  /** Whether it is over, then how many words of `#missed` are written. */
  #control = new Int32Array(new SharedArrayBuffer(2 * 4));
  /** Pairs: from when, to when. */
  #missed = new Float64Array(new SharedArrayBuffer(2 * missedMax * 8));
  #worker;
  /** Whether it is where and what it must be to know; if not, the processor was never away. */
  isTrusted = false;

  /**
   * Watches the thread with this id. It and the witness have the second processor from now on, the
   * thread that calls has the first.
   */
  static async of(threadId) {
    const witness = new Witness();
    const workerData = { control: witness.#control, missed: witness.#missed };
    witness.#worker = new Worker(new URL('witness-thread.mjs', import.meta.url), { workerData });
    const [id] = await once(witness.#worker, 'message');
    witness.isTrusted =
      isDone('taskset', '-cp', '0', String(process.pid)) &&
      isDone('taskset', '-cp', '1', threadId) &&
      isDone('taskset', '-cp', '1', id) &&
      isDone('chrt', '-f', '-p', '50', id);
    return witness;
  }

  /** Milliseconds of those between the two, on the clock of `process.hrtime`, without the processor. */
  awayMs(fromMs, toMs) {
    if (!this.isTrusted) return 0;
    let total = 0;
    for (let at = 0; at < Atomics.load(this.#control, 1); at += 2) {
      const [from, to] = this.#missed.subarray(at, at + 2);
      total += Math.max(0, Math.min(toMs, to) - Math.max(fromMs, from));
    }
    return total;
  }

  async stop() {
    Atomics.store(this.#control, 0, 1);
    await once(this.#worker, 'exit');
  }
}
