import type { Socket } from 'node:net';
import { buildConnector, Client, type Dispatcher, Pool } from 'undici';
import type { UpstreamOptions } from './upstream.ts';

/**
 * Makes undici's clients and pools the way `undici.ts` needs them. A client is one connection at a
 * time and serves one request at a time; its `Link` tells a request whether the connection was used
 * before. Owned by the thread of its upstream; no limit on time but that of connecting.
 */
export class ClientFactory {
  readonly #limits: UpstreamOptions;
  readonly #connectTcp: buildConnector.connector;

  constructor(limits: UpstreamOptions) {
    this.#limits = limits;
    this.#connectTcp = buildConnector({ timeout: limits.connectTimeoutMs, allowH2: true });
  }

  pool(origin: string): Pool {
    return new Pool(baseUrl(origin), {
      connections: this.#limits.connectionsPerInstanceMax,
      factory: () => this.client(origin),
    });
  }

  client(origin: string): Client {
    const { connectTimeoutMs, headBytesMax } = this.#limits;
    const connector = isUnix(origin)
      ? buildConnector({ timeout: connectTimeoutMs, socketPath: origin.slice(unixScheme.length) })
      : this.#connectTcp;
    return new InstanceClient(baseUrl(origin), headBytesMax, new Link(connector));
  }
}

const unixScheme = 'unix:';
const isUnix = (origin: string): boolean => origin.startsWith(unixScheme);
const baseUrl = (origin: string): string => (isUnix(origin) ? 'http://localhost' : origin);

/** An idle connection is the instance's to close; a lost race is covered by the one retry. */
const idleConnectionMs = 600_000;

/** What a request must know of the connection it travels on; undici does not tell. */
class Link {
  /** Set while the connection is open. */
  socket: Socket | null = null;
  /** Requests written on the open connection so far. */
  requestCount = 0;
  readonly #connector: buildConnector.connector;

  constructor(connector: buildConnector.connector) {
    this.#connector = connector;
  }

  readonly connect = (where: buildConnector.Options, done: buildConnector.Callback): void => {
    this.#connector(where, (...[error, socket]) => {
      if (error !== null) return done(error, null);
      this.socket = socket;
      this.requestCount = 0;
      socket.prependListener('error', renameReset);
      socket.once('close', () => {
        this.socket = null;
      });
      done(null, socket);
    });
  };
}

/**
 * undici takes ECONNRESET in an answer without keep-alive for its end (and asserts, ending the
 * process, if the reader is paused): a truncated answer would count as complete. It looks at the
 * code alone, so another name for the same event makes it a plain error.
 */
function renameReset(error: NodeJS.ErrnoException): void {
  if (error.code === 'ECONNRESET') error.code = 'ECONNABORTED';
}

/** What `dispatch` is given. undici hands the options of a request on untouched, so they can carry the link back to us. */
export interface Attempt extends Dispatcher.DispatchOptions {
  body: Uint8Array | null;
  link: Link | null;
}

class InstanceClient extends Client {
  readonly #link: Link;

  constructor(url: string, headBytesMax: number, link: Link) {
    super(url, {
      connect: link.connect,
      maxHeaderSize: headBytesMax,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: idleConnectionMs,
      keepAliveMaxTimeout: idleConnectionMs,
    });
    this.#link = link;
  }

  override dispatch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
  ): boolean {
    (options as Attempt).link = this.#link;
    return super.dispatch(options, handler);
  }
}
