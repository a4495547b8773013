/**
 * `--prometheus-port`: `/metrics` alone on a port of its own, out of the reach of clients. Main
 * thread; a handful of scrapes a minute, so `node:http` will do.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export const metricsType = 'text/plain; version=0.0.4; charset=utf-8';

export interface MetricsPort {
  readonly port: number;
  close(): Promise<void>;
}

/** Rejects if the port cannot be had; 0 takes a free one. */
export async function openMetricsPort(
  host: string,
  port: number,
  text: () => Promise<string>,
): Promise<MetricsPort> {
  const server = createServer((request, response) => {
    if (request.url !== '/metrics' || request.method !== 'GET') {
      response.writeHead(404).end();
      return;
    }
    // What cannot be rendered is a broken invariant: it must reach the process, not the scraper.
    void text().then((body) => response.writeHead(200, { 'content-type': metricsType }).end(body));
  });
  await listening(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(new Error(`cannot listen for metrics on ${host}:${port}: ${cause.code}`, { cause })),
    );
    server.listen(port, host, resolve);
  });
}
