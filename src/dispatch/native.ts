import { getSystemErrorName } from 'node:util';
import {
  eventDoubles,
  eventInts,
  eventKinds,
  type UpstreamAddon,
  type UpstreamClient,
} from '../core/upstream-addon.ts';
import { UpstreamFault, type UpstreamFaultCode } from '../errors.ts';
import type { HeaderList } from '../terms.ts';
import { sendableFields } from './fields.ts';
import { type Endpoint, readOrigin, unfitForLatin1, writeHead } from './native-request.ts';
import type {
  Upstream,
  UpstreamCall,
  UpstreamHandler,
  UpstreamOptions,
  UpstreamRequest,
} from './upstream.ts';

/**
 * The `Upstream` of the fast path: plain HTTP/1.1 by the client in native/upstream, on the loop of
 * the thread that made it (main or worker). All events of a loop turn arrive in one call of
 * `#deliver`, grouped by call; a chunk costs one view. Everything that decides is in C++: this file
 * puts request heads together and hands events out. It must never keep a view on the arena past its
 * callback.
 */
export function createNativeUpstream(
  addon: UpstreamAddon,
  options: NativeUpstreamOptions,
): Upstream {
  return new NativeUpstream(addon, options);
}

export interface NativeUpstreamOptions extends UpstreamOptions {
  /** A kept-alive connection that nobody used for so long is closed; 60 s if left out. */
  readonly pooledMs?: number;
  /** A host name is looked up again after so long; 30 s if left out. */
  readonly addressTtlMs?: number;
}

/** By `FaultCode` of native/upstream/event_batch.h. */
const faults: readonly (readonly [UpstreamFaultCode, string])[] = [
  ['connect_failed', 'no connection could be opened'],
  ['connect_timeout', 'the connection did not open in time'],
  ['reset', 'the connection ended before the answer was complete'],
  ['garbage', 'the answer is not HTTP/1.1 as we accept it'],
  ['headers_too_large', 'the response head exceeds the limits'],
  ['first_token_timeout', 'no byte of the answer body in time'],
  ['idle_timeout', 'no further byte of the answer body in time'],
];

interface Origin {
  readonly number: number;
  readonly endpoint: Endpoint;
}

class NativeUpstream implements Upstream {
  readonly #client: UpstreamClient;
  readonly #ints: Int32Array;
  readonly #doubles: Float64Array;
  readonly #arena: ArrayBuffer;
  /** Every origin ever asked for; `null` is none. */
  readonly #origins = new Map<string, Origin | null>();
  /** By number. What is in here keeps the request body alive that C++ has borrowed. */
  readonly #calls: (NativeCall | undefined)[] = [];
  /** Field lists of recent heads by the numbers of C++, so that equal heads share one list. */
  readonly #lists: HeaderList[] = [];
  #newLists = 0;
  /** The group of events being handed out. */
  #at = 0;
  #groupEnd = 0;
  #groupCall: NativeCall | undefined;
  #closed: Promise<void> | null = null;

  constructor(addon: UpstreamAddon, options: NativeUpstreamOptions) {
    const limits = {
      connectTimeoutMs: options.connectTimeoutMs,
      firstByteTimeoutMs: options.firstByteTimeoutMs ?? -1,
      idleTimeoutMs: options.idleTimeoutMs ?? -1,
      headBytesMax: options.headBytesMax,
      connectionsPerInstanceMax: options.connectionsPerInstanceMax,
      pooledMs: options.pooledMs ?? 60_000,
      addressTtlMs: options.addressTtlMs ?? 30_000,
    };
    this.#client = addon.createUpstream(limits, (count) => this.#deliver(count));
    this.#ints = new Int32Array(this.#client.events);
    this.#doubles = new Float64Array(this.#client.events);
    this.#arena = this.#client.arena;
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const call = new NativeCall(this.#client, handler, request.body);
    if (this.#closed !== null) return call.refuse('the upstream is closed');
    const origin = this.#originOf(request.origin);
    if (origin === null) return call.refuse(`no origin of plain HTTP: ${request.origin}`);
    const number = this.#start(origin, request);
    if (number < 0) return call.refuse('method or target cannot be sent');
    call.number = number;
    this.#calls[number] = call;
    call.calls = this.#calls;
    return call;
  }

  close(): Promise<void> {
    if (this.#closed !== null) return this.#closed;
    for (const call of this.#calls) call?.end();
    this.#closed = new Promise((resolve) => {
      this.#client.close(resolve);
    });
    return this.#closed;
  }

  /** The number of the call, or -1. */
  #start(origin: Origin, request: UpstreamRequest): number {
    const { number, endpoint } = origin;
    const { body, headers } = request;
    const isHead = request.method === 'HEAD';
    const head = writeHead(request, headers, endpoint);
    const call = this.#client.start(number, head.text, head.fieldCount, body, isHead, false);
    if (call >= 0) return call;
    // Rare: a character that is not ASCII, or one that HTTP cannot carry.
    if (unfitForLatin1.test(request.method + request.path)) return -1;
    const clean = writeHead(request, sendableFields(headers), endpoint);
    return this.#client.start(number, clean.text, clean.fieldCount, body, isHead, true);
  }

  #originOf(text: string): Origin | null {
    const known = this.#origins.get(text);
    if (known !== undefined) return known;
    const endpoint = readOrigin(text);
    const number = endpoint === null ? -1 : this.#client.addOrigin(endpoint.host, endpoint.port);
    const origin = endpoint === null || number < 0 ? null : { number, endpoint };
    this.#origins.set(text, origin);
    return origin;
  }

