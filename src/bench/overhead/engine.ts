/**
 * A process of its own: four engines that stream events at the pace a request asks for, as cheap as
 * Node can make them, so that they are never what is measured. Talks to the harness by messages.
 * Accepts only what the harness sends: one request at a time on a connection, with a
 * content-length.
 */
import { createServer, type Socket } from 'node:net';
import { parseShape, stampText } from './protocol.ts';

export interface EngineCounts {
  /** Streams that ended by themselves. */
  readonly served: number;
  readonly chunks: number;
}

/** What the engines send: their ports once, and then an answer for every question. */
export type FromEngine =
  | { readonly type: 'ports'; readonly ports: readonly number[] }
  | ({ readonly type: 'counts' } & EngineCounts)
  /** When the streams with an id were closed by the other side, in nanoseconds. */
  | { readonly type: 'closed'; readonly closed: readonly (readonly [id: number, ns: string])[] };
export type ToEngine = 'counts' | 'closed';

const enginesCount = 4;
const models = '{"object":"list","data":[{"id":"m","object":"model","created":1,"owned_by":"x"}]}';
const event = (stamp: string) =>
  `data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"m",${stamp}"choices":[{"index":0,"delta":{"content":" hello"},"logprobs":null,"finish_reason":null}]}\n\n`;
const stampField = (ns: bigint) => `"stamp":"${stampText(ns)}",`;
const plainPiece = Buffer.from(framed(event('')));

function framed(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

let served = 0;
let chunks = 0;
let closed: [number, string][] = [];

interface Stream {
  readonly socket: Socket;
  readonly stamped: boolean;
  readonly id: number;
  left: number;
}

/** All streams of one pace; each phase of an interval has its own. */
class Pacemaker {
  readonly #phases: Set<Stream>[];
  #phase = 0;
  #joined = 0;

  constructor(intervalMs: number, phases: number) {
    this.#phases = Array.from({ length: phases }, () => new Set());
    setInterval(() => this.#tick(), intervalMs / phases);
  }

  /** Streams that share one tick wait for it; otherwise the first event is sent at once. */
  join(stream: Stream): () => void {
    const phase = this.#phases[this.#joined % this.#phases.length]!;
    this.#joined += 1;
    phase.add(stream);
    if (this.#phases.length > 1) send(stream);
    return () => phase.delete(stream);
  }

  #tick(): void {
    const streams = this.#phases[this.#phase]!;
    this.#phase = (this.#phase + 1) % this.#phases.length;
    for (const stream of streams) {
      send(stream);
      if (stream.left > 0) continue;
      streams.delete(stream);
      served += 1;
      stream.socket.write('0\r\n\r\n');
    }
  }
}

function send(stream: Stream): void {
  const { socket, stamped } = stream;
  socket.write(stamped ? framed(event(stampField(process.hrtime.bigint()))) : plainPiece);
  chunks += 1;
  stream.left -= 1;
}

const pacemakers = new Map<string, Pacemaker>();

function pacemakerOf(intervalMs: number, phases: number): Pacemaker {
  const key = `${intervalMs}/${phases}`;
  const known = pacemakers.get(key) ?? new Pacemaker(intervalMs, phases);
  pacemakers.set(key, known);
  return known;
}

function serve(socket: Socket): void {
  socket.setNoDelay(true);
  let head = '';
  let bodyBytesLeft = 0;
  let leave: (() => void) | null = null;
  let id = 0;
  const answer = () => {
    const asked = parseShape(head);
    if (asked === null) {
      const body = head.startsWith('GET /v1/models') ? models : '{}';
      socket.write(
        `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
    } else {
      const { intervalMs, phases, chunks: left, stamped } = asked.shape;
      id = asked.id;
      socket.write(
        'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n',
      );
      leave = pacemakerOf(intervalMs, phases).join({ socket, stamped, id, left });
    }
    head = '';
  };
  socket.on('data', (data) => {
    if (bodyBytesLeft > 0) {
      bodyBytesLeft -= data.length;
    } else {
      head += data.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? '0';
      bodyBytesLeft = Number(length) - (head.length - end - 4);
      head = head.slice(0, end + 2);
    }
    if (bodyBytesLeft <= 0) answer();
  });
  // A reset is how a client goes away; `close` follows and is what counts.
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    if (id !== 0) closed.push([id, process.hrtime.bigint().toString()]);
    leave?.();
  });
}

const tell = (message: FromEngine) => process.send!(message);

process.on('message', (question: ToEngine) => {
  if (question === 'counts') {
    tell({ type: 'counts', served, chunks });
  } else {
    tell({ type: 'closed', closed });
    closed = [];
  }
});
// The harness is gone: nobody needs the engines.
process.on('disconnect', () => process.exit());

const listening = Array.from({ length: enginesCount }, () => {
  const server = createServer(serve);
  return new Promise<number>((resolve) => {
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
      resolve((server.address() as { port: number }).port);
    });
  });
});
tell({ type: 'ports', ports: await Promise.all(listening) });
