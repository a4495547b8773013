import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../clock.ts';
import { EngineHost, type HostStats } from './host.ts';
import { sendJson } from './inference.ts';
import { EngineFault } from './openai.ts';
import { type EngineOptions, engineSettings } from './presets.ts';
import { routes } from './routes.ts';
import type { Switches } from './switches.ts';

/**
 * Owns the HTTP server of an emulated engine and its faults on purpose. In the thread of the event
 * loop; several engines in one process share nothing. A client that goes away ends the work that
 * was done for it.
 */

export interface EmulatedEngine {
  /** `http://127.0.0.1:9001`, without a trailing slash. */
  readonly url: string;
  readonly port: number;
  stats(): HostStats;
  /** Changes the switches named, for requests that arrive from now on; `slow` for all. */
  setSwitches(switches: Partial<Switches>): void;
  /** Breaks every connection and resolves when all are closed, as if the engine had been killed. */
  close(): Promise<void>;
}

/** A body above this is refused; vLLM itself has no such limit. */
const bodyBytesMax = 64 * 1024 * 1024;

/** Rejects with RangeError for bad options, with the system's error if the port cannot be had. */
export async function startEngine(options: EngineOptions): Promise<EmulatedEngine> {
  const settings = engineSettings(options);
  const host = new EngineHost(settings, systemClock);
  host.setSwitches(options.switches ?? {});

  const server = createServer((request, response) => {
    void handle(host, request, response);
  });
  server.keepAliveTimeout = settings.keepAliveTimeoutMs;
  // A request that hangs on purpose must not be answered 408 by the server.
  server.requestTimeout = 0;
  const port = await listen(server, settings.host, settings.port);
  const address = settings.host.includes(':') ? `[${settings.host}]` : settings.host;
  return {
    url: `http://${address}:${port}`,
    port,
    stats: () => host.stats(),
    setSwitches: (switches) => host.setSwitches(switches),
    close: () => {
      host.pacemaker.stop();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      return closed;
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

async function handle(
  host: EngineHost,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '/').split('?', 1)[0]!;
  const route = routes.get(path);
  const inference = route?.scope === 'inference' && request.method === route.method;
  if (inference) host.received++;
  try {
    if (route?.scope !== 'emulator' && misbehave(host.switches, inference, request, response)) {
      return;
    }
    if (route === undefined) throw new EngineFault(404, 'Not Found');
    if (request.method !== route.method) {
      response.setHeader('allow', route.method);
      throw new EngineFault(405, 'Method Not Allowed');
    }
    const body = await readBody(request);
    // The client may have gone while it sent the body: nobody is left to answer.
    if (body !== null) route.answer(host, { request, response, body });
  } catch (error) {
    if (!(error instanceof EngineFault)) throw error;
    sendJson(response, error.status, error.toJson());
  }
}

/**
 * Does what the switches say. True if the request is dealt with; throws EngineFault for the
 * switches that answer.
 */
function misbehave(
  switches: Switches,
  inference: boolean,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  if (switches.closeKeepAlive) response.once('finish', () => request.socket.end());
  if (switches.hang) {
    request.resume();
    return true;
  }
  if (!inference) return false;
  if (switches.reset) {
    request.socket.resetAndDestroy();
    return true;
  }
  if (switches.garbage) {
    request.resume();
    request.socket.end('\u0016\u0003\u0001 this is not HTTP\r\n\r\n', 'latin1');
    return true;
  }
  if (switches.fail) throw new EngineFault(500, 'Internal server error');
  if (switches.unavailable) throw new EngineFault(503, 'The engine is not available');
  return false;
}

/** The whole body; null if the client left before its end. Rejects with EngineFault 413. */
function readBody(request: IncomingMessage): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= bodyBytesMax) chunks.push(chunk);
      else reject(new EngineFault(413, `the body exceeds ${bodyBytesMax} bytes`));
    });
    request.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    // After the end this changes nothing: a promise settles once.
    request.once('close', () => resolve(null));
  });
}
