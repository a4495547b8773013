import { readUsage, type Usage } from '../core/usage.ts';

/**
 * Keeps the last bytes of a streamed answer, where it says what it used. Costs one small copy per
 * chunk and is read once, at the end. One per answer, on the thread that relays it.
 */

/**
 * Behind the usage of a stream comes `[DONE]` and little else. The usage object itself is 100 to
 * 500 bytes with all details; both ends fit with room, and 8,000 streams hold 16 MB.
 */
const ringBytes = 2_048;

/** Rings of ended answers, for the next ones: one allocated per answer would keep the collector busy. */
const spareRings: Buffer[] = [];
const spareRingsMax = 256;

export class UsageTail {
  /** Ring of the last bytes; taken with the first chunk. */
  #ring: Buffer | null = null;
  #next = 0;
  #wrapped = false;

  push(chunk: Uint8Array): void {
    this.#ring ??= spareRings.pop() ?? Buffer.allocUnsafeSlow(ringBytes);
    const { byteLength } = chunk;
    if (byteLength >= ringBytes) {
      this.#ring.set(chunk.subarray(byteLength - ringBytes));
      this.#next = 0;
      this.#wrapped = true;
      return;
    }
    const room = ringBytes - this.#next;
    if (byteLength < room) {
      this.#ring.set(chunk, this.#next);
      this.#next += byteLength;
      return;
    }
    this.#ring.set(chunk.subarray(0, room), this.#next);
    this.#ring.set(chunk.subarray(room));
    this.#next = byteLength - room;
    this.#wrapped = true;
  }

  /** See `readUsage`. */
  read(): Usage | null {
    if (this.#ring === null) return null;
    if (!this.#wrapped) return readUsage(this.#ring.subarray(0, this.#next));
    const tail = Buffer.allocUnsafe(ringBytes);
    this.#ring.copy(tail, 0, this.#next);
    this.#ring.copy(tail, ringBytes - this.#next, 0, this.#next);
    return readUsage(tail);
  }

  /** Forgets everything; its memory goes to the next answer. */
  clear(): void {
    if (this.#ring !== null && spareRings.length < spareRingsMax) spareRings.push(this.#ring);
    this.#ring = null;
    this.#next = 0;
    this.#wrapped = false;
  }
}
