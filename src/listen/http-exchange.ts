import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RequestFault } from '../errors.ts';
import type { HeaderList } from '../terms.ts';
import { BodyBuffer, bodyTimeout, bodyTooLarge } from './body.ts';
import { ClientGone } from './exchange.ts';
import type { ServedExchange } from './front-end.ts';
import { announcedBodyBytes, answerHeaders, headerOf } from './headers.ts';

/** What is left of a body after its answer is read and dropped for this long. */
const dropTimeoutMs = 10_000;

/**
 * One request on `node:http`, with the behaviour of `UwsExchange`. Thread of its server. Simple
 * before fast: this is the front end of platforms that have no other.
 */
export class HttpExchange implements ServedExchange {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: HeaderList;
  readonly remoteAddress: string;
  readonly announcedBytes: number | null;
  gone = false;

  private readonly request: IncomingMessage;
  private readonly response: ServerResponse;
  private readonly bodyTimeoutMs: number;
  private over = false;
  private ended = false;
  private goneListener: (() => void) | null = null;

  private bodyReadable = true;
  private body: BodyBuffer | null = null;
  private rejectBody: ((error: RequestFault | ClientGone) => void) | null = null;
  private bodyTimer: NodeJS.Timeout | null = null;

  private status = 0;
  private fields: HeaderList = [];
  private bodyBytes = -1;
  private headSent = false;
  private givenBytes = 0;

  constructor(request: IncomingMessage, response: ServerResponse, bodyTimeoutMs: number) {
    this.request = request;
    this.response = response;
    this.bodyTimeoutMs = bodyTimeoutMs;
    this.method = request.method!;
    const url = request.url!;
    const mark = url.indexOf('?');
    this.path = mark < 0 ? url : url.slice(0, mark);
    this.query = mark < 0 ? '' : url.slice(mark + 1);
    this.headers = request.rawHeaders.map((text, at) => (at % 2 === 0 ? text.toLowerCase() : text));
    this.announcedBytes = announcedBodyBytes(this.headers);
    this.remoteAddress = request.socket.remoteAddress ?? '';
    response.on('close', () => this.closed());
  }

  header(name: string): string | undefined {
    return headerOf(this.headers, name);
  }

  /**
   * As on uWebSockets.js: a body that nobody asked for by now is read and dropped. Left unread, it
   * would also hide that the client has gone.
   */
  handlerReturned(): void {
    this.bodyReadable = false;
    this.request.resume();
  }

  readBody(bytesMax: number): Promise<Uint8Array> {
    if (!this.bodyReadable) {
      throw new Error('readBody is called once, before the handler first waits');
    }
    this.bodyReadable = false;
    const { request } = this;
    if (this.over) return Promise.reject(new ClientGone());
    const announcedBytes = this.announcedBytes ?? 0;
    if (announcedBytes > bytesMax) return Promise.reject(bodyTooLarge(bytesMax));
    return new Promise((resolve, reject) => {
      const body = new BodyBuffer(announcedBytes, bytesMax);
      this.body = body;
      this.rejectBody = reject;
      const { bodyTimeoutMs } = this;
      const timer = setTimeout(() => this.failBody(bodyTimeout(bodyTimeoutMs)), bodyTimeoutMs);
      this.bodyTimer = timer;
      request.on('data', (piece: Buffer) => {
        if (this.rejectBody === null) return;
        timer.refresh();
        if (!body.append(piece)) this.failBody(bodyTooLarge(bytesMax));
      });
      request.on('end', () => {
        if (this.settleBody() !== null) resolve(body.take());
      });
    });
  }

  releaseBody(): void {
    this.body?.release();
    this.body = null;
  }

  onGone(listener: () => void): void {
    if (this.gone) queueMicrotask(listener);
    else this.goneListener = listener;
  }

  onDrain(listener: () => void): void {
    this.response.removeAllListeners('drain');
    this.response.on('drain', () => {
      if (!this.over && !this.ended) listener();
    });
  }

  head(status: number, headers: HeaderList, bodyBytes = -1, added: HeaderList = []): void {
    if (this.over || this.ended) return;
    if (this.headSent) throw new Error('head after the head was sent');
    this.status = status;
    this.fields = [...headers, ...added];
    this.bodyBytes = bodyBytes;
  }

  write(chunk: Uint8Array): boolean {
    if (this.over || this.ended || chunk.byteLength === 0) return true;
    this.givenBytes += chunk.byteLength;
    if (this.isBodiless()) return true;
    if (this.bodyBytes >= 0 && this.givenBytes > this.bodyBytes) {
      throw new Error(`an answer of ${this.bodyBytes} bytes was given ${this.givenBytes}`);
    }
    if (!this.headSent) this.sendHead();
    // Node keeps what it cannot send at once, the caller may overwrite it.
    return this.response.write(Buffer.from(chunk));
  }

  end(chunk?: Uint8Array | string): void {
    if (this.over || this.ended) return;
    this.ended = true;
    const last = chunk === undefined ? Buffer.alloc(0) : Buffer.from(chunk as Uint8Array);
    this.givenBytes += last.byteLength;
    const bodiless = this.isBodiless();
    if (this.bodyBytes >= 0 && !bodiless && this.givenBytes !== this.bodyBytes) {
      // Only a broken connection tells the client that the answer is not what was announced.
      this.destroy();
      return;
    }
    if (!this.headSent) {
      // All of the answer at once, so its length is known.
      if (this.bodyBytes < 0 && !(bodiless && this.givenBytes === 0)) {
        this.bodyBytes = this.givenBytes;
      }
      this.sendHead();
    }
    this.response.end(bodiless ? undefined : last);
    this.settleBody();
    if (!this.request.complete) this.dropBody();
  }

  destroy(): void {
    if (this.over) return;
    this.over = true;
    this.failBody(new ClientGone());
    this.request.socket.destroy();
  }

  cork(body: () => void): void {
    this.response.cork();
    try {
      body();
    } finally {
      this.response.uncork();
    }
  }

  private isBodiless(): boolean {
    return this.method === 'HEAD' || this.status === 204 || this.status === 304;
  }

  private sendHead(): void {
    if (this.status === 0) throw new Error('an answer without a head');
    this.headSent = true;
    const fields = [...answerHeaders(this.fields)];
    const hasLength = this.status !== 204 && this.status !== 304 && this.bodyBytes >= 0;
    if (hasLength) fields.push('content-length', String(this.bodyBytes));
    this.response.writeHead(this.status, fields);
  }

  /** The answer overtook the request: what still comes is dropped, but not forever. */
  private dropBody(): void {
    const { request } = this;
    const timer = setTimeout(() => request.socket.destroy(), dropTimeoutMs).unref();
    request.on('close', () => clearTimeout(timer));
  }

  private closed(): void {
    if (this.over) return;
    this.over = true;
    this.failBody(new ClientGone());
    if (this.ended) return;
    this.gone = true;
    this.goneListener?.();
  }

  private failBody(error: RequestFault | ClientGone): void {
    this.settleBody()?.(error);
  }

  /** Ends the wait for a body. Returns how to reject it, `null` if nobody waits. */
  private settleBody(): ((error: RequestFault | ClientGone) => void) | null {
    const reject = this.rejectBody;
    this.rejectBody = null;
    if (this.bodyTimer !== null) clearTimeout(this.bodyTimer);
    this.bodyTimer = null;
    return reject;
  }
}
