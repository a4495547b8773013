import { RequestFault } from '../errors.ts';
import { bodyPadding } from './exchange.ts';

/**
 * Gathers the pieces of one request body in one buffer with `bodyPadding` bytes behind it. Every
 * byte is copied once, or twice where the body outgrows what was reserved. One thread, one request.
 */

/** Reserved on an announcement alone; beyond it the client has to send bytes to get memory. */
const reservedBytesMax = 1024 * 1024;

export class BodyBuffer {
  private readonly announcedBytes: number;
  private readonly bytesMax: number;
  private bytes: Uint8Array | null = null;
  private count = 0;

  /** `announcedBytes`: -1 if unknown. */
  constructor(announcedBytes: number, bytesMax: number) {
    this.announcedBytes = announcedBytes;
    this.bytesMax = bytesMax;
  }

  /** Copies a piece. False if the body exceeds its limit; nothing is kept then. */
  append(piece: Uint8Array): boolean {
    const needed = this.count + piece.byteLength;
    if (needed > this.bytesMax) {
      this.release();
      return false;
    }
    if (this.bytes === null || this.bytes.byteLength < needed + bodyPadding) {
      this.grow(needed);
    }
    this.bytes!.set(piece, this.count);
    this.count = needed;
    return true;
  }

  /**
   * The body; call once, after the last piece. Its padding is zeros, so that what a scan makes of a
   * broken body does not depend on what lay there before.
   */
  take(): Uint8Array {
    this.bytes ??= allocate(bodyPadding);
    this.bytes.fill(0, this.count, this.count + bodyPadding);
    return this.bytes.subarray(0, this.count);
  }

  /** The memory serves the next body: from here on nobody may read or write this one. */
  release(): void {
    if (this.bytes !== null) keep(this.bytes);
    this.bytes = null;
  }

  private grow(needed: number): void {
    const isAnnounced = this.announcedBytes >= 0;
    const wholeMax = isAnnounced ? this.announcedBytes : this.bytesMax;
    const wanted = this.bytes === null && isAnnounced ? reservedBytesMax : 2 * needed;
    const capacity = Math.max(needed, Math.min(wholeMax, wanted));
    const larger = allocate(capacity + bodyPadding);
    if (this.bytes !== null) {
      larger.set(this.bytes.subarray(0, this.count));
      keep(this.bytes);
    }
    this.bytes = larger;
  }
}

/**
 * The memory of bodies, by powers of two from 1 KiB to 1 MiB: given back at the first token, it is
 * used again while it is still in the processor's caches. What nobody gives back is the collector's.
 * A thread keeps a bounded number of bytes for the bodies to come.
 */
const log2Min = 10;
const log2Max = 20;
const keptBytesMax = 32 * 1024 * 1024;
const kept: Uint8Array[][] = Array.from({ length: log2Max + 1 }, () => []);
let keptBytes = 0;

function allocate(bytes: number): Uint8Array {
  const log2 = Math.max(log2Min, 32 - Math.clz32(bytes - 1));
  if (log2 > log2Max) return uninitialized(bytes);
  const memory = kept[log2]!.pop();
  if (memory === undefined) return uninitialized(1 << log2);
  keptBytes -= memory.byteLength;
  return memory;
}

/** Not a Buffer: its methods are slower on a few bytes. */
function uninitialized(bytes: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
}

function keep(memory: Uint8Array): void {
  const { byteLength } = memory;
  if (byteLength > 1 << log2Max || keptBytes + byteLength > keptBytesMax) return;
  keptBytes += byteLength;
  kept[31 - Math.clz32(byteLength)]!.push(memory);
}

export function bodyTooLarge(bytesMax: number): RequestFault {
  return new RequestFault('body_too_large', `the request body exceeds ${bytesMax} bytes`);
}

export function bodyTimeout(timeoutMs: number): RequestFault {
  return new RequestFault('body_timeout', `no byte of the request body came for ${timeoutMs} ms`);
}
