import { addon } from './native.ts';

/** What an answer says of its tokens. */
export interface Usage {
  readonly promptTokens: number;
  /** 0 for embeddings, which have none. */
  readonly completionTokens: number;
  /** `null` if the instance does not report it (an option of vLLM and SGLang, off by default). */
  readonly cachedTokens: number | null;
}

const usageWords = new Float64Array(3);

/**
 * The last `usage` object within the last 4,096 bytes of an answer, unary or streamed; `null` if
 * there is none, or none that can be read.
 */
export function readUsage(answer: Uint8Array): Usage | null {
  if (!addon.readUsage(answer, usageWords)) return null;
  const cached = usageWords[2]!;
  return {
    promptTokens: usageWords[0]!,
    completionTokens: Math.max(0, usageWords[1]!),
    cachedTokens: cached < 0 ? null : cached,
  };
}
