/**
 * First-token times as the decision core writes them (native/core/samples.h): what was known of a
 * request when it was sent, and when its first token came. A buffer belongs to one thread; rows
 * that were taken out of it are plain data for any other.
 */

/** Order is that of the words in native/core/samples.h. */
export const sampleFields = [
  'slot',
  'generation',
  /** Uncached tokens of others, sent before it, whose first token had not come. */
  'aheadTokens',
  'uncachedTokens',
  'promptTokens',
  /** Requests that decoded at the instance. */
  'running',
  /** From sending to the first token. */
  'ttftMs',
  'estimateMs',
] as const;

export const sampleWords = sampleFields.length;

/** Index of each field in its row. */
export const sampleAt = Object.fromEntries(
  sampleFields.map((field, index) => [field, index]),
) as Record<(typeof sampleFields)[number], number>;

const headWords = 1;
/** Of one batch: far more than a fit of all instances has use for, and 64 KB a thread. */
const rowsMax = 1_024;

export class SampleBuffer {
  /** A count and rows; the core appends. */
  readonly words = new Float64Array(headWords + rowsMax * sampleWords);

  get count(): number {
    return this.words[0]!;
  }

  /** Rows one after the other, oldest first; the buffer is empty afterwards. */
  take(): Float64Array {
    const rows = this.words.slice(headWords, headWords + this.count * sampleWords);
    this.words[0] = 0;
    return rows;
  }
}
