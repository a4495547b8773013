import { readUsage, type Usage } from '../core/usage.ts';
import type {
  Upstream,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
} from '../dispatch/upstream.ts';
import { RequestFault, type UpstreamFault } from '../errors.ts';
import type { Exchange } from '../listen/exchange.ts';
import type { HeaderList } from '../terms.ts';
import { FirstToken } from './first-token.ts';
import { UsageTail } from './usage.ts';

/**
 * Copies one instance's answer to one client, unchanged, with back-pressure both ways, and says how
 * it ended. Head and bytes are held until the first token, so a failure before it has sent nothing
 * and the request can be relayed anew from another instance. On the thread of the exchange; it
 * allocates nothing per chunk, knows no policy and no counters, and never retries by itself.
 */
export interface RelayHooks {
  /**
   * True for requests whose streamed answer carries choices (chat, completions): the first token is
   * then the first event with a choice. Otherwise, and in answers that are not
   * `text/event-stream`, not 2xx or compressed, the first body byte counts.
   */
  readonly waitsForChoice: boolean;
  /** Asked once for the final head. `retry`: the call is cancelled and nothing is relayed. */
  decideHead(status: number, headers: HeaderList): 'relay' | 'retry';
  /** Asked when the head goes to the client: what it gets of the instance's fields. */
  answerHeaders(status: number, headers: HeaderList): HeaderList;
  /** What it gets after them. */
  readonly addedHeaders: HeaderList;
  /**
   * Called at most once, when the first token (`streamed`) or the first body byte has been written.
   * Not called for an answer without a body, nor for one that begins with an error event.
   */
  onFirstToken(streamed: boolean): void;
}

export type RelayOutcome =
  | { readonly kind: 'completed'; readonly status: number; readonly usage: Usage | null }
  | { readonly kind: 'clientGone' }
  /**
   * Nothing was sent to the client. `fault` is `null` if `decideHead` said `retry`; `status` is `null`
   * if there was no head.
   */
  | {
      readonly kind: 'failedBeforeFirstToken';
      readonly fault: UpstreamFault | null;
      readonly status: number | null;
    }
  /** The answer had begun, with its first token or an error event: the client's is broken off. */
  | { readonly kind: 'failedAfterFirstToken'; readonly fault: UpstreamFault };

export interface Relay {
  /** Never rejects. Once it resolves, the upstream's connection is given back or closed. */
  readonly outcome: Promise<RelayOutcome>;
  /**
   * Ends the call as if the instance had failed with `fault` (`instance_lost`, a deadline). After
   * the outcome it does nothing.
   */
  abort(fault: UpstreamFault): void;
  /** See `UpstreamCall`. */
  readonly isBodyFree: boolean;
}

/** Sends `request` and relays its answer to `exchange`, whose `onGone` and `onDrain` it takes over. */
export function relayAnswer(
  upstream: Upstream,
  request: UpstreamRequest,
  exchange: Exchange,
  hooks: RelayHooks,
): Relay {
  return new AnswerRelay(upstream, request, exchange, hooks);
}

class AnswerRelay implements Relay, UpstreamHandler {
  readonly outcome: Promise<RelayOutcome>;
  readonly #exchange: Exchange;
  readonly #hooks: RelayHooks;
  /** Of an answer that comes in pieces. */
  #usageTail: UsageTail | null = null;
  #usageOfWhole: Usage | null = null;
  /** `null` only if the client had gone before anything was sent. */
  readonly #call: UpstreamCall | null;
  #resolve: (outcome: RelayOutcome) => void = () => undefined;
  #phase: 'beforeHead' | 'holding' | 'relaying' | 'done' = 'beforeHead';
  #status = 0;
  #headers: HeaderList = noFields;
  #bodyBytes = -1;
  #isEventStream = false;
  #detector: FirstToken | null = null;
  #paused = false;
  #isInTurn = false;
  /** The client's answer was broken off: its connection is closed, at the end of the turn. */
  #isBroken = false;
  /** The whole body came in the first piece: the client has it, whatever becomes of the call. */
  #isSent = false;

