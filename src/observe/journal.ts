/**
 * The journal of one I/O thread: a line of JSON for each request that was placed by its prompt, and
 * never a word of the prompt. Lines gather in memory and go to main in batches; what main has not
 * yet disposed of is bounded, so a slow disk costs lines, which are counted, and never a request.
 * On its I/O thread.
 */
import type { PlacementView } from '../core/placement-view.ts';
import type { LastPrompt } from '../core/scan.ts';
import type { Usage } from '../core/usage.ts';
import { requestFaults } from '../errors.ts';
import type { Ending, PromptKind } from '../terms.ts';
import type { ThreadStats } from './thread-stats.ts';

/** Whole lines. */
export interface JournalBatch {
  readonly text: string;
  readonly lines: number;
}

/** What became of a batch. */
export interface JournalReceipt {
  readonly chars: number;
  readonly lines: number;
  readonly isWritten: boolean;
}

/** A batch is sent as soon as it has so many characters; otherwise by `flush`. */
const batchChars = 64 * 1024;
/** Lines held here, on their way and waiting for the disk, in characters. */
const heldCharsMax = 4 * 1024 * 1024;
/** Replay writes prompts with so many bytes a token: lengths and blocks of a line agree with it. */
const traceBytesPerToken = 4;

/** What the router itself answers, where no instance did. */
const statusOfEnding: Partial<Record<Ending, number>> = {
  failedBeforeFirstToken: requestFaults.upstream_failed.status,
  deadline: requestFaults.first_token_timeout.status,
  shed: requestFaults.overloaded.status,
};

/** What is known of a request so far. The router fills it in. */
export class JournalEntry {
  readonly requestId: string;
  readonly route: PromptKind;
  readonly readMs: number;
  readonly prompt: LastPrompt;
  candidates: readonly string[] = [];
  instance: string | null = null;
  reason = '';
  promptTokensEstimate = 0;
  cachedTokensEstimate = 0;
  ttftEstimateMs = 0;
  attempts = 0;
  queueMs = 0;
  ttftMs: number | null = null;
  status: number | null = null;
  usage: Usage | null = null;

  constructor(requestId: string, route: PromptKind, readMs: number, prompt: LastPrompt) {
    this.requestId = requestId;
    this.route = route;
    this.readMs = readMs;
    this.prompt = prompt;
  }

  /** It goes to the instance that was just decided; candidates are those of the first attempt. */
  sent(placement: PlacementView, urls: readonly string[]): void {
    if (this.attempts === 0) {
      const slots = [placement.first, placement.second];
      this.candidates = slots.filter((slot) => slot >= 0).map((slot) => urls[slot]!);
      this.queueMs = placement.queuedMs;
    }
    this.attempts += 1;
    this.instance = urls[placement.chosen] ?? null;
    this.reason = placement.reason;
    this.promptTokensEstimate = placement.promptTokens;
    this.cachedTokensEstimate = placement.cachedTokens;
    this.ttftEstimateMs = placement.ttftEstimateMs;
  }

  /** One line, its end included. `nowMs`: the request ended; `unixMs`: the same on the wall. */
  line(ending: Ending, nowMs: number, unixMs: number): string {
    const durationMs = nowMs - this.readMs;
    const fields = {
      timestamp: rounded(unixMs - durationMs),
      request_id: this.requestId,
      route: this.route,
      model: this.prompt.model,
      input_length: Math.ceil(this.prompt.promptBytes / traceBytesPerToken),
      output_length: this.usage?.completionTokens ?? 0,
      hash_ids: Array.from(this.prompt.traceIds, (id) => id.toString(16).padStart(16, '0')),
      prompt_tokens: this.usage?.promptTokens ?? null,
      prompt_tokens_estimate: this.promptTokensEstimate,
      cached_tokens: this.usage?.cachedTokens ?? null,
      cached_tokens_estimate: this.cachedTokensEstimate,
      candidates: this.candidates,
      instance: this.instance,
      attempts: this.attempts,
      reason: this.reason,
      queue_ms: rounded(this.queueMs),
      ttft_ms: this.ttftMs === null ? null : rounded(this.ttftMs),
      ttft_estimate_ms: rounded(this.ttftEstimateMs),
      duration_ms: rounded(durationMs),
      ending,
      status: this.status ?? statusOfEnding[ending] ?? null,
    };
    return `${JSON.stringify(fields)}\n`;
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

export class Journal {
  readonly #stats: Pick<ThreadStats, 'add'>;
  readonly #post: (batch: JournalBatch) => void;
  #lines: string[] = [];
  #chars = 0;
  /** Those of `#lines` too. */
  #heldChars = 0;

  /** `post` hands a batch on; what became of it comes back to `settled`. */
  constructor(stats: Pick<ThreadStats, 'add'>, post: (batch: JournalBatch) => void) {
    this.#stats = stats;
    this.#post = post;
  }

  write(line: string): void {
    if (this.#heldChars + line.length > heldCharsMax) {
      this.#stats.add('journalLost', 1);
      return;
    }
    this.#lines.push(line);
    this.#chars += line.length;
    this.#heldChars += line.length;
    if (this.#chars >= batchChars) this.flush();
  }

  /** To be called every few tens of milliseconds, and at the end. */
  flush(): void {
    if (this.#lines.length === 0) return;
    const batch = { text: this.#lines.join(''), lines: this.#lines.length };
    this.#lines = [];
    this.#chars = 0;
    this.#post(batch);
  }

  settled({ chars, lines, isWritten }: JournalReceipt): void {
    this.#heldChars -= chars;
    this.#stats.add(isWritten ? 'journalWritten' : 'journalLost', lines);
  }
}
