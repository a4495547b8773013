import { afterEach, describe, it } from 'vitest';
import type { Exchange, Listen } from '../../src/listen/exchange.ts';
import { eventually, RawClient } from './listen-client.ts';
import { frontEnds, OpenListeners } from './listen-server.ts';

/*
 * One suite for both front ends, on real sockets: `test/conformance/listen-*.test.ts`. Where they
 * differ, the expectation says so: look for `on uws` and `on http`.
 */

/** What a suite is given for one front end. */
export interface FrontEndUnderTest {
  readonly name: 'uws' | 'http';
  readonly listen: Listen;
  readonly opened: OpenListeners;
  connect(port: number): Promise<RawClient>;
  /** Skips where the front end has no binary for this platform. */
  readonly test: typeof it;
}

export function eachFrontEnd(title: string, suite: (front: FrontEndUnderTest) => void): void {
  describe.each(frontEnds)(`${title} $name`, ({ name, listen, missing }) => {
    const opened = new OpenListeners();
    const clients: RawClient[] = [];
    const connect = async (port: number): Promise<RawClient> => {
      const client = await RawClient.connect(port);
      clients.push(client);
      return client;
    };
    afterEach(async () => {
      for (const client of clients.splice(0)) client.socket.destroy();
      await opened.closeAll();
    });
    suite({ name, listen, opened, connect, test: missing === null ? it : (it.skip as typeof it) });
  });
}

export const get = (path: string, ...fields: string[]) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
export const post = (bodyBytes: number, ...fields: string[]) =>
  `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${bodyBytes}\r\n` +
  `${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
export const postChunked = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';

/** A handler that leaves the exchange to the test. */
export class Caught {
  readonly exchanges: Exchange[] = [];
  readonly handler = (exchange: Exchange): void => {
    this.exchanges.push(exchange);
  };

  async next(count = 1): Promise<Exchange> {
    await eventually(() => this.exchanges.length >= count, `request ${count}`);
    return this.exchanges[count - 1]!;
  }
}
