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
  private bytes: Buffer | null = null;
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
      this.bytes = null;
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

  private grow(needed: number): void {
    const isAnnounced = this.announcedBytes >= 0;
    const wholeMax = isAnnounced ? this.announcedBytes : this.bytesMax;
    const wanted = this.bytes === null && isAnnounced ? reservedBytesMax : 2 * needed;
    const capacity = Math.max(needed, Math.min(wholeMax, wanted));
    const larger = allocate(capacity + bodyPadding);
    if (this.bytes !== null) this.bytes.copy(larger, 0, 0, this.count);
    this.bytes = larger;
  }
}

/**
 * Small bodies share a slab: an ArrayBuffer each would cost more than the copy. They live about as
 * long as each other, until their first token, so that few of them keep a slab that is else unused.
 */
const slabBytes = 256 * 1024;
const slabShareMax = slabBytes / 16;
let slab: Buffer | null = null;
let slabUsed = 0;

function allocate(bytes: number): Buffer {
  if (bytes > slabShareMax) return Buffer.allocUnsafeSlow(bytes);
  if (slab === null || slabUsed + bytes > slabBytes) {
    slab = Buffer.allocUnsafeSlow(slabBytes);
    slabUsed = 0;
  }
  const from = slabUsed;
  slabUsed += bytes;
  return slab.subarray(from, slabUsed);
}

export function bodyTooLarge(bytesMax: number): RequestFault {
  return new RequestFault('body_too_large', `the request body exceeds ${bytesMax} bytes`);
}

export function bodyTimeout(timeoutMs: number): RequestFault {
  return new RequestFault('body_timeout', `no byte of the request body came for ${timeoutMs} ms`);
}
