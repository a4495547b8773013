import { randomBytes } from 'node:crypto';
import type { HeaderList } from '../terms.ts';
import type { Exchange } from './exchange.ts';

/**
 * Header fields between client and instance: what is passed on, what is not, and whether a request
 * head can be trusted. Pure functions; any thread. Strings are byte strings: one character, one
 * byte.
 */

/** Fields about one connection, and fields that whoever sends a message writes itself. */
const requestFieldsDropped = new Set([
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'host',
  'content-length',
  'x-request-id',
]);

/** What an answer must not carry twice: the front ends write these themselves. */
const answerFieldsDropped = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'date',
]);

/**
 * The fields of a request that go to the instance: end-to-end ones, in their order, and
 * `x-request-id` last. Fields that `Connection` names are about the client's connection and stay
 * here, whatever they are called.
 */
export function forwardedRequestHeaders(headers: HeaderList, requestId: string): HeaderList {
  const named = namedByConnection(headers);
  const list: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!;
    if (requestFieldsDropped.has(name) || name.startsWith('proxy-') || named?.has(name)) continue;
    list.push(name, headers[index + 1]!);
  }
  list.push('x-request-id', requestId);
  return list;
}

function namedByConnection(headers: HeaderList): Set<string> | null {
  let named: Set<string> | null = null;
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] !== 'connection') continue;
    for (const token of headers[index + 1]!.split(',')) {
      named ??= new Set();
      named.add(token.trim().toLowerCase());
    }
  }
  return named;
}

const saneRequestId = /^[\w.:+/=@-]{1,128}$/;

/**
 * The client's `x-request-id` if it is fit for logs and for a header field, otherwise a new one.
 */
export function requestIdOf(exchange: Pick<Exchange, 'header'>): string {
  const received = exchange.header('x-request-id');
  return received !== undefined && saneRequestId.test(received) ? received : newRequestId();
}

/** Random once a thread, then counted: unique over threads, routers and restarts. */
const requestIdStart = `${randomBytes(9).toString('hex')}-`;
let requestIdCount = 0;

export function newRequestId(): string {
  requestIdCount += 1;
  return requestIdStart + requestIdCount;
}

/** First value of a field by its lower-case name. */
export function headerOf(headers: HeaderList, name: string): string | undefined {
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] === name) return headers[index + 1];
  }
  return undefined;
}

/**
 * Body bytes that a request head announces: a number, or -1 if the body is chunked. `null` if two
 * readers could disagree about where the body ends: that is how requests are smuggled.
 */
export function announcedBodyBytes(headers: HeaderList): number | null {
  let length: string | undefined;
  let coding: string | undefined;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!;
    if (name === 'content-length') {
      if (length !== undefined) return null;
      length = headers[index + 1]!;
    } else if (name === 'transfer-encoding') {
      if (coding !== undefined) return null;
      coding = headers[index + 1]!;
    }
  }
  if (coding !== undefined) {
    return length === undefined && coding.toLowerCase() === 'chunked' ? -1 : null;
  }
  if (length === undefined) return 0;
  return /^\d{1,15}$/.test(length) ? Number(length) : null;
}

/** Bytes of a request head as it was sent, about: for the limit. */
export function headBytes(exchange: Pick<Exchange, 'path' | 'query' | 'headers'>): number {
  const { path, query, headers } = exchange;
  let bytes = path.length + query.length;
  // Every string in the list is followed by two bytes: `: ` or the line's end.
  for (let index = 0; index < headers.length; index += 1) bytes += headers[index]!.length + 2;
  return bytes;
}

/**
 * The fields of an answer that a front end sends. A line break in one would split the answer: that
 * is a broken invariant of whoever passed it here, since no parser of ours lets one through.
 */
export function answerHeaders(headers: HeaderList): HeaderList {
  const list: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!;
    const value = headers[index + 1]!;
    if (answerFieldsDropped.has(name)) continue;
    if (!isFieldText(name) || !isFieldText(value)) {
      throw new Error(`header field ${JSON.stringify(name)} of an answer has a forbidden byte`);
    }
    list.push(name, value);
  }
  return list;
}

/**
 * The same as lines, `\r\nname: value` each. Lists that many answers share are read once: frozen
 * ones, as `dispatch/native.ts` makes them of equal heads.
 */
export function answerHeaderLines(headers: HeaderList): string {
  const known = linesKnown.get(headers);
  if (known !== undefined) return known;
  let lines = '';
  const fields = answerHeaders(headers);
  for (let index = 0; index < fields.length; index += 2) {
    lines += `\r\n${fields[index]!}: ${fields[index + 1]!}`;
  }
  if (Object.isFrozen(headers)) linesKnown.set(headers, lines);
  return lines;
}

const linesKnown = new WeakMap<HeaderList, string>();

/** A loop, since it runs for each field of each answer, and beats a pattern on short text. */
function isFieldText(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === 0 || code === 10 || code === 13 || code > 0xff) return false;
  }
  return true;
}
