/**
 * What the load and the engines of `bench overhead` say to each other: one request header that
 * every proxy passes on, bodies of a given length, and stamps inside of events. Pure.
 */
import type { StreamShape } from './cells.ts';

/** Different prompts, so that a router that places by prefix has something to place. */
const prefixesMax = 256;
const bodyBytesOfAllMax = 32 * 2 ** 20;

export const prefixCount = (bodyBytes: number): number =>
  Math.min(prefixesMax, Math.max(16, Math.floor(bodyBytesOfAllMax / bodyBytes)));

/** The value of the header `x-bench`. `id`: names a stream whose close shall be noted; 0: none. */
export function shapeText({ intervalMs, chunks, phases, stamped }: StreamShape, id = 0): string {
  return `interval=${intervalMs} chunks=${chunks} phases=${phases} stamped=${stamped ? 1 : 0} id=${id}`;
}

const shapePattern =
  /\r\nx-bench: *interval=(\d+) chunks=(\d+) phases=(\d+) stamped=([01]) id=(\d+)\r\n/i;

export function parseShape(head: string): { shape: StreamShape; id: number } | null {
  const match = shapePattern.exec(head);
  if (match === null) return null;
  const [intervalMs, chunks, phases, stamped, id] = match.slice(1).map(Number);
  const shape = { intervalMs: intervalMs!, chunks: chunks!, phases: phases! };
  return { shape: { ...shape, stamped: stamped === 1 }, id: id! };
}

/** A chat request of exactly `bodyBytes`; bench/overhead/post.lua makes the same ones for wrk. */
export function requestBody(bodyBytes: number, prefix: number, isStream: boolean): Buffer {
  const head = `{"model":"m","stream":${isStream},"messages":[{"role":"system","content":"You are assistant number ${prefix}. `;
  const tail = '"},{"role":"user","content":"hi"}]}';
  const fill = bodyBytes - head.length - tail.length;
  if (fill < 0) throw new RangeError(`a request has at least ${bodyBytes - fill} bytes`);
  const words = `lorem ipsum dolor sit amet ${prefix} `;
  return Buffer.from(head + words.repeat(Math.ceil(fill / words.length)).slice(0, fill) + tail);
}

export function requestBytes(
  bodyBytes: number,
  prefix: number,
  stream?: { readonly shape: StreamShape; readonly id: number },
): Buffer {
  const body = requestBody(bodyBytes, prefix, stream !== undefined);
  const head = [
    'POST /v1/chat/completions HTTP/1.1',
    'Host: x',
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    ...(stream === undefined ? [] : [`X-Bench: ${shapeText(stream.shape, stream.id)}`]),
  ];
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]);
}

/** Digits of a stamp: nanoseconds of the machine's monotonic clock, the same in every process. */
const stampDigits = 19;

export const stampText = (ns: bigint): string => ns.toString().padStart(stampDigits, '0');

const stampPattern = /"stamp":"(\d{19})"/g;
/** Longer than a stamp with its name: what may be cut in two between two reads. */
const stampTailMax = 32;

/** Finds the stamps in a stream of bytes, wherever it is cut. */
export class StampReader {
  #tail = '';

  read(bytes: Buffer, onStamp: (ns: bigint) => void): void {
    const text = this.#tail + bytes.toString('latin1');
    let end = 0;
    for (const match of text.matchAll(stampPattern)) {
      onStamp(BigInt(match[1]!));
      end = match.index + match[0].length;
    }
    this.#tail = text.slice(Math.max(end, text.length - stampTailMax));
  }
}
