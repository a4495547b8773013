/**
 * Reads the answers on one connection of the load generator: HTTP/1.1 with a content-length or
 * chunked, one answer at a time. Only as much of HTTP as a proxy on loopback sends.
 */

export interface AnswerEvents {
  readonly onHead?: (status: number) => void;
  /** Borrowed: the bytes are gone after the call. */
  readonly onBody?: (bytes: Buffer) => void;
  readonly onEnd: (status: number) => void;
}

type State = 'head' | 'length' | 'chunkSize' | 'chunk' | 'chunkEnd' | 'trailer';

const none = Buffer.alloc(0);

export class HttpReader {
  readonly #events: AnswerEvents;
  #state: State = 'head';
  #rest: Buffer = none;
  #bytesLeft = 0;
  #status = 0;

  constructor(events: AnswerEvents) {
    this.#events = events;
  }

  /** Throws what is not HTTP as we know it. */
  read(data: Buffer): void {
    let bytes = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data]);
    this.#rest = none;
    while (bytes.length > 0) {
      const used = this.#step(bytes);
      if (used === 0) {
        this.#rest = bytes;
        return;
      }
      bytes = bytes.subarray(used);
    }
  }

  /** Bytes used of what is there; 0: more are needed. */
  #step(bytes: Buffer): number {
    if (this.#state === 'head') return this.#readHead(bytes);
    if (this.#state === 'length' || this.#state === 'chunk') return this.#readBody(bytes);
    const end = bytes.indexOf('\r\n');
    if (end < 0) return 0;
    if (this.#state === 'chunkSize') {
      this.#bytesLeft = Number.parseInt(bytes.toString('latin1', 0, end), 16);
      if (!(this.#bytesLeft >= 0)) throw new Error('a chunk without a size');
      this.#state = this.#bytesLeft === 0 ? 'trailer' : 'chunk';
    } else if (this.#state === 'chunkEnd') {
      this.#state = 'chunkSize';
    } else if (end === 0) {
      this.#finish();
    }
    return end + 2;
  }

  #readHead(bytes: Buffer): number {
    const end = bytes.indexOf('\r\n\r\n');
    if (end < 0) return 0;
    const head = bytes.toString('latin1', 0, end + 2);
    this.#status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
    if (this.#status === 0) throw new Error(`not an HTTP answer: ${head.slice(0, 40)}`);
    this.#events.onHead?.(this.#status);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined && !/\r\ntransfer-encoding: *chunked/i.test(head)) {
      throw new Error('an answer of unknown length');
    }
    this.#bytesLeft = Number(length ?? 0);
    this.#state = length === undefined ? 'chunkSize' : 'length';
    if (length !== undefined && this.#bytesLeft === 0) this.#finish();
    return end + 4;
  }

  #readBody(bytes: Buffer): number {
    const used = Math.min(this.#bytesLeft, bytes.length);
    this.#events.onBody?.(bytes.subarray(0, used));
    this.#bytesLeft -= used;
    if (this.#bytesLeft > 0) return used;
    if (this.#state === 'length') this.#finish();
    else this.#state = 'chunkEnd';
    return used;
  }

  #finish(): void {
    this.#state = 'head';
    this.#events.onEnd(this.#status);
  }
}
