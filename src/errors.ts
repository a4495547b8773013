import type { HeaderList } from './terms.ts';

/**
 * Every fault a client can be answered with, and every fault an instance can cause: one table each.
 * A broken invariant is none of these: it asserts and ends the process.
 */

interface FaultRow {
  readonly status: number;
  readonly type:
    | 'invalid_request_error'
    | 'authentication_error'
    | 'rate_limit_error'
    | 'server_error';
  /** What the one on call should know about it. */
  readonly meaning: string;
}

export const requestFaults = {
  invalid_json: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'the body is not JSON, not UTF-8, or not one object',
  },
  invalid_type: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'a field that the router reads has the wrong type',
  },
  empty_prompt: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'no message, no prompt or no input in the body',
  },
  too_deep: {
    status: 400,
    type: 'invalid_request_error',
    meaning: 'objects or arrays are nested deeper than the router reads',
  },
  unauthorized: {
    status: 401,
    type: 'authentication_error',
    meaning: 'the API key is missing or wrong (--api-key)',
  },
  model_not_found: {
    status: 404,
    type: 'invalid_request_error',
    meaning: 'no instance lists this model',
  },
  unknown_route: {
    status: 404,
    type: 'invalid_request_error',
    meaning: 'the router does not serve this path',
  },
  method_not_allowed: {
    status: 405,
    type: 'invalid_request_error',
    meaning: 'the path exists, the method does not',
  },
  body_timeout: {
    status: 408,
    type: 'invalid_request_error',
    meaning: 'the request body did not arrive in time',
  },
  body_too_large: {
    status: 413,
    type: 'invalid_request_error',
    meaning: 'the body exceeds --max-payload-size',
  },
  headers_too_large: {
    status: 431,
    type: 'invalid_request_error',
    meaning: 'too many or too large header fields',
  },
  overloaded: {
    status: 429,
    type: 'rate_limit_error',
    meaning: 'more requests in flight than --max-concurrent-requests',
  },
  queue_full: {
    status: 429,
    type: 'rate_limit_error',
    meaning: 'as many requests wait for an instance as --queue-size lets',
  },
  shed: {
    status: 429,
    type: 'rate_limit_error',
    meaning: 'its first token cannot come within the objective any more (--late-policy shed)',
  },
  upstream_failed: {
    status: 502,
    type: 'server_error',
    meaning: 'every serving instance was tried and failed before its first token',
  },
  no_instance: {
    status: 503,
    type: 'server_error',
    meaning: 'no instance serves at the moment',
  },
  draining: {
    status: 503,
    type: 'server_error',
    meaning: 'this router is shutting down',
  },
  queue_timeout: {
    status: 504,
    type: 'server_error',
    meaning: 'no instance had room within --queue-timeout-secs',
  },
  first_token_timeout: {
    status: 504,
    type: 'server_error',
    meaning: 'no first token within --request-timeout-secs',
  },
} as const satisfies Record<string, FaultRow>;

export type RequestFaultCode = keyof typeof requestFaults;

/** A fault that the client is told of, in OpenAI's shape. */
export class RequestFault extends Error {
  readonly code: RequestFaultCode;
  readonly param: string | null;
  readonly retryAfterSeconds: number | null;

  constructor(
    code: RequestFaultCode,
    message: string,
    options: { param?: string; retryAfterSeconds?: number } = {},
  ) {
    super(message);
    this.name = 'RequestFault';
    this.code = code;
    this.param = options.param ?? null;
    this.retryAfterSeconds = options.retryAfterSeconds ?? null;
  }

  get status(): number {
    return requestFaults[this.code].status;
  }

  /** The answer body: `{"error":{"message","type","param","code"}}`. */
  toJson(): string {
    const { type } = requestFaults[this.code];
    const error = { message: this.message, type, param: this.param, code: this.code };
    return JSON.stringify({ error });
  }

  /** Header fields that belong to this fault, content type included. */
  headers(): HeaderList {
    const list = ['content-type', 'application/json'];
    if (this.retryAfterSeconds !== null) list.push('retry-after', String(this.retryAfterSeconds));
    return list;
  }
}

/** `retryable`: before the first token the request goes to another instance. */
export const upstreamFaults = {
  connect_failed: { retryable: true, meaning: 'no connection could be opened' },
  connect_timeout: { retryable: true, meaning: 'the connection did not open in time' },
  reset: {
    retryable: true,
    meaning: 'the connection closed or broke before the answer was complete',
  },
  garbage: { retryable: true, meaning: 'the answer is not HTTP/1.1 as we accept it' },
  headers_too_large: { retryable: true, meaning: 'the response head exceeds the limits' },
  first_token_timeout: { retryable: true, meaning: 'no first token within the limit' },
  idle_timeout: { retryable: true, meaning: 'no byte within the idle limit' },
  instance_lost: { retryable: true, meaning: 'the health check declared the instance dead' },
} as const;

export type UpstreamFaultCode = keyof typeof upstreamFaults;

/** What went wrong between the router and an instance. `cause` keeps the system error. */
export class UpstreamFault extends Error {
  readonly code: UpstreamFaultCode;

  constructor(code: UpstreamFaultCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'UpstreamFault';
    this.code = code;
  }

  get retryable(): boolean {
    return upstreamFaults[this.code].retryable;
  }
}
