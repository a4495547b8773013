import type {
  Exchange,
  ExchangeHandler,
  Listen,
  Listener,
  ListenOptions,
} from '../../src/listen/exchange.ts';
import { listenHttp } from '../../src/listen/http.ts';
import { listenUws, loadUws } from '../../src/listen/uws.ts';

/** The front ends under test; uWebSockets.js has no binary for every Node. */
export const frontEnds: { name: 'uws' | 'http'; listen: Listen; missing: string | null }[] = [
  { name: 'uws', listen: listenUws, missing: whyNotUws() },
  { name: 'http', listen: listenHttp, missing: null },
];

function whyNotUws(): string | null {
  try {
    loadUws();
    return null;
  } catch (error) {
    return String(error);
  }
}

export const listenDefaults: ListenOptions = {
  host: '127.0.0.1',
  port: 0,
  shared: false,
  headerCountMax: 40,
  headerBytesMax: 16_384,
  bodyTimeoutMs: 5_000,
};

/** Listeners that a test opened; `closeAll` after each test. */
export class OpenListeners {
  private readonly listeners: Listener[] = [];

  async open(
    listen: Listen,
    handler: ExchangeHandler,
    options: Partial<ListenOptions> = {},
  ): Promise<Listener> {
    const listener = await listen({ ...listenDefaults, ...options }, handler);
    this.listeners.push(listener);
    return listener;
  }

  async closeAll(): Promise<void> {
    await Promise.all(this.listeners.splice(0).map((listener) => listener.close()));
  }
}

/** Takes the next error that would have ended the process, in place of the test runner. */
export function nextUncaught(): Promise<Error> {
  const runners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  return new Promise((resolve) => {
    process.once('uncaughtException', (error) => {
      for (const runner of runners) process.on('uncaughtException', runner);
      resolve(error);
    });
  });
}

/** Answers with what it was sent. */
export async function echo(exchange: Exchange): Promise<void> {
  const body = await exchange.readBody(8 * 1024 * 1024);
  exchange.cork(() => {
    exchange.head(200, ['content-type', 'application/octet-stream'], body.byteLength);
    exchange.end(body);
  });
}
