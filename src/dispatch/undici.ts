import { Agent, type Client, type Dispatcher } from 'undici';
import { UpstreamFault } from '../errors.ts';
import { sendableFields } from './fields.ts';
import {
  brokenAnswerCode,
  connectFaultCode,
  describe,
  isWhole304,
  readFields,
} from './undici-answer.ts';
import { type Attempt, ClientFactory } from './undici-client.ts';
import type {
  Upstream,
  UpstreamCall,
  UpstreamHandler,
  UpstreamOptions,
  UpstreamRequest,
} from './upstream.ts';

/**
 * The `Upstream` for everything undici can speak: HTTP/1.1, TLS, HTTP/2 (https only, one request at
 * a time on a connection) and Unix sockets (`unix:/run/engine.sock`). One pool per origin; a client
 * in it is one connection and serves one request at a time, which `Link` relies on.
 *
 * One upstream belongs to the thread that made it. It must never keep time limits of undici's own
 * (they fire after 300 s and have half a second of play), and never let undici answer for a broken
 * invariant: what a handler throws ends the process.
 *
 * Where undici is stricter than the contract: an unasked-for `100 Continue` is `garbage`. Where its
 * parser is more lenient than RFC 9112: it takes HTTP/2.0 in a status line, a status of 600 and
 * above, chunked from HTTP/1.0 and empty lines before the head; none of these shifts a boundary.
 * Until a connection is open, `cancel` cannot take the attempt back: it ends unused within
 * `connectTimeoutMs`. The connection of a cancelled request is replaced by a new one, idle.
 */
export function createUndiciUpstream(options: UpstreamOptions): Upstream {
  return new UndiciUpstream(options);
}

class UndiciUpstream implements Upstream {
  readonly #limits: UpstreamOptions;
  readonly #agent: Agent;
  readonly #calls = new Set<Call>();
  readonly #retryClients = new Set<Client>();
  readonly #clients: ClientFactory;

