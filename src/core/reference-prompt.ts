/**
 * The reference twin of the prompt scan: request body -> canonical prompt -> block hashes and level
 * keys. Written from native/core/README.md alone, slow and obvious. For tests only, any thread.
 */
import { RequestFault, type RequestFaultCode } from '../errors.ts';
import type { PromptKind } from '../terms.ts';
import { chained, xxh3 } from './reference-hash.ts';
import {
  canonicalJson,
  JsonNumber,
  type JsonObject,
  type JsonValue,
  readObject,
} from './reference-json.ts';

export interface ReferenceScan {
  /** If not null, everything below is empty. */
  readonly fault: RequestFaultCode | null;
  readonly stream: boolean;
  readonly priority: number;
  readonly model: string;
  /** Length of the canonical prompt. */
  readonly promptBytes: number;
  readonly firstUserEnd: number;
  readonly canonical: Uint8Array;
  readonly blockHashes: readonly bigint[];
  readonly levelKeys: readonly bigint[];
}

const blockBytes = 512;
const levelLast = 16;
const partDigestRepeats = 256;
const textTypes = new Set<JsonValue>(['text', 'input_text', 'output_text']);

export function referenceScan(body: Uint8Array, kind: PromptKind): ReferenceScan {
  try {
    return scan(readObject(body), kind);
  } catch (error) {
    if (error instanceof RequestFault) return faulted(error.code);
    throw error;
  }
}

function faulted(fault: RequestFaultCode): ReferenceScan {
  return {
    fault,
    stream: false,
    priority: 0,
    model: '',
    promptBytes: 0,
    firstUserEnd: 0,
    canonical: new Uint8Array(0),
    blockHashes: [],
    levelKeys: [],
  };
}

function scan(body: JsonObject, kind: PromptKind): ReferenceScan {
  const model = optionalString(body, 'model') ?? '';
  const salt = optionalString(body, 'cache_salt') ?? '';
  const stream = body.get('stream') ?? false;
  if (typeof stream !== 'boolean') throw wrongType('stream');
  const priority = priorityOf(body.get('priority') ?? null);

  const head = `\xffM${model}${salt === '' ? '' : `\xffS${salt}`}`;
  const { text, firstUserEnd } = kind === 'chat' ? chatText(head, body) : rawText(head, body, kind);

  const canonical = Buffer.from(text, 'latin1');
  const blockHashes = chain(canonical);
  return {
    fault: null,
    stream,
    priority,
    model: Buffer.from(model, 'latin1').toString('utf8'),
    promptBytes: canonical.length,
    firstUserEnd,
    canonical,
    blockHashes,
    levelKeys: levelKeys(canonical, blockHashes, firstUserEnd),
  };
}

interface PromptText {
  /** Byte string. */
  readonly text: string;
  readonly firstUserEnd: number;
}

function chatText(head: string, body: JsonObject): PromptText {
  let text = head;
  const tools = optionalArray(body, 'tools') ?? [];
  if (tools.length > 0) text += `\xffT${canonicalJson(tools)}`;

  const messages = body.get('messages') ?? [];
  if (!Array.isArray(messages)) throw wrongType('messages');
  if (messages.length === 0) throw new RequestFault('empty_prompt', 'no messages');

  let firstUserEnd: number | undefined;
  for (const message of messages) {
    if (!(message instanceof Map)) throw wrongType('message');
    text += messageText(message);
    if (message.get('role') === 'user') firstUserEnd ??= text.length;
  }
  return { text, firstUserEnd: firstUserEnd ?? text.length };
}

function messageText(message: JsonObject): string {
  const role = optionalString(message, 'role');
  if (role === null) throw wrongType('role');
  let text = `\xffm${role}${contentText(message.get('content') ?? null)}`;
  const toolCalls = optionalArray(message, 'tool_calls');
  if (toolCalls !== null) text += `\xffc${canonicalJson(toolCalls)}`;
  const toolCallId = optionalString(message, 'tool_call_id');
  if (toolCallId !== null) text += `\xffi${toolCallId}`;
  return text;
}

