import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';

/**
 * Fake instances on raw sockets: they send exactly the bytes they are told to, valid HTTP or not,
 * and remember exactly what they received and when the client closed.
 */

/** One request as it came in. Chunked request bodies are not understood: nobody should send one. */
export interface RawRequest {
  /** The head with its final empty line, as latin1 text. */
  readonly head: string;
  readonly body: Buffer;
  readonly connection: RawConnection;
}

export class RawConnection {
  readonly index: number;
  readonly socket: Socket;
  /** The client closed or reset; a moment of `performance.now()`. */
  closedAtMs: number | null = null;
  requestCount = 0;

  constructor(index: number, socket: Socket) {
    this.index = index;
    this.socket = socket;
  }

  /** Sends text as latin1, or bytes; resolves when the kernel has taken them. */
  send(bytes: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.socket.write(bytes as string, 'latin1', () => resolve());
    });
  }

  /** Sends one piece after the other, each in a TCP segment and a loop turn of its own. */
  async sendPieces(pieces: Iterable<string | Uint8Array>): Promise<void> {
    for (const piece of pieces) {
      await this.send(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  end(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }
}

export type RawAnswer = (request: RawRequest) => void | Promise<void>;

export class RawServer {
  readonly connections: RawConnection[] = [];
  readonly requests: RawRequest[] = [];
  /** Called for each complete request. Tests may change it on the way. */
  answer: RawAnswer;
  /** False: request bytes stay unread in the kernel and no request is ever complete. */
  reads = true;
  readonly #server: Server;

  private constructor(answer: RawAnswer) {
    this.answer = answer;
    this.#server = createServer({ noDelay: true, allowHalfOpen: false }, (socket) =>
      this.#accept(socket),
    );
  }

  static async start(answer: RawAnswer, path?: string): Promise<RawServer> {
    const server = new RawServer(answer);
    const where = path === undefined ? { port: 0, host: '127.0.0.1' } : { path };
    await new Promise<void>((resolve) => server.#server.listen(where, resolve));
    return server;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : -1;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get openCount(): number {
    return this.connections.filter((connection) => connection.closedAtMs === null).length;
  }

  /**
   * Open connections that carried a request. A client may replace the connection of a request that
   * it cancelled by a new one, idle.
   */
  get usedCount(): number {
    return this.connections.filter(
      (connection) => connection.closedAtMs === null && connection.requestCount > 0,
    ).length;
  }

  async stop(): Promise<void> {
    for (const connection of this.connections) connection.socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    const connection = new RawConnection(this.connections.length, socket);
    this.connections.push(connection);
    let pending = Buffer.alloc(0);
    const closed = () => {
      connection.closedAtMs ??= performance.now();
    };
    socket.on('error', closed).on('end', closed).on('close', closed);
    if (!this.reads) return;
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      for (let size = requestBytes(pending); size >= 0; size = requestBytes(pending)) {
        const headEnd = pending.indexOf('\r\n\r\n') + 4;
        const head = pending.toString('latin1', 0, headEnd);
        const request = { head, body: Buffer.from(pending.subarray(headEnd, size)), connection };
        pending = pending.subarray(size);
        connection.requestCount += 1;
        this.requests.push(request);
        void this.answer(request);
      }
    });
  }
}

/** Bytes of the first complete request, -1 if there is none yet. */
function requestBytes(pending: Buffer): number {
  const headEnd = pending.indexOf('\r\n\r\n');
  if (headEnd < 0) return -1;
  const head = pending.toString('latin1', 0, headEnd);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head);
  const size = headEnd + 4 + Number(length?.[1] ?? 0);
  return pending.length >= size ? size : -1;
}

/**
 * A port whose accept queue is full: the kernel drops further SYNs, so connecting neither succeeds
 * nor fails. A thread listens and then blocks, so that nobody accepts.
 */
export class FullPort {
  readonly port: number;
  readonly #worker: Worker;
  readonly #wake: Int32Array;
  readonly #fillers: Socket[];

  private constructor(port: number, worker: Worker, wake: Int32Array, fillers: Socket[]) {
    this.port = port;
    this.#worker = worker;
    this.#wake = wake;
    this.#fillers = fillers;
  }

  static async start(): Promise<FullPort> {
    const wake = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       const server = require('node:net').createServer();
       server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
         parentPort.postMessage(server.address().port);
         Atomics.wait(workerData, 0, 0);
         process.exit();
       });`,
      { eval: true, workerData: wake },
    );
    const port = await new Promise<number>((resolve, reject) => {
      worker.once('message', resolve).once('error', reject);
    });
    const { connect } = await import('node:net');
    const fillers: Socket[] = [];
    // A queue of 1 holds two on Linux; what is more waits in SYN state like the connection tested.
    for (let count = 0; count < 8; count += 1) {
      fillers.push(connect({ port, host: '127.0.0.1' }).on('error', () => undefined));
    }
    // They connect a turn later: a client that connects at once must not get in before them.
    await Promise.all(fillers.slice(0, 2).map((filler) => once(filler, 'connect')));
    return new FullPort(port, worker, wake, fillers);
  }

  async stop(): Promise<void> {
    for (const filler of this.#fillers) filler.destroy();
    Atomics.store(this.#wake, 0, 1);
    Atomics.notify(this.#wake, 0);
    await this.#worker.terminate();
  }
}
