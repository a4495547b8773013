import type { Job } from './engine.ts';
import type { InferenceRequest } from './openai.ts';

/**
 * Owns the shapes of an engine's answers, as vLLM writes them. Pure; any thread. What is the same
 * in every event of a stream is written once per request.
 */

const word = ' token';

/** What identifies one answer. */
export interface AnswerLabel {
  readonly id: string;
  readonly model: string;
  /** Seconds since 1970. */
  readonly created: number;
}

const objects = {
  chat: { whole: 'chat.completion', chunk: 'chat.completion.chunk' },
  completion: { whole: 'text_completion', chunk: 'text_completion' },
} as const;

type Generation = 'chat' | 'completion';

function usageOf(request: InferenceRequest, job: Job): object {
  return {
    prompt_tokens: request.promptTokens,
    total_tokens: request.promptTokens + job.producedTokens,
    completion_tokens: job.producedTokens,
    prompt_tokens_details: { cached_tokens: job.cachedTokens },
  };
}

/** The answer without a stream. */
export function wholeAnswer(
  kind: Generation,
  label: AnswerLabel,
  request: InferenceRequest,
  job: Job,
): string {
  const text = word.repeat(job.producedTokens);
  const content =
    kind === 'chat' ? { message: { role: 'assistant', content: text, tool_calls: [] } } : { text };
  return JSON.stringify({
    id: label.id,
    object: objects[kind].whole,
    created: label.created,
    model: label.model,
    choices: [{ index: 0, ...content, logprobs: null, finish_reason: 'length', stop_reason: null }],
    usage: usageOf(request, job),
  });
}

/** Writes the events of one stream. */
export class StreamWriter {
  readonly #request: InferenceRequest;
  readonly #label: AnswerLabel;
  readonly #object: string;
  #opening: string;
  readonly #token: string;
  readonly #last: string;

  constructor(kind: Generation, label: AnswerLabel, request: InferenceRequest) {
    this.#request = request;
    this.#label = label;
    this.#object = objects[kind].chunk;
    const chat = kind === 'chat';
    const content = chat ? { delta: { content: word } } : { text: word };
    this.#opening = chat ? this.#choice({ delta: { role: 'assistant', content: '' } }, null) : '';
    this.#token = this.#choice(content, null);
    this.#last = this.#choice(content, 'length');
  }

  /** Events for `newTokens` more tokens of the job, and the end of the stream if it is finished. */
  events(job: Job, newTokens: number): string {
    const opening = this.#opening;
    this.#opening = '';
    if (job.state !== 'finished') return opening + this.#token.repeat(newTokens);
    const text = opening + this.#token.repeat(newTokens - 1) + this.#last;
    const usage = { usage: usageOf(this.#request, job) };
    return `${text}${this.#request.includeUsage ? this.#event([], usage) : ''}data: [DONE]\n\n`;
  }

  #choice(content: object, finishReason: string | null): string {
    return this.#event(
      [{ index: 0, ...content, logprobs: null, finish_reason: finishReason }],
      this.#request.includeUsage ? { usage: null } : {},
    );
  }

  #event(choices: readonly object[], usage: object): string {
    const { id, created, model } = this.#label;
    const object = this.#object;
    return `data: ${JSON.stringify({ id, object, created, model, choices, ...usage })}\n\n`;
  }
}

/** One small vector an input, different for different prompts. */
export function embeddingAnswer(label: AnswerLabel, request: InferenceRequest): string {
  const data = Array.from({ length: request.inputCount }, (_, index) => {
    const vector = new Float32Array(8).map((_, i) => Math.sin(request.promptTokens + index + i));
    const embedding = request.base64
      ? Buffer.from(vector.buffer).toString('base64')
      : Array.from(vector);
    return { index, object: 'embedding', embedding };
  });
  const usage = {
    prompt_tokens: request.promptTokens,
    total_tokens: request.promptTokens,
    completion_tokens: 0,
    prompt_tokens_details: null,
  };
  return JSON.stringify({
    id: label.id,
    object: 'list',
    created: label.created,
    model: label.model,
    data,
    usage,
  });
}

/** `GET /v1/models`. */
export function modelsAnswer(model: string, created: number, contextTokensMax: number): string {
  const card = {
    id: model,
    object: 'model',
    created,
    owned_by: 'vllm',
    root: model,
    parent: null,
    max_model_len: contextTokensMax,
    permission: [],
  };
  return JSON.stringify({ object: 'list', data: [card] });
}