function contentText(content: JsonValue): string {
  if (content === null) return '';
  if (typeof content === 'string') return `\xfft${content}`;
  if (!Array.isArray(content)) throw wrongType('content');
  return content.map(partText).join('');
}

function partText(part: JsonValue): string {
  if (typeof part === 'string') return `\xfft${part}`;
  if (!(part instanceof Map)) throw wrongType('part');
  if (textTypes.has(part.get('type') ?? null)) {
    const text = part.get('text');
    if (typeof text !== 'string') throw wrongType('text');
    return `\xfft${text}`;
  }
  const digest = xxh3(Buffer.from(canonicalJson(part), 'latin1'));
  return `\xffb${digest.toString(16).padStart(16, '0').repeat(partDigestRepeats)}`;
}

function rawText(head: string, body: JsonObject, kind: PromptKind): PromptText {
  const field = kind === 'completion' ? 'prompt' : 'input';
  const prompt = body.get(field) ?? '';
  const isEmpty = prompt === '' || (Array.isArray(prompt) && prompt.length === 0);
  if (isEmpty) throw new RequestFault('empty_prompt', `no ${field}`);
  const isTokenList = Array.isArray(prompt) && prompt[0] instanceof JsonNumber;
  const elements = Array.isArray(prompt) && !isTokenList ? prompt : [prompt];
  const text = head + elements.map(rawFrame).join('');
  return { text, firstUserEnd: text.length };
}

function rawFrame(element: JsonValue): string {
  if (typeof element === 'string') return `\xfft${element}`;
  if (!Array.isArray(element)) throw wrongType('prompt');
  return `\xffk${element.map(tokenBytes).join('')}`;
}

function tokenBytes(token: JsonValue): string {
  const isInteger = token instanceof JsonNumber && /^[0-9]+$/.test(token.text);
  if (!isInteger || BigInt(token.text) > 0xffff_ffffn) throw wrongType('token id');
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(Number(token.text));
  return bytes.toString('latin1');
}

function chain(canonical: Buffer): bigint[] {
  const hashes: bigint[] = [];
  for (let end = blockBytes; end <= canonical.length; end += blockBytes) {
    hashes.push(chained(hashes.at(-1) ?? 0n, canonical.subarray(end - blockBytes, end)));
  }
  return hashes;
}

function levelKeys(canonical: Buffer, hashes: readonly bigint[], firstUserEnd: number): bigint[] {
  const keys: bigint[] = [];
  for (let level = 0; level <= levelLast; level += 1) {
    const levelBytes = blockBytes * 2 ** level;
    keys.push(keyOf(canonical, hashes, Math.min(levelBytes, firstUserEnd)));
    if (levelBytes >= firstUserEnd) break;
  }
  return keys;
}

/** The key of the first `end` bytes: the chain's hash there, with what fills no block added. */
function keyOf(canonical: Buffer, hashes: readonly bigint[], end: number): bigint {
  const blocks = Math.floor(end / blockBytes);
  const upTo = blocks === 0 ? 0n : hashes[blocks - 1]!;
  const rest = canonical.subarray(blocks * blockBytes, end);
  return rest.length === 0 && blocks > 0 ? upTo : chained(upTo, rest);
}

/** An integer of 32 bits, in digits; null counts as absent. */
function priorityOf(value: JsonValue): number {
  if (value === null) return 0;
  const isInteger = value instanceof JsonNumber && /^-?[0-9]+$/.test(value.text);
  if (!isInteger || BigInt.asIntN(32, BigInt(value.text)) !== BigInt(value.text)) {
    throw wrongType('priority');
  }
  // Of -0 too.
  return Number(BigInt(value.text));
}

function optionalString(object: JsonObject, key: string): string | null {
  const value = object.get(key) ?? null;
  if (value !== null && typeof value !== 'string') throw wrongType(key);
  return value;
}

function optionalArray(object: JsonObject, key: string): JsonValue[] | null {
  const value = object.get(key) ?? null;
  if (value !== null && !Array.isArray(value)) throw wrongType(key);
  return value;
}

function wrongType(field: string): RequestFault {
  return new RequestFault('invalid_type', `${field} has the wrong type`);
}
