/**
 * XXH3-64 for the reference twin, by the JavaScript face of `xxhash-addon`. For tests only, any
 * thread; never on the path of a request.
 */
import xxhash from 'xxhash-addon';

const mask64 = 0xffff_ffff_ffff_ffffn;

/** XXH3-64 with seed 0. */
export function xxh3(bytes: Uint8Array): bigint {
  return xxhash.XXHash3.hash(asBuffer(bytes)).readBigUInt64BE();
}

/** XXH3-64 with a seed; the seed is taken modulo 2^64. */
export function seededXxh3(seed: bigint): (bytes: Uint8Array) => bigint {
  const seedBytes = Buffer.alloc(8);
  // The addon takes seeds and gives digests in xxHash's canonical form, which is big-endian.
  seedBytes.writeBigUInt64BE(seed & mask64);
  const hasher = new xxhash.XXHash3(seedBytes);
  return (bytes) => {
    hasher.reset();
    hasher.update(asBuffer(bytes));
    return hasher.digest().readBigUInt64BE();
  };
}

/** `XXH3_64(LE64(previous) || bytes)`: one link of a chain. */
export function chained(previous: bigint, bytes: Uint8Array): bigint {
  return xxh3(Buffer.concat([littleEndian64(previous), bytes]));
}

export function littleEndian64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

export function littleEndian32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

// The addon asks N-API for a Buffer; a plain view is wrapped, not copied.
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
