import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BodyBuffer } from '../../src/listen/body.ts';
import { bodyPadding } from '../../src/listen/exchange.ts';
import { cut, patterned } from '../support/listen-client.ts';

const room = (body: Uint8Array) => body.buffer.byteLength - body.byteOffset - body.byteLength;

describe('BodyBuffer', () => {
  it('gives back what it was given, with room behind, however it is cut and announced', () => {
    const size = fc.oneof(fc.nat(300), fc.integer({ min: 15_000, max: 18_000 }), fc.nat(60_000));
    const cuts = fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 5 });
    const kept: [Uint8Array, Buffer][] = [];
    fc.assert(
      fc.property(size, cuts, fc.boolean(), (bytes, sizes, announced) => {
        const whole = patterned(bytes, bytes + 1);
        const body = new BodyBuffer(announced ? bytes : -1, bytes);
        for (const piece of cut(whole, sizes)) expect(body.append(piece)).toBe(true);
        const taken = body.take();
        expect(room(taken)).toBeGreaterThanOrEqual(bodyPadding);
        kept.push([taken, whole]);
      }),
    );
    // All of them still stand: none shares bytes with another.
    for (const [taken, whole] of kept) expect(whole.equals(taken)).toBe(true);
  });

  it('has room behind also where a piece would just fit without', () => {
    for (let over = 1; over <= bodyPadding; over += 1) {
      const body = new BodyBuffer(-1, 1_000_000);
      // Too large for a slab; what is reserved at first is twice the first piece.
      body.append(patterned(20_000));
      body.append(patterned(20_000 + over));
      expect(room(body.take())).toBeGreaterThanOrEqual(bodyPadding);
    }
  });

  it('says so at the first byte too many', () => {
    for (const announced of [-1, 10]) {
      const body = new BodyBuffer(announced, 10);
      expect(body.append(patterned(10))).toBe(true);
      expect(body.append(patterned(1))).toBe(false);
    }
  });

  it('does not reserve a large body on an announcement alone', () => {
    const body = new BodyBuffer(1_000_000_000, 1_000_000_000);
    body.append(patterned(1));
    expect(body.take().buffer.byteLength).toBeLessThan(1_100_000);
  });

  it('reserves a body of up to 1 MiB once, at the next power of two', () => {
    const body = new BodyBuffer(400_000, 8_000_000);
    for (const piece of cut(patterned(400_000), [65_536])) body.append(piece);
    expect(body.take().buffer.byteLength).toBe(2 ** 19);
  });

  it('copies a body that grows a bounded number of times', () => {
    const body = new BodyBuffer(-1, 64_000_000);
    const buffers = new Set<ArrayBufferLike>();
    const piece = patterned(20_000);
    for (let turn = 0; turn < 400; turn += 1) {
      body.append(piece);
      buffers.add(body.take().buffer);
    }
    expect(buffers.size).toBeLessThanOrEqual(10);
  });

  it('gives its memory to the next body of about its size, and only when it was released', () => {
    const taken = (bytes: number) => {
      const body = new BodyBuffer(bytes, bytes);
      body.append(patterned(bytes));
      return { body, memory: body.take().buffer };
    };
    const first = taken(5_000);
    expect(taken(5_000).memory).not.toBe(first.memory);
    first.body.release();
    first.body.release();
    expect(taken(5_000 + 2 * bodyPadding).memory).toBe(first.memory);
    expect(taken(5_000).memory).not.toBe(first.memory);
    const large = taken(3_000_000);
    large.body.release();
    expect(taken(3_000_000).memory).not.toBe(large.memory);
  });

  it('hands out no byte of the body before it, padding included', () => {
    const before = new BodyBuffer(900, 900);
    before.append(patterned(900).fill(0xff));
    const { buffer } = before.take();
    before.release();
    const body = new BodyBuffer(10, 10);
    body.append(patterned(10));
    const bytes = body.take();
    expect(bytes.buffer).toBe(buffer);
    expect([...bytes]).toEqual([...patterned(10)]);
    const behind = new Uint8Array(bytes.buffer, bytes.byteOffset + 10, bodyPadding);
    expect(behind.every((byte) => byte === 0)).toBe(true);
  });
});
