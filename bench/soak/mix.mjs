/**
 * The requests of a soak run: of each kind what is sent, what the client does to it, and what makes
 * its answer a good one. Pure, but for a counter: no prompt with a distinct prefix comes twice.
 */

const chatPath = '/v1/chat/completions';
const sharedPrefixes = 64;
const bigBodyBytes = 400_000;
/** About 3 MB of events: more than the kernel's buffers hide from the router. */
const slowReaderTokens = 16_000;
/** Prefill takes about so long; who leaves later may have the first token. */
const leaveAfterMsMax = 6;

/** Numbers in 0..1, the same for the same seed (mulberry32). */
export function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Share of each kind, in percent. */
const shares = {
  unary: 38,
  stream: 38,
  completion: 6,
  leavesBeforeFirstToken: 5,
  leavesAfterFirstToken: 5,
  slowReader: 0.25,
  bigBody: 0.25,
  bad: 4.5,
  get: 3,
};
export const kinds = Object.keys(shares);

const badRequests = [
  { body: '{"messages": [', status: 400, code: 'invalid_json' },
  { body: '{"messages": "hello"}', status: 400, code: 'invalid_type' },
  { body: '{"messages": []}', status: 400, code: 'empty_prompt' },
  { body: '{"messages":[{"role":"user","content":"x"}],"model":"none"}', status: 404 },
  { body: '{"messages":[{"role":"user","content":"x"}],"max_tokens":0}', status: 400 },
  { path: '/v1/completions', body: '{"prompt": ""}', status: 400, code: 'empty_prompt' },
  { path: '/flush_cache', body: '{}', status: 404, code: 'unknown_route' },
  { method: 'GET', body: null, status: 405, code: 'method_not_allowed' },
];
const paths = ['/health', '/readiness', '/v1/models'];

export class Mix {
  #random;
  #text;
  #serial = 0;

  constructor(seed) {
    this.#random = randomFrom(seed);
    const words = Array.from({ length: 4_096 }, () => this.#random().toString(36).slice(2, 8));
    this.#text = Array.from({ length: 2 ** 17 }, () => words[this.#below(words.length)]).join(' ');
  }

  /**
   * `{kind, method, path, body, stream, tokens, expected: {status, code}}`; `body` null is none.
   * With `leaveAfterMs` for clients that leave before the first token.
   */
  next() {
    this.#serial += 1;
    const kind = this.#kind();
    const request = { kind, method: 'POST', path: chatPath, stream: false, tokens: 0 };
    const expected = { status: 200, code: null };
    if (kind === 'get') {
      const path = paths[this.#serial % paths.length];
      return { ...request, expected, method: 'GET', path, body: null };
    }
    if (kind === 'bad') {
      const { status, code = null, ...bad } = badRequests[this.#serial % badRequests.length];
      return { ...request, ...bad, expected: { status, code } };
    }
    return { ...request, expected, ...this.#generation(kind) };
  }

  #generation(kind) {
    const leaves = kind.startsWith('leaves');
    const tokens = kind === 'slowReader' ? slowReaderTokens : 4 + this.#below(leaves ? 800 : 60);
    const isEither = kind === 'completion' || kind === 'bigBody';
    const stream = isEither ? this.#random() < 0.5 : kind !== 'unary';
    const usual = { max_tokens: tokens, stream };
    if (kind === 'completion') {
      const body = JSON.stringify({ prompt: this.#prompt(1_000), ...usual });
      return { path: '/v1/completions', body, tokens, stream };
    }
    const bytes = kind === 'bigBody' ? bigBodyBytes : 200 + this.#below(leaves ? 8_000 : 4_000);
    const messages = [{ role: 'user', content: this.#prompt(bytes) }];
    if (this.#random() < 0.5) messages.unshift({ role: 'system', content: this.#sharedPrefix() });
    const leaveAfterMs = this.#random() * leaveAfterMsMax;
    return { body: JSON.stringify({ messages, ...usual }), tokens, stream, leaveAfterMs };
  }

  /** Distinct from its first bytes on. */
  #prompt(bytes) {
    const at = this.#below(this.#text.length - bytes);
    return `${this.#serial} ${this.#text.slice(at, at + bytes)}`;
  }

  #sharedPrefix() {
    const at = this.#below(sharedPrefixes) * 4_000;
    return this.#text.slice(at, at + 2_000);
  }

  #kind() {
    let left = this.#random() * 100;
    for (const kind of kinds) {
      left -= shares[kind];
      if (left < 0) return kind;
    }
    return 'unary';
  }

  #below(limit) {
    return Math.floor(this.#random() * limit);
  }
}

/** What is wrong with an answer that was read to its end; `null` if it is as it must be. */
export function faultOf({ expected, stream, tokens }, { status, complete, text }) {
  if (status !== expected.status) return `status ${status}, not ${expected.status}`;
  if (!complete) return 'the answer broke off';
  if (expected.code !== null && !text.includes(`"code":"${expected.code}"`)) {
    return `not the code ${expected.code}`;
  }
  if (tokens === 0 || status !== 200) return null;
  const tokensSeen = text.split(' token').length - 1;
  if (tokensSeen !== tokens) return `${tokensSeen} tokens, not ${tokens}`;
  return stream && !text.endsWith('data: [DONE]\n\n') ? 'no end of the stream' : null;
}
