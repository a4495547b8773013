/**
 * The random numbers of a replay: small, fast and the same on every machine. For load and filler
 * text only, never for anything that must be hard to guess. Pure; any thread.
 */

/** Numbers in [0, 1), the same sequence for the same seed (mulberry32; the low 32 bits count). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
