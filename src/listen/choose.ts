import { type AddressInfo, createServer } from 'node:net';
import type { Listen } from './exchange.ts';
import { portUnavailable } from './front-end.ts';
import { listenHttp } from './http.ts';
import { listenUws, loadUws } from './uws.ts';

/** Picks the front end of this process, on the main thread, before any thread listens. */

export interface FrontEnd {
  readonly name: 'uws' | 'http';
  readonly listen: Listen;
  /** Whether several threads can listen on one port. */
  readonly sharesPort: boolean;
}

/** uWebSockets.js where it has a binary that loads; otherwise `node:http`, with one warning. */
export function chooseFrontEnd(warn: (line: string) => void): FrontEnd {
  try {
    loadUws();
    return { name: 'uws', listen: listenUws, sharesPort: true };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    warn(`front end: node:http, slower and on one I/O thread, because ${reason}`);
    return { name: 'http', listen: listenHttp, sharesPort: false };
  }
}

/**
 * Rejects if the port is in use; resolves with the port, a free one for 0. Threads that share a
 * port listen with SO_REUSEPORT, which would also let a second process in and split the traffic
 * with it: so this comes first, once.
 */
export function probePort(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => reject(portUnavailable({ host, port }, error)));
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address() as AddressInfo;
      server.close(() => resolve(address.port));
    });
  });
}
