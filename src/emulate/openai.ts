/**
 * Owns how an inference request is read: OpenAI's JSON, checked as vLLM checks it, becomes prompt
 * bytes and limits. Pure; any thread. Four bytes of prompt are one token.
 */

export type JsonObject = Record<string, unknown>;

export const tokenBytes = 4;

/** A request that is refused, in the shape of vLLM's answer. */
export class EngineFault extends Error {
  readonly status: number;
  readonly param: string | null;

  constructor(status: number, message: string, param: string | null = null) {
    super(message);
    this.name = 'EngineFault';
    this.status = status;
    this.param = param;
  }

  toJson(): string {
    const type = faultTypes[this.status] ?? 'BadRequestError';
    const { message, param, status: code } = this;
    return JSON.stringify({ error: { message, type, param, code } });
  }
}

const faultTypes: Readonly<Record<number, string>> = {
  404: 'NotFoundError',
  405: 'MethodNotAllowedError',
  413: 'RequestEntityTooLargeError',
  500: 'InternalServerError',
  503: 'ServiceUnavailableError',
};

export interface InferenceRequest {
  readonly kind: 'chat' | 'completion' | 'embedding';
  readonly prompt: Buffer;
  readonly promptTokens: number;
  readonly cacheSalt: string;
  /** 0 for an embedding. */
  readonly outputTokens: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Vectors to answer with; 0 unless an embedding. */
  readonly inputCount: number;
  readonly base64: boolean;
}

export interface ModelLimits {
  readonly model: string;
  readonly contextTokensMax: number;
}

const outputTokensDefault = 16;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The JSON object in a body. Throws EngineFault 400. */
export function parseObject(body: Buffer): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(body));
  } catch (error) {
    throw new EngineFault(400, `JSON decode error: ${(error as Error).message}`);
  }
  if (!isObject(value)) throw new EngineFault(400, 'the body must be a JSON object');
  return value;
}

/** Reads an inference request. Throws EngineFault 400, or 404 for a model that is not served. */
export function parseInference(
  kind: InferenceRequest['kind'],
  body: JsonObject,
  limits: ModelLimits,
): InferenceRequest {
  const model = body.model ?? limits.model;
  if (model !== limits.model) {
    throw new EngineFault(404, `The model \`${String(model)}\` does not exist.`, 'model');
  }
  const inputs = kind === 'embedding' ? readInputs(body.input) : [readPrompt(kind, body)];
  const prompt = inputs.length === 1 ? inputs[0]! : Buffer.concat(inputs);
  const promptTokens = inputs.reduce((tokens, input) => tokens + countTokens(input), 0);
  const outputTokens = kind === 'embedding' ? 0 : readOutputTokens(body);
  if (promptTokens + outputTokens > limits.contextTokensMax) {
    throw new EngineFault(
      400,
      `This model's maximum context length is ${limits.contextTokensMax} tokens. However, you ` +
        `requested ${promptTokens + outputTokens} tokens (${promptTokens} in the prompt, ` +
        `${outputTokens} in the completion). Please reduce the length of the prompt or completion.`,
    );
  }
  if ((body.n ?? 1) !== 1)
    throw new EngineFault(400, 'this engine gives one choice: n must be 1', 'n');
  return {
    kind,
    prompt,
    promptTokens,
    cacheSalt: readString(body.cache_salt ?? '', 'cache_salt'),
    outputTokens,
    ...readStream(kind, body),
    inputCount: kind === 'embedding' ? inputs.length : 0,
    base64: body.encoding_format === 'base64',
  };
}

/** The bytes of a chat's `messages` or a completion's `prompt`. Throws EngineFault 400. */
export function readPrompt(kind: 'chat' | 'completion', body: JsonObject): Buffer {
  if (kind === 'chat') return Buffer.from(renderChat(body));
  const { prompt } = body;
  // One prompt in a list is that prompt; several would be several choices.
  const listed = Array.isArray(prompt) && prompt.length === 1 && !isTokenId(prompt[0]);
  return readText(listed ? prompt[0] : prompt, 'prompt');
}

export function countTokens(prompt: Buffer): number {
  return Math.ceil(prompt.length / tokenBytes);
}

