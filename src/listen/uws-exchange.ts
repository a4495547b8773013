import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import { STATUS_CODES } from 'node:http';
import type { DenseSet } from '../dense-set.ts';
import type { RequestFault } from '../errors.ts';
import type { HeaderList } from '../terms.ts';
import { BodyBuffer, bodyTimeout, bodyTooLarge } from './body.ts';
import { ClientGone } from './exchange.ts';
import type { ServedExchange } from './front-end.ts';
import { announcedBodyBytes, answerHeaderLines, headerOf } from './headers.ts';

/**
 * One request on uWebSockets.js. Lives on the thread of its app. uWS's handle may not be touched
 * after an abort, a close or a complete answer: `over` says so, and every method asks it first.
 */
export class UwsExchange implements ServedExchange {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: HeaderList;
  readonly announcedBytes: number | null;
  gone = false;

  private readonly response: HttpResponse;
  /** Its place among the exchanges whose bodies are on their way; the listener sweeps them. */
  denseIndex = -1;
  private readonly receiving: DenseSet<UwsExchange>;
  private over = false;
  private corked = false;
  private address: string | null = null;
  private goneListener: (() => void) | null = null;
  private drainListener: (() => void) | null = null;

  private bodyReadable = true;
  private body: BodyBuffer | null = null;
  private rejectBody: ((error: RequestFault | ClientGone) => void) | null = null;
  private stalledMs = 0;

  private status = 0;
  private fields: HeaderList = noFields;
  private added: HeaderList = noFields;
  /** -1: unknown, so the answer is chunked. */
  private bodyBytes = -1;
  private headSent = false;
  private ended = false;
  private givenBytes = 0;
  private acceptedBytes = 0;
  /** uWS holds bytes, or did when last asked. */
  private slow = false;
  private watched = false;
  /** Bytes that uWS has not taken; ours. */
  private queue: Uint8Array[] = noQueue;

  constructor(response: HttpResponse, request: HttpRequest, receiving: DenseSet<UwsExchange>) {
    response.onAborted(() => this.aborted());
    this.response = response;
    this.receiving = receiving;
    this.method = request.getCaseSensitiveMethod();
    this.path = byteString(request.getUrl());
    // Its type says string, but it is undefined if there is none.
    this.query = byteString(request.getQuery() ?? '');
    this.headers = headersOf(request);
    this.announcedBytes = announcedBodyBytes(this.headers);
  }

  get remoteAddress(): string {
    if (this.address === null) {
      if (this.over) return '';
      this.address = Buffer.from(this.response.getRemoteAddressAsText()).toString('latin1');
    }
    return this.address;
  }

  header(name: string): string | undefined {
    return headerOf(this.headers, name);
  }

  /** uWS delivers the body right after the handler returned, and to nobody if nobody asked. */
  handlerReturned(): void {
    this.bodyReadable = false;
  }

  readBody(bytesMax: number): Promise<Uint8Array> {
    if (!this.bodyReadable) {
      throw new Error('readBody is called once, before the handler first waits');
    }
    this.bodyReadable = false;
    if (this.over) return Promise.reject(new ClientGone());
    const announcedBytes = this.announcedBytes ?? 0;
    // uWS does not report the end of a body of no bytes if its head came in pieces.
    if (announcedBytes === 0) return Promise.resolve(new BodyBuffer(0, 0).take());
    if (announcedBytes > bytesMax) return Promise.reject(bodyTooLarge(bytesMax));
    return new Promise((resolve, reject) => {
      const body = new BodyBuffer(announcedBytes, bytesMax);
      this.body = body;
      this.rejectBody = reject;
      this.receiving.add(this);
      this.response.onData((piece, isLast) => {
        if (this.rejectBody === null) return;
        this.stalledMs = 0;
        if (!body.append(new Uint8Array(piece))) {
          this.failBody(bodyTooLarge(bytesMax));
        } else if (isLast) {
          this.rejectBody = null;
          this.receiving.delete(this);
          resolve(body.take());
        }
      });
    });
  }

