/**
 * The reference twin's JSON: a small strict reader and the canonical writer. For tests only, any
 * thread. Specification: native/core/README.md, "Canonical prompt".
 *
 * Text is held as a *byte string*, one character a byte, so that lone surrogates (WTF-8) need no
 * type of their own and plain string comparison is comparison by bytes.
 */
import { isUtf8 } from 'node:buffer';
import { RequestFault } from '../errors.ts';

/** A number by its text in the body: 1, 1.0 and 1e0 are three different numbers here. */
export class JsonNumber {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** Strings and keys are byte strings, unescaped. Of duplicate keys the last is kept. */
export type JsonValue = null | boolean | string | JsonNumber | JsonValue[] | JsonObject;
export type JsonObject = Map<string, JsonValue>;

const canonicalDepthMax = 64;
// No value that is read lies deeper: what we read as trees begins at most four levels down. Below,
// the reader only counts brackets, so that no nest can exhaust its stack.
const readDepthMax = 2 * canonicalDepthMax;

/** The one JSON object in the body. Throws RequestFault `invalid_json`. */
export function readObject(body: Uint8Array): JsonObject {
  if (!isUtf8(body)) throw notJson('not UTF-8');
  const text = Buffer.from(body).toString('latin1');
  // A byte order mark is no JSON, but every parser behind us skips one.
  const value = new Reader(text.replace(/^\xef\xbb\xbf/, '')).document();
  if (!(value instanceof Map)) throw notJson('not an object');
  return value;
}

/** Canonical JSON as a byte string. Throws RequestFault `too_deep`. */
export function canonicalJson(value: JsonValue, depth = 1): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return `\xfe${value}\xfe`;
  if (value instanceof JsonNumber) return value.text;
  if (depth > canonicalDepthMax) throw new RequestFault('too_deep', 'nested too deep');
  if (Array.isArray(value)) {
    return `[${value.map((element) => canonicalJson(element, depth + 1)).join(',')}]`;
  }
  const keys = [...value.keys()].sort((left, right) => (left < right ? -1 : 1));
  const fields = keys.map((key) => `\xfe${key}\xfe:${canonicalJson(value.get(key)!, depth + 1)}`);
  return `{${fields.join(',')}}`;
}

function notJson(why: string): RequestFault {
  return new RequestFault('invalid_json', why);
}

const shortEscapes = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): JsonValue {
    const value = this.#value(1);
    this.#space();
    if (this.#at < this.#text.length) throw notJson('bytes after the value');
    return value;
  }

  #value(depth: number): JsonValue {
    this.#space();
    const next = this.#text[this.#at];
    if (next === '{' || next === '[') {
      if (depth > readDepthMax) return this.#skipNest();
      return next === '{' ? this.#object(depth) : this.#array(depth);
    }
    if (next === '"') return this.#string();
    if (this.#take('true')) return true;
    if (this.#take('false')) return false;
    if (this.#take('null')) return null;
    const number = this.#match(/-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y);
    if (number === undefined) throw notJson('no value');
    return new JsonNumber(number);
  }

  #object(depth: number): JsonObject {
    const fields: JsonObject = new Map();
    this.#at += 1;
    this.#space();
    if (this.#take('}')) return fields;
    do {
      this.#space();
      if (this.#text[this.#at] !== '"') throw notJson('no key');
      const key = this.#string();
      this.#space();
      if (!this.#take(':')) throw notJson('no colon');
      fields.set(key, this.#value(depth + 1));
      this.#space();
    } while (this.#take(','));
    if (!this.#take('}')) throw notJson('object not closed');
    return fields;
  }

  #array(depth: number): JsonValue[] {
    const elements: JsonValue[] = [];
    this.#at += 1;
    this.#space();
    if (this.#take(']')) return elements;
    do {
      elements.push(this.#value(depth + 1));
      this.#space();
    } while (this.#take(','));
    if (!this.#take(']')) throw notJson('array not closed');
    return elements;
  }

  #string(): string {
    let out = '';
    this.#at += 1;
    for (;;) {
      // All bytes but quote, backslash and control characters.
      out += this.#match(/[ !#-[\]-\xff]*/y) ?? '';
      if (this.#take('"')) return out;
      if (this.#text[this.#at] !== '\\') throw notJson('string not closed, or a control character');
      out += this.#escape();
    }
  }

  #escape(): string {
    const short = shortEscapes.get(this.#text[this.#at + 1] ?? '');
    if (short !== undefined) {
      this.#at += 2;
      return short;
    }
    const escaped = this.#match(/\\u[0-9a-fA-F]{4}/y);
    if (escaped === undefined) throw notJson('bad escape');
    const unit = Number.parseInt(escaped.slice(2), 16);
    const isHigh = unit >= 0xd800 && unit <= 0xdbff;
    const low = isHigh ? this.#match(/\\u[dD][c-fC-F][0-9a-fA-F]{2}/y) : undefined;
    if (low === undefined) return wobbly(unit);
    const lowUnit = Number.parseInt(low.slice(2), 16);
    return wobbly(0x10000 + ((unit - 0xd800) << 10) + (lowUnit - 0xdc00));
  }

  #skipNest(): null {
    let open = 0;
    do {
      const next = this.#text[this.#at];
      if (next === undefined) throw notJson('nest not closed');
      if (next === '"') {
        this.#string();
        continue;
      }
      if (next === '{' || next === '[') open += 1;
      if (next === '}' || next === ']') open -= 1;
      this.#at += 1;
    } while (open > 0);
    return null;
  }

  #space(): void {
    this.#match(/[ \t\n\r]*/y);
  }

  #take(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #match(sticky: RegExp): string | undefined {
    sticky.lastIndex = this.#at;
    const found = sticky.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }
}

/** UTF-8 of a code point as a byte string; a surrogate gives its three WTF-8 bytes. */
function wobbly(codePoint: number): string {
  if (codePoint < 0x80) return String.fromCharCode(codePoint);
  const tail = (shift: number) => 0x80 | ((codePoint >> shift) & 0x3f);
  if (codePoint < 0x800) return String.fromCharCode(0xc0 | (codePoint >> 6), tail(0));
  if (codePoint < 0x10000) return String.fromCharCode(0xe0 | (codePoint >> 12), tail(6), tail(0));
  return String.fromCharCode(0xf0 | (codePoint >> 18), tail(12), tail(6), tail(0));
}
