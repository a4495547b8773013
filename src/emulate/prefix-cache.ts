import xxhash from 'xxhash-addon';

/**
 * Owns which prompt blocks an emulated engine still holds, least recently used first out, and how a
 * prompt becomes block hashes. Main thread of the engine only: the hasher is shared between calls.
 */

const hasher = new xxhash.XXHash3(Buffer.alloc(8));

/**
 * A hash for each full block of the prompt, naming the whole prefix that ends with that block;
 * equal in two prompts exactly as far as their blocks are equal. `salt` (vLLM's `cache_salt`) keeps
 * users apart. One pass over the bytes.
 */
export function blockHashes(prompt: Buffer, blockBytes: number, salt: string): string[] {
  const hashes: string[] = [];
  hasher.reset();
  if (salt !== '') hasher.update(Buffer.from(`${salt}\0`));
  for (let end = blockBytes; end <= prompt.length; end += blockBytes) {
    hasher.update(prompt.subarray(end - blockBytes, end));
    hashes.push(hasher.digest().toString('latin1'));
  }
  return hashes;
}

export class PrefixCache {
  readonly #blocksMax: number;
  /** In order of use, the oldest first. */
  readonly #blocks = new Set<string>();

  constructor(blocksMax: number) {
    this.#blocksMax = blocksMax;
  }

  /** Blocks held. */
  get size(): number {
    return this.#blocks.size;
  }

  /** How many leading blocks of a prompt are held. */
  hits(hashes: readonly string[]): number {
    const missing = hashes.findIndex((hash) => !this.#blocks.has(hash));
    return missing === -1 ? hashes.length : missing;
  }

  /**
   * Takes in, or uses again, all blocks of a prompt. Tail first, so that the head, which other
   * prompts share and without which the tail cannot be hit, is evicted last.
   */
  use(hashes: readonly string[]): void {
    for (let index = hashes.length - 1; index >= 0; index--) {
      const hash = hashes[index]!;
      this.#blocks.delete(hash);
      this.#blocks.add(hash);
    }
    for (const oldest of this.#blocks) {
      if (this.#blocks.size <= this.#blocksMax) break;
      this.#blocks.delete(oldest);
    }
  }

  clear(): void {
    this.#blocks.clear();
  }
}