  /** Called by C++ once a loop turn. */
  #deliver(eventCount: number): void {
    this.#newLists = 0;
    this.#at = 0;
    while (this.#at < eventCount) {
      const number = this.#ints[this.#at * eventInts + 1]!;
      let end = this.#at + 1;
      while (end < eventCount && this.#ints[end * eventInts + 1] === number) end += 1;
      this.#groupEnd = end;
      this.#groupCall = this.#calls[number];
      try {
        this.#groupCall?.handler.onTurn?.(this.#deliverGroup);
      } catch (error) {
        throwLater(error);
      }
      this.#deliverGroup();
    }
    this.#groupCall = undefined;
  }

  readonly #deliverGroup = (): void => {
    while (this.#at < this.#groupEnd) {
      const event = this.#at;
      this.#at += 1;
      // One call's broken invariant must not swallow the events of all others.
      try {
        this.#handOut(this.#groupCall, event);
      } catch (error) {
        throwLater(error);
      }
    }
  };

  #handOut(call: NativeCall | undefined, event: number): void {
    const at = event * eventInts;
    const kind = this.#ints[at]!;
    const first = this.#ints[at + 2]!;
    const second = this.#ints[at + 3]!;
    // Of a cancelled call too: later heads count on it.
    const list = kind === eventKinds.head ? this.#listOf(second) : noFields;
    if (call === undefined || call.number < 0) return;
    const { handler } = call;
    if (kind === eventKinds.data) {
      handler.onData(new Uint8Array(this.#arena, first, second));
    } else if (kind === eventKinds.head) {
      call.isBodyFree = (first & headAfterBody) !== 0;
      handler.onHead(first & statusMask, list, this.#doubles[event * eventDoubles + 2]!);
    } else {
      call.end();
      if (kind === eventKinds.end) handler.onEnd();
      else handler.onFault(faultOf(first, second));
    }
  }

  /** A number below 0 is that of a list which is new, complemented. */
  #listOf(number: number): HeaderList {
    if (number >= 0) return this.#lists[number]!;
    const text = this.#client.newFields(this.#newLists);
    this.#newLists += 1;
    // Shared by every answer with an equal head.
    const list: HeaderList = text === '' ? noFields : Object.freeze(text.split('\n'));
    this.#lists[~number] = list;
    return list;
  }
}

const noFields: HeaderList = Object.freeze([]);

/** The first number of a head event: the status, and whether the request had left before it. */
const statusMask = 0xffff;
const headAfterBody = 0x10000;

class NativeCall implements UpstreamCall {
  readonly handler: UpstreamHandler;
  /** -1 before it is in C++'s hands, and after its end. */
  number = -1;
  isBodyFree = false;
  calls: (NativeCall | undefined)[] = [];
  /** Only held, until the end: see `#calls`. */
  body: Uint8Array | null;
  readonly #client: UpstreamClient;
  #isRefused = false;

  constructor(client: UpstreamClient, handler: UpstreamHandler, body: Uint8Array | null) {
    this.#client = client;
    this.handler = handler;
    this.body = body;
  }

  pause(): void {
    if (this.number >= 0) this.#client.pause(this.number);
  }

  resume(): void {
    if (this.number >= 0) this.#client.resume(this.number);
  }

  cancel(): void {
    this.#isRefused = false;
    if (this.number < 0) return;
    this.#client.cancel(this.number);
    this.end();
  }

  /** Gives number and body back. */
  end(): void {
    this.calls[this.number] = undefined;
    this.number = -1;
    this.body = null;
    this.isBodyFree = true;
  }

  /** The request cannot be sent at all; the handler hears of it once `send` has returned. */
  refuse(message: string): this {
    this.#isRefused = true;
    queueMicrotask(() => {
      if (this.#isRefused) this.handler.onFault(new UpstreamFault('connect_failed', message));
    });
    return this;
  }
}

function faultOf(code: number, systemError: number): UpstreamFault {
  const [name, message] = faults[code]!;
  if (systemError === 0) return new UpstreamFault(name, message);
  const systemName = getSystemErrorName(systemError);
  const cause = Object.assign(new Error(systemName), { code: systemName, errno: systemError });
  return new UpstreamFault(name, `${message}: ${systemName}`, cause);
}

function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
