import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { RequestFault } from '../errors.ts';
import type { HeaderList } from '../terms.ts';
import type { Listen, Listener } from './exchange.ts';
import { portUnavailable, serve } from './front-end.ts';
import { newRequestId } from './headers.ts';
import { HttpExchange } from './http-exchange.ts';

/**
 * The front end on `node:http`, for platforms without a uWebSockets.js binary. One thread: on
 * Node 20 a second one cannot listen on the same port.
 */

/** As uWebSockets.js has it: idle connections, heads on their way, clients that take no byte. */
const idleTimeoutMs = 10_000;

export const listenHttp: Listen = (options, handler) => {
  if (options.shared) {
    return Promise.reject(new Error('the node:http front end cannot share its port with threads'));
  }
  const busy = new WeakMap<Socket, number>();
  const server = createServer({
    maxHeaderSize: options.headerBytesMax,
    headersTimeout: idleTimeoutMs,
    keepAliveTimeout: idleTimeoutMs,
    connectionsCheckingInterval: 1_000,
    // Bodies have a limit on progress, answers may take as long as they need.
    requestTimeout: 0,
  });
  server.timeout = idleTimeoutMs;
  // All of them are counted by `serve`: above its own limit, node would drop fields in silence.
  server.maxHeadersCount = 0;
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const { socket } = request;
    busy.set(socket, (busy.get(socket) ?? 0) + 1);
    response.on('close', () => busy.set(socket, busy.get(socket)! - 1));
    const exchange = new HttpExchange(request, response, options.bodyTimeoutMs);
    serve(exchange, options, handler);
    exchange.handlerReturned();
  };
  server.on('request', onRequest);
  server.on('checkExpectation', onRequest);
  server.on('clientError', (error, socket) => {
    refuse(error, socket as Socket, (busy.get(socket as Socket) ?? 0) > 0);
  });
  server.on('timeout', (socket) => {
    // A silent answer may go on; an idle connection and a client that takes nothing may not.
    if ((busy.get(socket) ?? 0) === 0 || socket.writableLength > 0) socket.destroy();
  });
  const { host, port } = options;
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(portUnavailable(options, error)));
    server.listen({ host, port, exclusive: true }, () => resolve(new HttpListener(server)));
  });
};

/** Bytes that are not HTTP, or a head that is too large or too late: nobody else has seen it. */
function refuse(error: NodeJS.ErrnoException, socket: Socket, answering: boolean): void {
  // Another answer is on its way on this connection: a second one would end up in its middle.
  if (answering || !socket.writable) {
    socket.destroy();
    return;
  }
  socket.end(refusal(error.code), () => socket.destroy());
}

function refusal(errorCode: string | undefined): string {
  if (errorCode === 'HPE_HEADER_OVERFLOW') {
    return rawFault(new RequestFault('headers_too_large', 'the request head is too large'));
  }
  if (errorCode === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return rawFault(new RequestFault('body_timeout', 'the request head did not arrive in time'));
  }
  return rawAnswer(400, [], '');
}

function rawFault(fault: RequestFault): string {
  const fields = [...fault.headers(), 'x-request-id', newRequestId()];
  return rawAnswer(fault.status, fields, fault.toJson());
}

/** There is no request to answer, so there is no `ServerResponse` either. ASCII only. */
function rawAnswer(status: number, fields: HeaderList, body: string): string {
  const all = [...fields, 'connection', 'close', 'content-length', String(body.length)];
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
  for (let index = 0; index < all.length; index += 2)
    text += `${all[index]}: ${all[index + 1]}\r\n`;
  return `${text}\r\n${body}`;
}

class HttpListener implements Listener {
  readonly port: number;
  private readonly server: Server;

  constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  stop(): void {
    this.server.close();
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      // Its error, that the server was stopped before, is what `stop` is for.
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }
}