  /**
   * Called by the listener at intervals while the body is on its way. uWS itself cuts every upload
   * below 16 KB/s after 10 s, without an answer; pausing and resuming restarts its clock.
   */
  sweep(passedMs: number, timeoutMs: number): void {
    this.stalledMs += passedMs;
    if (this.stalledMs > timeoutMs) {
      this.failBody(bodyTimeout(timeoutMs));
    } else {
      this.response.pause();
      this.response.resume();
    }
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
    this.drainListener = listener;
  }

  head(status: number, headers: HeaderList, bodyBytes = -1, added = noFields): void {
    if (this.over || this.ended) return;
    if (this.headSent) throw new Error('head after the head was sent');
    this.status = status;
    this.fields = headers;
    this.added = added;
    this.bodyBytes = bodyBytes;
  }

  write(chunk: Uint8Array): boolean {
    if (this.over || this.ended || chunk.byteLength === 0) return true;
    let goOn = true;
    if (this.corked) goOn = this.put(chunk);
    else {
      this.cork(() => {
        goOn = this.put(chunk);
      });
    }
    return goOn;
  }

  end(chunk?: Uint8Array | string): void {
    if (this.over || this.ended) return;
    const last = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    if (this.corked) this.finish(last);
    else this.cork(() => this.finish(last));
  }

  destroy(): void {
    if (this.over) return;
    this.release();
    this.response.close();
    this.failBody(new ClientGone());
  }

  cork(body: () => void): void {
    if (this.over || this.corked) {
      body();
      return;
    }
    this.corked = true;
    corkBody = body;
    this.response.cork(runCorkBody);
    this.corked = false;
    if (corkFailure === null) return;
    const { error } = corkFailure;
    corkFailure = null;
    throw error;
  }

  private put(chunk: Uint8Array): boolean {
    this.givenBytes += chunk.byteLength;
    if (this.isBodiless()) return true;
    if (this.bodyBytes >= 0 && this.givenBytes > this.bodyBytes) {
      throw new Error(`an answer of ${this.bodyBytes} bytes was given ${this.givenBytes}`);
    }
    if (!this.headSent) {
      this.sendHead();
      if (this.givenBytes === this.bodyBytes) {
        this.complete(chunk);
        return true;
      }
    }
    return this.give(chunk);
  }

  /** The last call on uWS's handle: it keeps and sends what the client does not take yet. */
  private complete(last: Uint8Array | undefined): void {
    this.response.end(last);
    this.release();
  }

  private give(chunk: Uint8Array): boolean {
    let rest: Uint8Array | null = chunk;
    if (this.queue.length === 0) rest = this.offer(chunk);
    if (!this.watched && !this.over) {
      // Also for a client that keeps up: uWS would else give a long answer 10 s after the first
      // write that did not go out at once.
      this.watched = true;
      this.response.onWritable(() => this.writable());
    }
    if (rest === null) return !this.slow;
    // Not `slice`: on a Buffer it copies nothing.
    if (this.queue === noQueue) this.queue = [];
    this.queue.push(new Uint8Array(rest));
    return false;
  }

  /** Hands bytes to uWS. Returns those it did not take, `null` if it took all. */
  private offer(chunk: Uint8Array): Uint8Array | null {
    return this.bodyBytes >= 0 ? this.offerCounted(chunk) : this.offerChunked(chunk);
  }

  private offerCounted(chunk: Uint8Array): Uint8Array | null {
    const [taken, done] = this.response.tryEnd(chunk, this.bodyBytes);
    if (done) {
      this.release();
      return null;
    }
    this.slow = !taken;
    const before = this.acceptedBytes;
    this.acceptedBytes = taken ? before + chunk.byteLength : this.response.getWriteOffset();
    const rest = chunk.subarray(this.acceptedBytes - before);
    return rest.byteLength === 0 ? null : rest;
  }

  /**
   * uWS buffers what it cannot send and does not tell when that buffer is empty: only the result of
   * a further write does. So a client known as slow is asked with one byte before it gets more;
   * otherwise the buffer would grow by one chunk each time the client reads a little.
   */
  private offerChunked(chunk: Uint8Array): Uint8Array | null {
    let rest = chunk;
    if (this.slow) {
      const drained = this.response.write(rest.subarray(0, 1));
      rest = rest.subarray(1);
      if (rest.byteLength === 0) {
        this.slow = !drained;
        return null;
      }
      if (!drained) return rest;
    }
    this.slow = !this.response.write(rest);
    return null;
  }

