import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * An engine that does what a test says, request by request, where the emulated engine would do what
 * an engine does. It answers health checks and scrapes by itself.
 */

export interface EngineCall {
  readonly method: string;
  readonly url: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Buffer;
}

export type Act = (call: EngineCall) => void | Promise<void>;

export class ScriptedEngine {
  readonly url: string;
  /** Everything but health checks and scrapes, in the order received. */
  readonly calls: EngineCall[] = [];
  models: readonly string[] = ['scripted'];
  isHealthy = true;
  /** `null`: a scrape is a call like any other. */
  metrics: string | null = 'vllm:num_requests_running 0\n';
  act: Act;
  readonly #server: Server;

  private constructor(server: Server, act: Act) {
    this.#server = server;
    this.act = act;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(act: Act): Promise<ScriptedEngine> {
    const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 });
    await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve));
    const engine = new ScriptedEngine(server, act);
    server.on('request', (request, response) => {
      void engine.#handle(request, response);
    });
    return engine;
  }

  close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    return closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? '/';
    const method = request.method ?? 'GET';
    if (url === '/health') {
      response.writeHead(this.isHealthy ? 200 : 503, { 'content-length': 0 }).end();
    } else if (url === '/v1/models') {
      sendJson(response, 200, { object: 'list', data: this.models.map((id) => ({ id })) });
    } else if (url === '/metrics' && this.metrics !== null) {
      response.writeHead(200, { 'content-type': 'text/plain' }).end(this.metrics);
    } else {
      const body = await readBody(request);
      const call = { method, url, request, response, body };
      this.calls.push(call);
      await this.act(call);
    }
  }
}

function readBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => resolve(Buffer.concat(pieces)));
  });
}

export function sendJson(response: ServerResponse, status: number, value: object): void {
  const text = JSON.stringify(value);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  response.writeHead(status, headers).end(text);
}

/** An event of a chat's stream, with a choice. */
export function chatEvent(content: string): string {
  const choices = [{ index: 0, delta: { content }, finish_reason: null }];
  return `data: ${JSON.stringify({ object: 'chat.completion.chunk', choices })}\n\n`;
}

export const doneEvent = 'data: [DONE]\n\n';

/** Sends the head of an event stream at once, as engines do. */
export function beginStream({ response }: EngineCall): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
}

/** A whole chat, streamed if the request says so. */
export function answerChat(call: EngineCall, content = 'hello'): void {
  const { stream } = JSON.parse(call.body.toString()) as { stream?: boolean };
  if (stream === true) {
    beginStream(call);
    call.response.end(chatEvent(content) + doneEvent);
    return;
  }
  const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }];
  sendJson(call.response, 200, { object: 'chat.completion', choices });
}
