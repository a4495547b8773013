import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { eventually } from './listen-client.ts';

/**
 * An HTTP client that never rejects: an answer that breaks off is a result like any other, and what
 * had arrived by then can be looked at, also while it arrives.
 */

export interface HttpAnswer {
  /** `null`: the connection ended before a head. */
  readonly status: number | null;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Ended as its framing said it would. */
  readonly complete: boolean;
  /** Since the request was begun; `null`: no body byte came. */
  readonly firstByteMs: number | null;
}

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  /** An object is sent as JSON. */
  readonly body?: object | string | Buffer;
}

/** A request under way. */
export class HttpCall {
  readonly answer: Promise<HttpAnswer>;
  readonly #pieces: Buffer[] = [];
  #response: IncomingMessage | null = null;
  #firstByteMs: number | null = null;
  #abort: () => void = () => undefined;

  constructor(url: string, options: CallOptions, agent: Agent) {
    const startMs = performance.now();
    const { body } = options;
    const isJson = typeof body === 'object' && !Buffer.isBuffer(body);
    const headers = isJson
      ? { 'content-type': 'application/json', ...options.headers }
      : options.headers;
    const method = options.method ?? (body === undefined ? 'GET' : 'POST');
    this.answer = new Promise((resolve) => {
      const outgoing = request(url, { method, agent, headers: headers ?? {} }, (response) => {
        this.#response = response;
        response.on('data', (piece: Buffer) => {
          this.#firstByteMs ??= performance.now() - startMs;
          this.#pieces.push(piece);
        });
        // A broken answer ends with an error and then closes: the close is enough.
        response.on('error', () => response.destroy());
        response.on('close', () => resolve(this.#result()));
      });
      outgoing.on('error', () => {
        if (this.#response === null) resolve(this.#result());
      });
      this.#abort = () => outgoing.destroy();
      outgoing.end(isJson ? JSON.stringify(body) : body);
    });
  }

  /** The part of the answer's body that has arrived. */
  get received(): Buffer {
    return Buffer.concat(this.#pieces);
  }

  get status(): number | null {
    return this.#response?.statusCode ?? null;
  }

  async untilReceived(text: string): Promise<void> {
    await eventually(() => this.received.includes(text), `an answer with ${text}`);
  }

  /** Closes the connection. */
  abort(): void {
    this.#abort();
  }

  pause(): void {
    this.#response?.pause();
  }

  resume(): void {
    this.#response?.resume();
  }

  #result(): HttpAnswer {
    const response = this.#response;
    return {
      status: response?.statusCode ?? null,
      headers: response?.headers ?? {},
      body: this.received,
      complete: response?.complete ?? false,
      firstByteMs: this.#firstByteMs,
    };
  }
}

export class HttpClient {
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(url: string) {
    this.#url = url;
  }

  begin(path: string, options: CallOptions = {}): HttpCall {
    return new HttpCall(this.#url + path, options, this.#agent);
  }

  get(path: string): Promise<HttpAnswer> {
    return this.begin(path).answer;
  }

  post(path: string, body: object, headers: Record<string, string> = {}): Promise<HttpAnswer> {
    return this.begin(path, { body, headers }).answer;
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** The `data` of every server-sent event in an answer. */
export function eventsOf(body: Buffer): string[] {
  const events = body.toString('utf8').split('\n\n');
  return events
    .filter((event) => event.startsWith('data: '))
    .map((event) => event.slice('data: '.length));
}

/** An event stream that went through to its end. */
export function isWholeStream({ complete, body }: HttpAnswer): boolean {
  return complete && eventsOf(body).at(-1) === '[DONE]';
}

export interface ErrorObject {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
}

/** The error of an answer in OpenAI's shape; throws if it has another shape. */
export function errorOf({ body, headers }: HttpAnswer): ErrorObject {
  if (headers['content-type'] !== 'application/json') throw new Error('an error that is not JSON');
  const { error } = JSON.parse(body.toString()) as { error: ErrorObject };
  const { message, type, param, code } = error;
  const isText = typeof message === 'string' && message !== '' && typeof type === 'string';
  if (!isText || param === undefined || code === undefined) throw new Error(`not OpenAI: ${body}`);
  return error;
}
