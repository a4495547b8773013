import { createHash } from 'node:crypto';
import { createRandom } from './random.ts';
import { blockTokens, type TraceRow } from './trace.ts';

/**
 * Prompt text for trace rows: a block id becomes 2,048 bytes of words, always the same, so that
 * rows which share blocks share a prefix of the prompt. Main thread. The text is plain ASCII
 * without quotes, backslashes or control characters: it goes into JSON as it is.
 */

export const bytesPerToken = 4;
export const blockBytes = blockTokens * bytesPerToken;

/** 16 MB of blocks kept: the hot prefixes of a trace, at a cost that does not grow with it. */
const blocksKeptMax = 8_192;

const words = (
  'able about account action after again answer area because before begin behind better between ' +
  'bridge bring build call carry cause center change city clear close cloud common company ' +
  'consider course cover create current data decide deep detail differ direct discuss doctor ' +
  'during early effect either engine enough even event every example expect explain family field ' +
  'figure final follow force form forward found friend garden general give ground group happen ' +
  'harbor heavy history hold house however hundred idea image include inside island issue ' +
  'itself journey keep kind knowledge language large later learn letter level light listen ' +
  'little machine main manage market matter measure memory method middle minute model moment ' +
  'morning mountain music nation nature near need never night north nothing notice number object ' +
  'offer office open order other outside paper part people perhaps period person picture place ' +
  'plan point power present press price problem process produce program provide public question ' +
  'quick quiet rather reach ready reason receive record region remain report result return river ' +
  'school science season second sense series serve service several simple single small social ' +
  'sound south special stand start state station still stone story street strong study subject ' +
  'summer support surface system table teach test theory thing think thought through today ' +
  'together toward trade travel under until upon value various view village voice water weather ' +
  'week well west whole window winter within without woman wonder word work world write yellow'
).split(' ');

const pieceBytes = 128;
const prose = makeProse();

const consonants = 'bdfghjklmnprstvz';
const vowels = 'aiou';

/** Turns trace rows into prompt bytes, with the blocks made last kept ready. */
export class PromptText {
  /** One slab, so that the bound is the memory used: block `slot` begins at `slot * blockBytes`. */
  readonly #slab: Buffer;
  /** Slot -> id of the block in it; empty: none yet. */
  readonly #ids: string[];
  readonly #slots = new Map<string, number>();
  #madeCount = 0;

  constructor(blocksKept: number = blocksKeptMax) {
    this.#ids = Array<string>(blocksKept).fill('');
    this.#slab = Buffer.allocUnsafeSlow(blocksKept * blockBytes);
  }

  /** Bytes of a row's prompt: `inputTokens` at `bytesPerToken`; the last block is cut to fit. */
  static promptBytes(row: TraceRow): number {
    return row.inputTokens * bytesPerToken;
  }

  /** Writes the prompt of `row` into `target` at `offset` and returns the offset behind it. */
  write(row: TraceRow, target: Buffer, offset: number): number {
    const end = offset + PromptText.promptBytes(row);
    let position = offset;
    for (const id of row.blockIds) {
      const start = this.#slotOf(String(id)) * blockBytes;
      const length = Math.min(blockBytes, end - position);
      position += this.#slab.copy(target, position, start, start + length);
    }
    return position;
  }

  /** The oldest block gives way: one that is used again is made again, which is cheap. */
  #slotOf(id: string): number {
    const kept = this.#slots.get(id);
    if (kept !== undefined) return kept;
    const slot = this.#madeCount++ % this.#ids.length;
    this.#slots.delete(this.#ids[slot]!);
    this.#ids[slot] = id;
    this.#slots.set(id, slot);
    fillBlock(id, this.#slab.subarray(slot * blockBytes, (slot + 1) * blockBytes));
    return slot;
  }
}

/**
 * Fills `target` with the text of a block: first the 64-bit hash of its id as four pronounceable
 * words, so that two ids part within the first bytes (a prefix cache with small blocks must see
 * that they differ), then pieces of the prose that the hash picks. Pieces, not words one by one:
 * a long prompt of new blocks must not hold up the sending of the next.
 */
function fillBlock(id: string, target: Buffer): void {
  const digest = createHash('sha256').update(id).digest();
  let position = 0;
  for (let index = 0; index < 8; index += 2) {
    position += target.write(`${spell(digest.readUInt16BE(index))} `, position, 'latin1');
  }
  const random = createRandom(digest.readUInt32BE(8));
  while (position < target.length) {
    const start = Math.floor(random() * (prose.length - pieceBytes));
    position += prose.copy(target, position, start, start + pieceBytes);
  }
}

function makeProse(): Buffer {
  const random = createRandom(0);
  let text = '';
  while (text.length < 65_536) text += `${words[Math.floor(random() * words.length)]} `;
  return Buffer.from(text, 'latin1');
}

/** 16 bits as five letters, consonant-vowel-consonant-vowel-consonant (a proquint). */
function spell(bits: number): string {
  return (
    consonants.charAt(bits >> 12) +
    vowels.charAt((bits >> 10) & 3) +
    consonants.charAt((bits >> 6) & 15) +
    vowels.charAt((bits >> 4) & 3) +
    consonants.charAt(bits & 15)
  );
}