  private writable(): boolean {
    if (this.over) return true;
    const hadQueue = this.queue.length > 0;
    // The cork flushes uWS's own buffer: with an `onWritable` handler nothing else does.
    this.cork(() => {
      while (this.queue.length > 0) {
        const rest = this.offer(this.queue[0]!);
        if (rest !== null) {
          this.queue[0] = rest;
          return;
        }
        this.queue.shift();
      }
    });
    // Told of room: if the queue went out, or if uWS's buffer is all there was. Not if some of the
    // queue is left or went into that buffer, and not if nobody was stopped.
    if (!this.over && hadQueue !== this.slow) this.drainListener?.();
    return true;
  }

  private finish(last: Uint8Array | undefined): void {
    this.ended = true;
    if (last !== undefined) this.givenBytes += last.byteLength;
    if (this.isBodiless()) {
      if (this.bodyBytes < 0 && this.givenBytes > 0) this.bodyBytes = this.givenBytes;
      this.sendHead();
      this.response.endWithoutBody();
      this.release();
    } else if (this.bodyBytes >= 0 && this.givenBytes !== this.bodyBytes) {
      // Only a broken connection tells the client that the answer is not what was announced.
      this.destroy();
    } else if (!this.headSent) {
      // All of the answer at once: uWS writes its length and sends it in one call.
      this.sendHead();
      this.complete(last);
    } else if (this.bodyBytes < 0) {
      for (const chunk of this.queue) this.response.write(chunk);
      this.complete(last);
    } else if (last !== undefined && last.byteLength > 0) {
      this.give(last);
    }
  }

  private isBodiless(): boolean {
    return this.method === 'HEAD' || this.status === 204 || this.status === 304;
  }

  /** Status line and fields in one call: uWS writes the text as it is and adds `date`. */
  private sendHead(): void {
    if (this.status === 0) throw new Error('an answer without a head');
    this.headSent = true;
    let text = `${this.status} ${STATUS_CODES[this.status] ?? ''}`;
    text += answerHeaderLines(this.fields) + answerHeaderLines(this.added);
    // uWS never completes `endWithoutBody(length)`, so the length of a HEAD is a field like others.
    if (this.method === 'HEAD' && this.bodyBytes >= 0) {
      text += `\r\ncontent-length: ${this.bodyBytes}`;
    }
    this.response.writeStatus(isAscii(text) ? text : Buffer.from(text, 'latin1'));
  }

  private aborted(): void {
    if (this.over) return;
    this.release();
    this.queue = noQueue;
    this.failBody(new ClientGone());
    if (this.ended) return;
    this.gone = true;
    this.goneListener?.();
  }

  private failBody(error: RequestFault | ClientGone): void {
    const reject = this.rejectBody;
    if (reject === null) return;
    this.rejectBody = null;
    this.receiving.delete(this);
    this.releaseBody();
    reject(error);
  }

  /** From here on uWS's handle is not ours. */
  private release(): void {
    this.over = true;
    this.receiving.delete(this);
  }
}

/** What the cork in progress runs. No closure, as there is one cork for each piece of an answer. */
let corkBody: () => void = () => undefined;
/** An error must not pass through uWS: it would be lost there. */
let corkFailure: { readonly error: unknown } | null = null;

function runCorkBody(): void {
  try {
    corkBody();
  } catch (error) {
    corkFailure = { error };
  }
}

/** Most answers never have one of their own. Stays empty. */
const noQueue: Uint8Array[] = [];
const noFields: HeaderList = Object.freeze([]);

let collected: string[] = [];
// Names are ASCII: uWS takes a request with another name for incomplete.
const collect = (name: string, value: string): void => {
  collected.push(name, byteString(value));
};

function headersOf(request: HttpRequest): HeaderList {
  collected = [];
  request.forEach(collect);
  return collected;
}

/** A loop, since it runs for each field of each request, and beats a pattern on short text. */
function isAscii(text: string): boolean {
  let all = 0;
  for (let index = 0; index < text.length; index += 1) all |= text.charCodeAt(index);
  return all < 0x80;
}

/** uWS decodes UTF-8; header text is bytes everywhere else. */
function byteString(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}
