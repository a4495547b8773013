import type { UpstreamFault } from '../errors.ts';
import type { HeaderList } from '../terms.ts';

/**
 * The contract of everything that sends a request to an instance and hands its answer back:
 * `undici.ts` (TLS, HTTP/2) and `native.ts` (HTTP/1.1). One suite tests them all.
 */
export interface Upstream {
  /**
   * Sends a request. Never throws and never calls the handler before it returns. Faults reach
   * `onFault`. There is no retry in here except that of a kept-alive connection which the instance
   * had closed before one response byte.
   */
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall;
  /** Ends idle connections and resolves when all are closed. Calls in flight are cancelled. */
  close(): Promise<void>;
}

export interface UpstreamRequest {
  /**
   * Base URL of the instance without a trailing slash: `http://10.0.0.1:8000`, `unix:/run/e.sock`.
   */
  readonly origin: string;
  readonly method: string;
  /** Path with query: `/v1/chat/completions?x=1`. */
  readonly path: string;
  /**
   * No hop-by-hop fields, no `content-length`, no `host`: the client writes these itself. Fields
   * that HTTP cannot carry are left out.
   */
  readonly headers: HeaderList;
  /** Not changed, and not kept after the answer's end, fault or cancel. `null`: no body. */
  readonly body: Uint8Array | null;
}

/**
 * Called in the order onHead, onData..., then exactly one of onEnd, onFault; or onFault alone.
 * Nothing is called after `cancel()`. Header text is byte strings: one character, one byte.
 */
export interface UpstreamHandler {
  /**
   * Final status (1xx are swallowed) and fields as received; hop-by-hop fields are already removed,
   * `content-length` too. `bodyBytes` is the announced length, of answers to HEAD and of 304 too,
   * -1 if unknown.
   */
  onHead(status: number, headers: HeaderList, bodyBytes: number): void;
  /** Body bytes, unframed, at least one. The view dies when the call returns. */
  onData(chunk: Uint8Array): void;
  onEnd(): void;
  onFault(fault: UpstreamFault): void;
  /**
   * A client that hears of several events at once wraps them: `deliver` calls `onHead`, `onData`,
   * ... for all that one loop turn brought, and must be called once, before this returns.
   */
  onTurn?(deliver: () => void): void;
}

export interface UpstreamCall {
  /**
   * True as soon as nothing reads the request body any more. At the latest when the call has ended
   * or was cancelled, by a client that can tell.
   */
  readonly isBodyFree: boolean;
  /** Stops reading from the instance; what was already read may still arrive. */
  pause(): void;
  resume(): void;
  /** Closes the connection at once, so that the engine stops work. Idempotent. */
  cancel(): void;
}

/** Limits of an upstream. All times in milliseconds; `null` is off. */
export interface UpstreamOptions {
  readonly connectTimeoutMs: number;
  /** From the request sent to the first body byte; `null`: the router keeps its own deadline. */
  readonly firstByteTimeoutMs: number | null;
  /** Between two body bytes. */
  readonly idleTimeoutMs: number | null;
  readonly headBytesMax: number;
  readonly connectionsPerInstanceMax: number;
}

export const upstreamDefaults: UpstreamOptions = {
  connectTimeoutMs: 5_000,
  firstByteTimeoutMs: null,
  idleTimeoutMs: null,
  headBytesMax: 65_536,
  connectionsPerInstanceMax: 4_096,
};
