import type { HeaderList } from '../terms.ts';
import type { UpstreamRequest } from './upstream.ts';

/** Request heads and origins as `native.ts` hands them to C++: pure functions, any thread. */

/** Where an instance listens; a Unix socket has its path as host and -1 as port. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** What follows method and target in every head: the version, and the host field. */
  readonly headStart: string;
}

/** `null` for what is no origin of plain HTTP/1.1: `http://host[:port]` or `unix:/path`. */
export function readOrigin(origin: string): Endpoint | null {
  const headStart = (host: string) => ` HTTP/1.1\r\nhost: ${host}\r\n`;
  if (origin.startsWith('unix:')) {
    const path = origin.slice('unix:'.length);
    if (!path.startsWith('/') || path.includes('\0')) return null;
    return { host: path, port: -1, headStart: headStart('localhost') };
  }
  if (!origin.startsWith('http://') || !URL.canParse(origin)) return null;
  const url = new URL(origin);
  // What is left beside the host would be lost: a path, a query, a user name.
  if (url.href !== `http://${url.host}/`) return null;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, port: url.port === '' ? 80 : Number(url.port), headStart: headStart(url.host) };
}

/** A request head, and how many lines lie between its first and its last. */
export interface RequestHead {
  readonly text: string;
  readonly fieldCount: number;
}

export function writeHead(
  request: UpstreamRequest,
  headers: HeaderList,
  endpoint: Endpoint,
): RequestHead {
  const { method, path, body } = request;
  let text = `${method} ${path}${endpoint.headStart}`;
  for (let index = 0; index + 1 < headers.length; index += 2) {
    text += `${headers[index]}: ${headers[index + 1]}\r\n`;
  }
  let fieldCount = 1 + (headers.length >> 1);
  // A method that has a body says when it is empty, or the instance might wait (RFC 9110, 8.6).
  if (body !== null || method === 'POST' || method === 'PUT' || method === 'PATCH') {
    text += `content-length: ${body === null ? 0 : body.byteLength}\r\n`;
    fieldCount += 1;
  }
  return { text: `${text}\r\n`, fieldCount };
}

/** Target and method of a head whose characters are cut to 8 bits. */
export const unfitForLatin1 = /[^\0-\xff]/;
