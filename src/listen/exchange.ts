import type { HeaderList } from '../terms.ts';

/**
 * The contract between the front ends (`uws.ts`, `http.ts`) and the router: one request from a
 * client and its answer. Everything happens on the thread that listens. No method throws once the
 * client has gone; after that, writes are no-ops.
 */
export interface Exchange {
  /** Upper case: `GET`, `POST`, ... */
  readonly method: string;
  /** Path without the query, as sent: `/v1/chat/completions`. */
  readonly path: string;
  /** Query without `?`, as sent; empty if none. */
  readonly query: string;
  /** Request header fields as received (names in lower case). */
  readonly headers: HeaderList;
  /** Address of the client as text, for the log; empty if unknown. */
  readonly remoteAddress: string;
  /** True once the client closed its connection before the answer was complete. */
  readonly gone: boolean;

  /** First value of a header field, by its lower-case name; `undefined` if absent. */
  header(name: string): string | undefined;

  /**
   * The whole request body. At least `bodyPadding` bytes follow it in the same ArrayBuffer, so that
   * the scan needs no copy. May be called once, before the handler first awaits anything: a body
   * that nobody asked for is dropped.
   *
   * Rejects with `RequestFault` `body_too_large` as soon as it is known that the body exceeds
   * `bytesMax` (from content-length, or by count), or `body_timeout`. If the client goes away the
   * promise rejects with `ClientGone`.
   */
  readBody(bytesMax: number): Promise<Uint8Array>;

  /**
   * Nobody reads or writes the body any more: its memory serves other requests. Without effect if
   * there is none, or none left.
   */
  releaseBody(): void;

  /**
   * Called once, when the client closes its connection before the answer is complete; not after
   * `end` nor after our own `destroy`. Replaces the former listener, as `onDrain` does.
   */
  onGone(listener: () => void): void;

  /**
   * Sets status and header fields; nothing is sent before the first `write` or `end`. `bodyBytes`
   * is the exact length of the answer body where it is known: the answer then carries
   * `content-length`, otherwise (-1) it is chunked. Hop-by-hop fields, `content-length` and `date`
   * are left out of `headers`, and of `added`, which come after them: two lists, so that one which
   * many answers share need not be copied.
   */
  head(status: number, headers: HeaderList, bodyBytes?: number, added?: HeaderList): void;

  /**
   * Sends answer bytes; the chunk may be reused by the caller once this returns. Returns false when
   * the client is slow: stop writing until `onDrain` (what was given is kept and will be sent).
   */
  write(chunk: Uint8Array): boolean;

  /** The listener to call each time a slow client has caught up. */
  onDrain(listener: () => void): void;

  /** Completes the answer, with a last chunk if given. */
  end(chunk?: Uint8Array | string): void;

  /** Closes the connection at once without completing the answer. */
  destroy(): void;

  /** Runs `body` with all its writes gathered into as few system calls as the front end can. */
  cork(body: () => void): void;
}

/** Bytes that must lie behind a request body (simdjson reads up to 64 past the end). */
export const bodyPadding = 64;

/** Rejection of `readBody` when the client left; not a fault, there is nobody to tell. */
export class ClientGone extends Error {
  constructor() {
    super('the client closed the connection');
    this.name = 'ClientGone';
  }
}

export interface ListenOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** True if several threads of this process listen on the same port (SO_REUSEPORT). */
  readonly shared: boolean;
  /** Header fields, and bytes of the request head, above which the answer is 431. */
  readonly headerCountMax: number;
  readonly headerBytesMax: number;
  /** A body that makes no progress for this long is answered 408. Milliseconds. */
  readonly bodyTimeoutMs: number;
}

/** Serves one exchange. Must not throw; a rejected promise is a broken invariant. */
export type ExchangeHandler = (exchange: Exchange) => void | Promise<void>;

/** A listening front end. */
export interface Listener {
  /** The port in use. */
  readonly port: number;
  /** Takes no new connections from now on; open ones go on. */
  stop(): void;
  /** Closes every connection and resolves when all are closed. */
  close(): Promise<void>;
}

/** A front end: `uws.ts` and `http.ts` each export one. Rejects if the port cannot be had. */
export type Listen = (options: ListenOptions, handler: ExchangeHandler) => Promise<Listener>;