  constructor(upstream: Upstream, request: UpstreamRequest, exchange: Exchange, hooks: RelayHooks) {
    this.#exchange = exchange;
    this.#hooks = hooks;
    this.outcome = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    if (exchange.gone) {
      this.#call = null;
      this.#finish({ kind: 'clientGone' });
      return;
    }
    exchange.onGone(() => this.#onGone());
    this.#call = upstream.send(request, this);
  }

  get isBodyFree(): boolean {
    return this.#call === null || this.#call.isBodyFree;
  }

  abort(fault: UpstreamFault): void {
    if (this.#phase === 'done') return;
    this.#call?.cancel();
    this.onFault(fault);
  }

  /** All that one loop turn brought: one write to the client. */
  onTurn(deliver: () => void): void {
    this.#isInTurn = true;
    this.#exchange.cork(deliver);
    this.#isInTurn = false;
    if (this.#isBroken) this.#exchange.destroy();
  }

  onHead(status: number, headers: HeaderList, bodyBytes: number): void {
    this.#status = status;
    if (this.#hooks.decideHead(status, headers) === 'retry') {
      this.#call?.cancel();
      this.#finish({ kind: 'failedBeforeFirstToken', fault: null, status });
      return;
    }
    this.#phase = 'holding';
    this.#headers = headers;
    this.#bodyBytes = bodyBytes;
    this.#isEventStream = isEventStream(headers);
    const isOk = status >= 200 && status < 300;
    if (this.#hooks.waitsForChoice && isOk && this.#isEventStream && !isCompressed(headers)) {
      this.#detector = new FirstToken();
    }
  }

  onData(chunk: Uint8Array): void {
    if (this.#phase === 'relaying') {
      this.#write(chunk);
    } else if (this.#detector === null) {
      if (this.#begin(chunk)) this.#hooks.onFirstToken(false);
    } else {
      const verdict = this.#detector.push(chunk);
      if (verdict === 'waiting') return;
      const goesOn = this.#begin(this.#detector.held);
      this.#detector = null;
      if (goesOn && verdict === 'token') this.#hooks.onFirstToken(true);
    }
  }

  onEnd(): void {
    if (this.#phase === 'holding' && !this.#begin(this.#detector?.held ?? nothing)) return;
    if (!this.#isSent) this.#exchange.end();
    const usage = this.#isSent ? this.#usageOfWhole : (this.#usageTail?.read() ?? null);
    this.#finish({ kind: 'completed', status: this.#status, usage });
  }

  onFault(fault: UpstreamFault): void {
    if (this.#isSent) {
      this.onEnd();
      return;
    }
    if (this.#phase === 'relaying') {
      this.#breakOff();
      this.#finish({ kind: 'failedAfterFirstToken', fault });
      return;
    }
    const status = this.#phase === 'holding' ? this.#status : null;
    this.#finish({ kind: 'failedBeforeFirstToken', fault, status });
  }

  #onGone(): void {
    if (this.#phase === 'done') return;
    this.#call?.cancel();
    this.#finish({ kind: 'clientGone' });
  }

  /**
   * Sends the head with what was held. From here on the request cannot go elsewhere. False if the
   * client turned out to be gone, which is the outcome then.
   */
  #begin(bytes: Uint8Array): boolean {
    this.#phase = 'relaying';
    if (this.#isInTurn) this.#sendFirst(bytes);
    else this.#exchange.cork(() => this.#sendFirst(bytes));
    return !this.#exchange.gone;
  }

  #sendFirst(bytes: Uint8Array): void {
    const exchange = this.#exchange;
    const headers = this.#hooks.answerHeaders(this.#status, this.#headers);
    exchange.head(this.#status, headers, this.#bodyBytes, this.#hooks.addedHeaders);
    if (bytes.byteLength === this.#bodyBytes) {
      this.#isSent = true;
      this.#usageOfWhole = readUsage(bytes);
      exchange.end(bytes);
    } else {
      exchange.onDrain(() => this.#onDrain());
      if (bytes.byteLength > 0) this.#write(bytes);
    }
  }

  #write(chunk: Uint8Array): void {
    this.#usageTail ??= new UsageTail();
    this.#usageTail.push(chunk);
    if (this.#exchange.write(chunk) || this.#paused) return;
    this.#paused = true;
    this.#call?.pause();
  }

  #onDrain(): void {
    if (!this.#paused || this.#phase !== 'relaying') return;
    this.#paused = false;
    this.#call?.resume();
  }

  /** The status is out: what is left to tell the client by is an event, and an unclean end. */
  #breakOff(): void {
    if (this.#isEventStream) {
      const fault = new RequestFault('upstream_failed', 'the instance failed while answering');
      // The empty line first closes an event that may have been cut short.
      const event = Buffer.from(`\n\ndata: ${fault.toJson()}\n\n`);
      this.#exchange.cork(() => this.#exchange.write(event));
    }
    this.#isBroken = true;
    // Closed inside the turn's cork, the connection would lose what the cork has gathered.
    if (!this.#isInTurn) this.#exchange.destroy();
  }

  #finish(outcome: RelayOutcome): void {
    this.#phase = 'done';
    this.#detector = null;
    this.#usageTail?.clear();
    this.#resolve(outcome);
  }
}

const nothing = new Uint8Array(0);
const noFields: HeaderList = [];

function isEventStream(headers: HeaderList): boolean {
  return fieldOf(headers, 'content-type')?.toLowerCase().startsWith('text/event-stream') ?? false;
}

function isCompressed(headers: HeaderList): boolean {
  return (fieldOf(headers, 'content-encoding') ?? 'identity') !== 'identity';
}

function fieldOf(headers: HeaderList, name: string): string | undefined {
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] === name) return headers[index + 1];
  }
  return undefined;
}
