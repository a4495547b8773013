import { errors } from 'undici';
import type { UpstreamFaultCode } from '../errors.ts';
import type { HeaderList } from '../terms.ts';

/**
 * Between undici's view of a message and ours: header fields of requests and answers, and its
 * errors as codes of our own table. Plain functions without state; only `undici.ts` calls them.
 */

export function connectFaultCode(error: NodeJS.ErrnoException): UpstreamFaultCode {
  const timedOut = error instanceof errors.ConnectTimeoutError || error.code === 'ETIMEDOUT';
  return timedOut ? 'connect_timeout' : 'connect_failed';
}

export function brokenAnswerCode(error: Error, seen: string): UpstreamFaultCode {
  if (error instanceof errors.HeadersOverflowError) return 'headers_too_large';
  if (error instanceof errors.HTTPParserError) {
    return error.message.includes('Invalid EOF state') ? 'reset' : 'garbage';
  }
  // undici says this of a head it rejects too, if the head had a content-length.
  if (error instanceof errors.ResponseContentLengthMismatchError) {
    return seen === 'byte' ? 'garbage' : 'reset';
  }
  // undici asserts what its parser lets through, a status of 000.
  if (error.name === 'AssertionError') return 'garbage';
  // 'bad response': bytes nobody asked for, or 100 Continue; 'bad upgrade': 101.
  if (error instanceof errors.SocketError && error.message.startsWith('bad ')) return 'garbage';
  return 'reset';
}

/** A 304 may announce the length of the body it rightly does not have; undici misses that body. */
export function isWhole304(error: Error, status: number): boolean {
  return status === 304 && error instanceof errors.ResponseContentLengthMismatchError;
}

/** The error of a host with several addresses that all fail has a code and no message. */
export function describe(error: NodeJS.ErrnoException): string {
  return error.message === '' ? String(error.code) : error.message;
}

/** `connection` and `transfer-encoding` too, which are read on the way. */
const hopByHop = new Set(['keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade']);

export interface AnswerFields {
  readonly fields: HeaderList;
  readonly bodyBytes: number;
  /**
   * A transfer coding that is not plainly `chunked`, which undici would pass on still coded (gzip)
   * or read as close-delimited (one it does not know).
   */
  readonly coded: boolean;
}

/** Field names in lower case, fields that end at this hop removed, the announced length read. */
export function readFields(raw: readonly Buffer[]): AnswerFields {
  const fields: string[] = [];
  let bodyBytes = -1;
  let codings = '';
  let listed: Set<string> | null = null;
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index]!.toString('latin1').toLowerCase();
    const value = withoutTrailingBlanks(raw[index + 1]!.toString('latin1'));
    if (name === 'content-length') bodyBytes = Number(value);
    else if (name === 'connection') listed = addListed(listed, value);
    else if (name === 'transfer-encoding') codings += value.toLowerCase();
    else if (!hopByHop.has(name)) fields.push(name, value);
  }
  const coded = codings !== '' && codings !== 'chunked';
  if (listed === null) return { fields, bodyBytes, coded };
  const kept: string[] = [];
  for (let index = 0; index < fields.length; index += 2) {
    if (!listed.has(fields[index]!)) kept.push(fields[index]!, fields[index + 1]!);
  }
  return { fields: kept, bodyBytes, coded };
}

/** undici's parser leaves the blanks behind a value in it. */
function withoutTrailingBlanks(value: string): string {
  let end = value.length;
  while (end > 0 && (value[end - 1] === ' ' || value[end - 1] === '\t')) end -= 1;
  return end === value.length ? value : value.slice(0, end);
}

/** Names that a `connection` field declares hop-by-hop; `null` for the usual `keep-alive`. */
function addListed(listed: Set<string> | null, value: string): Set<string> | null {
  for (const token of value.toLowerCase().split(',')) {
    const name = token.trim();
    if (name === '' || name === 'close' || name === 'keep-alive') continue;
    listed ??= new Set();
    listed.add(name);
  }
  return listed;
}
