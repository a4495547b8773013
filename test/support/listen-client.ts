import net from 'node:net';

/**
 * A client that sends exactly the bytes it is told and keeps exactly the bytes it gets, so that the
 * front ends are tested on what is on the wire and not on what a library makes of it.
 */
export class RawClient {
  readonly socket: net.Socket;
  closed = false;
  receivedBytes = 0;
  private readonly pieces: Buffer[] = [];
  private pauseAtBytes = Number.POSITIVE_INFINITY;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (piece) => {
      this.pieces.push(piece);
      this.receivedBytes += piece.byteLength;
      if (this.receivedBytes >= this.pauseAtBytes) socket.pause();
    });
    // A reset is one way of being closed; `closed` is what the tests look at.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.closed = true;
    });
  }

  static connect(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new RawClient(socket));
      });
    });
  }

  /** Each part goes out on its own, in its own segment as far as a client can have it. */
  async send(...parts: (string | Uint8Array)[]): Promise<void> {
    for (const part of parts) {
      await new Promise<void>((resolve) => {
        const bytes = typeof part === 'string' ? Buffer.from(part, 'latin1') : part;
        this.socket.write(bytes, () => setImmediate(resolve));
      });
    }
  }

  get received(): Buffer {
    return Buffer.concat(this.pieces);
  }

  /** Reads on for about so many bytes, then no further. */
  async take(bytes: number): Promise<void> {
    this.pauseAtBytes = this.receivedBytes + bytes;
    this.socket.resume();
    await eventually(() => this.receivedBytes >= this.pauseAtBytes, `${bytes} bytes`);
    this.pauseAtBytes = Number.POSITIVE_INFINITY;
  }

  /** The next `count` complete answers, `1xx` not counted. Fails if the connection closes before. */
  async answers(count: number, method = 'GET'): Promise<Answer[]> {
    let list: Answer[] = [];
    await eventually(() => {
      list = parseAnswers(this.received, method).filter(({ status }) => status >= 200);
      return this.closed || list.filter(({ complete }) => complete).length >= count;
    }, `${count} answers`);
    return list;
  }

  async answer(method = 'GET'): Promise<Answer> {
    const [first] = await this.answers(1, method);
    if (first === undefined) throw new Error('the connection closed without an answer');
    return first;
  }

  async untilClosed(): Promise<void> {
    await eventually(() => this.closed, 'the connection to close');
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** False if the answer ended before its length or its last chunk. */
  readonly complete: boolean;
}

/** Answers as a client reads them off one connection. */
export function parseAnswers(bytes: Buffer, method = 'GET'): Answer[] {
  const list: Answer[] = [];
  let at = 0;
  while (at < bytes.byteLength) {
    const headEnd = bytes.indexOf('\r\n\r\n', at);
    if (headEnd < 0) break;
    const [statusLine, ...lines] = bytes.toString('latin1', at, headEnd).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine!)?.[1]);
    if (Number.isNaN(status)) throw new Error(`not a status line: ${statusLine}`);
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(': ');
      const name = line.slice(0, colon).toLowerCase();
      if (headers.has(name)) throw new Error(`the field ${name} comes twice`);
      headers.set(name, line.slice(colon + 2));
    }
    const from = headEnd + 4;
    const bodiless = method === 'HEAD' || status < 200 || status === 204 || status === 304;
    const { body, end } = bodiless
      ? { body: Buffer.alloc(0), end: from }
      : headers.get('transfer-encoding') === 'chunked'
        ? readChunked(bytes, from)
        : readCounted(bytes, from, Number(headers.get('content-length')));
    list.push({ status, headers, body, complete: end !== null });
    if (end === null) break;
    at = end;
  }
  return list;
}

interface Body {
  body: Buffer;
  /** Where the answer ends; `null` if it has not ended. */
  end: number | null;
}

function readCounted(bytes: Buffer, from: number, length: number): Body {
  if (Number.isNaN(length)) throw new Error('an answer with neither length nor chunks');
  const end = from + length;
  return { body: bytes.subarray(from, end), end: end <= bytes.byteLength ? end : null };
}

function readChunked(bytes: Buffer, from: number): Body {
  const chunks: Buffer[] = [];
  let at = from;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return { body: Buffer.concat(chunks), end: null };
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    const next = lineEnd + 2 + size + 2;
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    if (next > bytes.byteLength) return { body: Buffer.concat(chunks), end: null };
    if (size === 0) return { body: Buffer.concat(chunks), end: next };
    at = next;
  }
}

/** Waits until `condition` holds, and fails with `what` if it does not within the deadline. */
export async function eventually(
  condition: () => boolean,
  what: string,
  deadlineMs = 10_000,
): Promise<void> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > deadlineMs) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Bytes that are not the same everywhere, so that a mixed-up order shows. */
export function patterned(count: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(count);
  let state = seed >>> 0;
  for (let index = 0; index < count; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

/** A chunked body in pieces of the given sizes, in turn. */
export function chunkedBody(body: Uint8Array, sizes: readonly number[]): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (let turn = 0; at < body.byteLength; turn += 1) {
    const piece = body.subarray(at, at + sizes[turn % sizes.length]!);
    parts.push(Buffer.from(`${piece.byteLength.toString(16)}\r\n`), Buffer.from(piece));
    parts.push(Buffer.from('\r\n'));
    at += piece.byteLength;
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
}

/** Cuts bytes into pieces of the given sizes, in turn. */
export function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const list: Uint8Array[] = [];
  let at = 0;
  for (let turn = 0; at < bytes.byteLength; turn += 1) {
    const size = sizes[turn % sizes.length]!;
    list.push(bytes.subarray(at, at + size));
    at += size;
  }
  return list;
}
