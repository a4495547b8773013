import type {
  Upstream,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
} from '../../src/dispatch/upstream.ts';
import type { Exchange } from '../../src/listen/exchange.ts';
import { type RelayHooks, type RelayOutcome, relayAnswer } from '../../src/stream/relay.ts';
import type { HeaderList } from '../../src/terms.ts';

/** A client on paper: writes down what it is sent, in order. */
export class FakeExchange implements Exchange {
  readonly method = 'POST';
  readonly path = '/v1/chat/completions';
  readonly query = '';
  readonly headers: HeaderList = [];
  readonly remoteAddress = '';
  gone = false;
  readonly log: string[] = [];
  sent = '';
  /** False: every write says that the client is slow. */
  isFast = true;
  writeListener: () => void = () => undefined;
  drainListener: () => void = () => undefined;
  goneListener: () => void = () => undefined;

  header(): undefined {
    return undefined;
  }
  readBody(): Promise<Uint8Array> {
    return Promise.reject(new Error('not the relay that reads it'));
  }
  releaseBody(): void {
    this.log.push('releaseBody');
  }
  onGone(listener: () => void): void {
    this.goneListener = listener;
  }
  onDrain(listener: () => void): void {
    this.drainListener = listener;
  }
  head(status: number, headers: HeaderList, bodyBytes = -1, added: HeaderList = []): void {
    this.log.push(`head ${status} ${[...headers, ...added].join(' ')} ${bodyBytes}`);
  }
  write(chunk: Uint8Array): boolean {
    this.log.push('write');
    this.sent += Buffer.from(chunk).toString();
    this.writeListener();
    return this.isFast;
  }
  end(chunk?: Uint8Array | string): void {
    this.log.push('end');
    if (chunk !== undefined) this.sent += Buffer.from(chunk as Uint8Array).toString();
  }
  destroy(): void {
    this.log.push('destroy');
  }
  cork(body: () => void): void {
    body();
  }
  leave(): void {
    this.gone = true;
    this.goneListener();
  }
}

/** An instance on paper: the test plays its part through `handler`. */
export class FakeUpstream implements Upstream {
  readonly log: string[] = [];
  handler!: UpstreamHandler;
  send(_request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    this.log.push('send');
    this.handler = handler;
    return {
      isBodyFree: true,
      pause: () => this.log.push('pause'),
      resume: () => this.log.push('resume'),
      cancel: () => this.log.push('cancel'),
    };
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

const request: UpstreamRequest = {
  origin: 'http://127.0.0.1:1',
  method: 'POST',
  path: '/v1/chat/completions',
  headers: [],
  body: null,
};

/** A relay between the two, and all that comes of it. */
export function begin(change: Partial<RelayHooks> = {}, exchange = new FakeExchange()) {
  const upstream = new FakeUpstream();
  const firstTokens: string[] = [];
  const hooks: RelayHooks = {
    waitsForChoice: true,
    decideHead: () => 'relay',
    answerHeaders: (status, headers) => [...headers, 'x-status', String(status)],
    addedHeaders: ['x-added', '1'],
    onFirstToken: (streamed) => firstTokens.push(`${streamed} after ${exchange.sent.length}`),
    ...change,
  };
  const relay = relayAnswer(upstream, request, exchange, hooks);
  const settled: { outcome: RelayOutcome | null } = { outcome: null };
  const outcome = relay.outcome.then((value) => {
    settled.outcome = value;
    return value;
  });
  const data = (text: string) => {
    const chunk = Buffer.from(text);
    upstream.handler.onData(chunk);
    chunk.fill(0);
  };
  return { upstream, exchange, relay, outcome, settled, firstTokens, data };
}

export type Play = ReturnType<typeof begin>;
