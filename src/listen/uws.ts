import type { TemplatedApp, us_listen_socket } from 'uWebSockets.js';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { DenseSet } from '../dense-set.ts';
import type { Listen, Listener, ListenOptions } from './exchange.ts';
import { portUnavailable, serve } from './front-end.ts';
import { UwsExchange } from './uws-exchange.ts';

/**
 * The front end on uWebSockets.js, one app a listener, on the thread that calls. A thread must
 * `close()` its listeners and end by itself: ending it by force aborts the process.
 */

type Uws = typeof import('uWebSockets.js');

/** What the binary has and its types lack. */
type App = Pick<TemplatedApp, 'any'> & {
  listen(host: string, port: number, sharing: number, opened: (socket: Opened) => void): void;
  close(): void;
};
type Opened = us_listen_socket | false;

/** `us_listen_socket` options; the module's types name them, the module does not have them. */
const portShared = 0;
const portExclusive = 1;

/**
 * Loads the binary for this platform and Node. Throws if there is none: the package's own entry
 * would fall back to an incomplete imitation instead.
 */
export function loadUws(): Uws {
  const require = createRequire(import.meta.url);
  const { platform, arch, versions } = process;
  const name = `uws_${platform}_${arch}_${versions.modules}.node`;
  const folder = dirname(require.resolve('uWebSockets.js/package.json'));
  // The official build keeps its binaries in the package's root.
  const path = [join(folder, 'binaries', name), join(folder, name)].find((file) =>
    existsSync(file),
  );
  if (path === undefined) throw new Error(`uWebSockets.js has no ${name}`);
  return require(path) as Uws;
}

/** The `uws` front end. Several threads may share a port; see `probePort` for that case. */
export const listenUws: Listen = async (options, handler) => {
  // uWS sets SO_REUSEPORT on explicit ports only: a second thread would not get in.
  if (options.shared && options.port === 0) throw new Error('a shared port must be given');
  const uws = loadUws();
  // Its answers else carry a field that names it.
  uws._cfg('999999990007');
  return new Promise((resolve, reject) => {
    const receiving = new DenseSet<UwsExchange>();
    const app = uws.App() as unknown as App;
    app.any('/*', (response, request) => {
      const exchange = new UwsExchange(response, request, receiving);
      serve(exchange, options, handler);
      exchange.handlerReturned();
    });
    const sharing = options.shared ? portShared : portExclusive;
    app.listen(options.host, options.port, sharing, (socket) => {
      if (socket === false) {
        app.close();
        reject(portUnavailable(options));
        return;
      }
      resolve(new UwsListener(uws, app, socket, sweepBodies(receiving, options)));
    });
  });
};

/** One timer for all bodies on their way: a timer each would cost every request. */
function sweepBodies(receiving: DenseSet<UwsExchange>, options: ListenOptions): NodeJS.Timeout {
  const { bodyTimeoutMs } = options;
  // Well below uWS's own 10 s, which a sweep restarts.
  const intervalMs = Math.max(1, Math.min(bodyTimeoutMs / 8, 2_000));
  const timer = setInterval(() => {
    for (const exchange of receiving.snapshot()) exchange.sweep(intervalMs, bodyTimeoutMs);
  }, intervalMs);
  return timer.unref();
}

class UwsListener implements Listener {
  readonly port: number;
  private readonly uws: Uws;
  private readonly app: App;
  private readonly sweeper: NodeJS.Timeout;
  private socket: us_listen_socket | null;

  constructor(uws: Uws, app: App, socket: us_listen_socket, sweeper: NodeJS.Timeout) {
    this.uws = uws;
    this.app = app;
    this.socket = socket;
    this.sweeper = sweeper;
    this.port = uws.us_socket_local_port(socket);
  }

  stop(): void {
    if (this.socket === null) return;
    this.uws.us_listen_socket_close(this.socket);
    this.socket = null;
  }

  close(): Promise<void> {
    this.stop();
    clearInterval(this.sweeper);
    this.app.close();
    return new Promise((resolve) => setImmediate(resolve));
  }
}
