/** What the core has decided, in memory that it writes itself: no object a request. */
import { type Reason, reasons } from './core-options.ts';

/** Indexes of the result array; order is that of `Result` in native/addon.cc. */
export const resultFields = [
  'ticket',
  'chosen',
  'other',
  'first',
  'second',
  'reason',
  'level',
  'stream',
  'promptTokens',
  'cachedTokens',
  'ttftEstimateMs',
  'otherCachedTokens',
  'otherTtftEstimateMs',
  'promptBytes',
  'blocks',
  'isWaiting',
  'queuedMs',
  'hasClaims',
  'nextLookMs',
] as const;

export const hasClaimsAt = resultFields.indexOf('hasClaims');
export const nextLookAt = resultFields.indexOf('nextLookMs');
/** `Queues::kNever` in native/core/queues.h. */
export const never = 1e300;

/**
 * What the last `place`, `nextClaim` or `retry` decided, read from memory that the core wrote:
 * valid until the next one. Slots are -1 where there is none; tokens are counts, times are
 * milliseconds.
 */
export class PlacementView {
  readonly words = new Float64Array(resultFields.length);

  get ticket(): number {
    return this.words[0]!;
  }
  get chosen(): number {
    return this.words[1]!;
  }
  get other(): number {
    return this.words[2]!;
  }
  get first(): number {
    return this.words[3]!;
  }
  get second(): number {
    return this.words[4]!;
  }
  get reason(): Reason {
    return reasons[this.words[5]!]!;
  }
  /** Level of the key, 0..16: its depth is 512 << level bytes. */
  get level(): number {
    return this.words[6]!;
  }
  get stream(): boolean {
    return this.words[7] === 1;
  }
  get promptTokens(): number {
    return this.words[8]!;
  }
  get cachedTokens(): number {
    return this.words[9]!;
  }
  get ttftEstimateMs(): number {
    return this.words[10]!;
  }
  get otherCachedTokens(): number {
    return this.words[11]!;
  }
  get otherTtftEstimateMs(): number {
    return this.words[12]!;
  }
  /** It waits in the router: nothing is reserved yet, `chosen` is where it would rather go. */
  get isWaiting(): boolean {
    return this.words[15] === 1;
  }
  /** How long it has waited in the router. */
  get queuedMs(): number {
    return this.words[16]!;
  }
}