/** Every four bytes are one token id, little endian; the last is filled up with zeros. */
export function tokenize(prompt: Buffer): number[] {
  const padded = Buffer.alloc(countTokens(prompt) * tokenBytes);
  prompt.copy(padded);
  return Array.from({ length: countTokens(prompt) }, (_, i) => padded.readUInt32LE(i * tokenBytes));
}

/** The inverse of `tokenize`. Throws EngineFault 400 for what is no list of token ids. */
export function tokenBytesOf(tokens: unknown, param: string): Buffer {
  if (!Array.isArray(tokens) || !tokens.every(isTokenId)) {
    throw new EngineFault(400, `${param} must be a list of token ids`, param);
  }
  const bytes = Buffer.alloc(tokens.length * tokenBytes);
  tokens.forEach((token, index) => {
    bytes.writeUInt32LE(token, index * tokenBytes);
  });
  return bytes;
}

/** ChatML, as Qwen's template writes it. Equal leading messages give equal leading text. */
function renderChat(body: JsonObject): string {
  const { messages, tools } = body;
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new EngineFault(400, 'messages must be a list of at least one message', 'messages');
  }
  let text = Array.isArray(tools) && tools.length > 0 ? `${JSON.stringify(tools)}\n` : '';
  for (const message of messages) {
    if (!isObject(message)) throw new EngineFault(400, 'a message must be an object', 'messages');
    const role = readString(message.role, 'messages.role');
    text += `<|im_start|>${role}\n${readContent(message.content)}`;
    if (Array.isArray(message.tool_calls)) text += JSON.stringify(message.tool_calls);
    text += '<|im_end|>\n';
  }
  return `${text}<|im_start|>assistant\n`;
}

function readContent(content: unknown): string {
  if (content === undefined || content === null) return '';
  if (!Array.isArray(content)) return readString(content, 'messages.content');
  return content
    .map((part: unknown) => {
      if (typeof part === 'string') return part;
      if (isObject(part) && part.type === 'text') return readString(part.text, 'messages.content');
      throw new EngineFault(400, 'this model takes text content only', 'messages.content');
    })
    .join('');
}

function readInputs(input: unknown): Buffer[] {
  const several = Array.isArray(input) && input.length > 0 && !isTokenId(input[0]);
  return several ? input.map((item) => readText(item, 'input')) : [readText(input, 'input')];
}

/** A string, or a list of token ids; not empty. */
function readText(value: unknown, param: string): Buffer {
  if (value === '' || (Array.isArray(value) && value.length === 0)) {
    throw new EngineFault(400, `${param} must not be empty`, param);
  }
  if (typeof value === 'string') return Buffer.from(value);
  if (Array.isArray(value) && isTokenId(value[0])) return tokenBytesOf(value, param);
  throw new EngineFault(400, `${param} must be one text or one list of token ids`, param);
}

function readOutputTokens(body: JsonObject): number {
  const param = body.max_completion_tokens == null ? 'max_tokens' : 'max_completion_tokens';
  const value = body[param] ?? outputTokensDefault;
  if (!Number.isInteger(value) || (value as number) < 1) {
    throw new EngineFault(400, `${param} must be at least 1, got ${JSON.stringify(value)}.`, param);
  }
  return value as number;
}

function readStream(
  kind: InferenceRequest['kind'],
  body: JsonObject,
): { stream: boolean; includeUsage: boolean } {
  const stream = body.stream ?? false;
  if (typeof stream !== 'boolean') throw new EngineFault(400, 'stream must be a boolean', 'stream');
  const options = body.stream_options ?? null;
  if (options === null || kind === 'embedding') {
    return { stream: stream && kind !== 'embedding', includeUsage: false };
  }
  if (!stream) {
    const message = 'Stream options can only be defined when `stream=True`.';
    throw new EngineFault(400, message, 'stream_options');
  }
  if (!isObject(options)) {
    throw new EngineFault(400, 'stream_options must be an object', 'stream_options');
  }
  return { stream, includeUsage: options.include_usage === true };
}

function readString(value: unknown, param: string): string {
  if (typeof value === 'string') return value;
  throw new EngineFault(400, `${param} must be a string`, param);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTokenId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;
}