  constructor(limits: UpstreamOptions) {
    this.#limits = limits;
    this.#clients = new ClientFactory(limits);
    this.#agent = new Agent({ factory: (origin) => this.#clients.pool(String(origin)) });
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    // Not `request` itself: what the closures hold lives as long as the call, so would the body.
    const { origin } = request;
    const call = new Call(this.#limits, request, handler, {
      retry: () => this.#sendOnNewConnection(origin, call),
      ended: () => this.#calls.delete(call),
    });
    this.#calls.add(call);
    outsideCallbacks(() => call.dispatchBy(this.#agent));
    return call;
  }

  async close(): Promise<void> {
    for (const call of this.#calls) call.cancel();
    const clients = [this.#agent, ...this.#retryClients];
    await Promise.all(clients.map((client) => client.destroy()));
  }

  /**
   * A pool might hand out one more connection that the instance has closed. This cannot, so there
   * is no second retry either.
   */
  #sendOnNewConnection(origin: string, call: Call): void {
    const client = this.#clients.client(origin);
    this.#retryClients.add(client);
    call.dispatchBy(client);
    void client.close().finally(() => this.#retryClients.delete(client));
  }
}

/**
 * Above 0 while a handler runs. undici's parser is shared by all connections and must not be
 * entered again from within a callback of its own, and nothing may reach a handler before `send`
 * returns.
 */
let callbackDepth = 0;

function outsideCallbacks(action: () => void): void {
  if (callbackDepth > 0) queueMicrotask(action);
  else action();
}

/** A handler must not throw; undici would report that as a fault of the instance. */
function deliver(event: () => void): void {
  callbackDepth += 1;
  try {
    event();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  } finally {
    callbackDepth -= 1;
  }
}

const cancelled = new Error('the request was cancelled');

interface CallOwner {
  retry(): void;
  ended(): void;
}

class Call implements UpstreamCall, Dispatcher.DispatchHandler {
  readonly #limits: UpstreamOptions;
  readonly #handler: UpstreamHandler;
  readonly #owner: CallOwner;
  readonly #attempt: Attempt;
  /** Set once the request is on a connection. */
  #controller: Dispatcher.DispatchController | null = null;
  #timer: NodeJS.Timeout | null = null;
  #dispatching = false;
  #paused = false;
  #ended = false;
  /** The connection had served a request before this one. */
  #reused = false;
  /** How far the answer has come. Moves only forward. */
  #seen: 'nothing' | 'byte' | 'head' | 'body' = 'nothing';
  #status = 0;
  /** Nobody can tell what of it lies in the queues of Node's sockets. */
  readonly isBodyFree = false;

  constructor(
    limits: UpstreamOptions,
    request: UpstreamRequest,
    handler: UpstreamHandler,
    owner: CallOwner,
  ) {
    const { origin, method, path, body } = request;
    const headers = sendableFields(request.headers);
    this.#limits = limits;
    this.#handler = handler;
    this.#owner = owner;
    this.#attempt = { origin, method, path, headers, body, link: null };
  }

  dispatchBy(dispatcher: Dispatcher): void {
    if (this.#ended) return;
    this.#dispatching = true;
    dispatcher.dispatch(this.#attempt, this);
    this.#dispatching = false;
  }

  pause(): void {
    this.#paused = true;
    if (this.#seen === 'body') this.#stopTimer();
    this.#controller?.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    outsideCallbacks(() => {
      if (this.#paused || this.#ended) return;
      if (this.#seen === 'body') this.#startTimer(this.#limits.idleTimeoutMs, 'idle_timeout');
      this.#controller?.resume();
    });
  }

  cancel(): void {
    if (this.#ended) return;
    const controller = this.#controller;
    this.#end();
    controller?.abort(cancelled);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#ended) {
      controller.abort(cancelled);
      return;
    }
    const { link } = this.#attempt;
    this.#controller = controller;
    this.#reused = link !== null && link.requestCount++ > 0;
    if (this.#paused) controller.pause();
    this.#startTimer(this.#limits.firstByteTimeoutMs, 'first_token_timeout');
  }

  onResponseStarted(): void {
    if (this.#seen === 'nothing') this.#seen = 'byte';
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200 || this.#ended) return;
    this.#seen = 'head';
    this.#status = status;
    const { fields, bodyBytes, coded } = readFields(controller.rawHeaders as Buffer[]);
    if (coded) {
      this.#fail(new UpstreamFault('garbage', 'a transfer coding other than chunked'));
      controller.abort(cancelled);
      return;
    }
    deliver(() => this.#handler.onHead(status, fields, bodyBytes));
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // undici flushes its parser with empty chunks; the first byte of a body is one that exists.
    if (this.#ended || chunk.byteLength === 0) return;
    if (this.#seen === 'body') {
      this.#timer?.refresh();
    } else {
      this.#seen = 'body';
      if (this.#paused) this.#stopTimer();
      else this.#startTimer(this.#limits.idleTimeoutMs, 'idle_timeout');
    }
    deliver(() => this.#handler.onData(chunk));
  }

  onResponseEnd(): void {
    if (this.#ended) return;
    // Answered before the whole request was written: the rest must neither be kept nor be sent.
    const socket = this.#attempt.link?.socket;
    if (socket && socket.writableLength > 0) socket.destroy();
    this.#end();
    deliver(() => this.#handler.onEnd());
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#ended) return;
    if (isWhole304(error, this.#status)) {
      this.onResponseEnd();
      return;
    }
    const connected = this.#controller !== null || this.#attempt.link?.socket != null;
    const code = connected ? brokenAnswerCode(error, this.#seen) : connectFaultCode(error);
    // Not yet started but connected: a kept-alive connection broke while undici probed it.
    const stale = this.#reused || (connected && this.#controller === null);
    if (code === 'reset' && stale && this.#seen === 'nothing') {
      this.#controller = null;
      this.#stopTimer();
      queueMicrotask(this.#owner.retry);
      return;
    }
    this.#fail(new UpstreamFault(code, describe(error), error));
  }

  #fail(fault: UpstreamFault): void {
    if (this.#dispatching) {
      queueMicrotask(() => this.#fail(fault));
      return;
    }
    if (this.#ended) return;
    this.#end();
    deliver(() => this.#handler.onFault(fault));
  }

  #end(): void {
    this.#ended = true;
    this.#stopTimer();
    // Neither a request in undici's queue nor a call that somebody kept may hold the body.
    this.#attempt.body = null;
    this.#controller = null;
    this.#owner.ended();
  }

  #startTimer(limitMs: number | null, code: 'first_token_timeout' | 'idle_timeout'): void {
    this.#stopTimer();
    if (limitMs === null) return;
    this.#timer = setTimeout(() => {
      const controller = this.#controller;
      this.#fail(new UpstreamFault(code, `no byte of the answer's body within ${limitMs} ms`));
      controller?.abort(cancelled);
    }, limitMs);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
