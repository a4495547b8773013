/**
 * The corpus of request bodies that `bench decide` reads: chat, code, other scripts, escapes; 1 KB
 * to 400 KB; the same bytes on every machine and in every run. Pure.
 */
import { createHash } from 'node:crypto';

export interface CorpusBody {
  /** Kind and size: `code-64k`. */
  readonly name: string;
  readonly kind: CorpusKind;
  /** UTF-8, exactly as long as its name says, and 64 readable bytes of slack behind it. */
  readonly body: Uint8Array;
}

export const corpusKinds = ['chat', 'code', 'scripts', 'escapes'] as const;
export type CorpusKind = (typeof corpusKinds)[number];
const sizesKB = [1, 4, 16, 64, 400];

/** simdjson reads up to 64 bytes past the end. */
const slackBytes = 64;
const systemPrompt =
  'You are a careful assistant. Answer briefly, and say so when you do not know.';

const english =
  'the of and to in is that for it as with was on be by at this have from or had but some what there we out other were all your when up use word how said an each she which do their time if will way about many then them would write like so these her long make thing see him two has look more day could go come did my sound no most number who over know water than call first people may down side been now find'.split(
    ' ',
  );
/** Chinese, Japanese, Korean, Russian, Greek, Arabic, Hindi and emoji, as their writers send them. */
const foreign =
  '请 用 简单 的 语言 解释 这个 问题 并且 给出 例子 これは 長い 文章 です もう少し 詳しく 説明して ください 이 문장을 번역해 주세요 сколько времени займёт эта работа и почему πόσο γρήγορα τρέχει αυτό مرحبا كيف يمكنني أن أساعدك यह कैसे काम करता है 🙂 🚀 👩‍💻 ✅'.split(
    ' ',
  );
const code = [
  'export function route(request, fleet) {\n',
  '  const key = hash(request.model + "/" + request.prefix) ?? null;\n',
  '  if (fleet.length === 0) throw new Error("no instance serves");\n',
  '  for (let index = 0; index < fleet.length; index += 1) {\n',
  '\tprintf("%-20s %8.3f\\n", names[i], values[i]);\n',
  '    # keep the warm one as long as it meets its objective\n',
  "    return {'path': 'C:\\\\models\\\\qwen', 'tokens': [1, 2, 3]}\n",
  '  }\n}\n\n',
];

/** Every body, kind by kind, each from small to large. */
export function makeCorpus(): CorpusBody[] {
  return corpusKinds.flatMap((kind, at) =>
    sizesKB.map((size) => ({
      name: `${kind}-${size}k`,
      kind,
      body: withSlack(makeBody(kind, size * 1024, newRandom(at * 1000 + size))),
    })),
  );
}

/** Names the bytes: figures over different corpora are not to be compared. */
export function corpusDigest(corpus: readonly CorpusBody[]): string {
  const hash = createHash('sha256');
  for (const { body } of corpus) hash.update(body);
  return hash.digest('hex').slice(0, 16);
}

/** A conversation, its last message as long as is missing, to the byte. */
function makeBody(kind: CorpusKind, bodyBytes: number, random: () => number): string {
  const fields = { model: 'qwen2.5-7b-instruct', temperature: 0.7, max_tokens: 256, stream: true };
  const head = JSON.stringify(fields).slice(0, -1);
  const messages = [JSON.stringify({ role: 'system', content: systemPrompt })];
  const size = () => Buffer.byteLength(`${head},"messages":[${messages.join(',')}]}`);
  // A turn is at most 4 KB; the rest must hold an empty message.
  const turnBytes = Math.min(4096, bodyBytes / 4);
  while (size() + turnBytes * 2 < bodyBytes) {
    const role = messages.length % 2 === 1 ? 'user' : 'assistant';
    messages.push(makeMessage(role, kind, makeText(kind, turnBytes, random)));
  }
  messages.push(makeMessage('user', kind, ''));
  const last = makeText(kind, bodyBytes - size(), random);
  messages[messages.length - 1] = makeMessage('user', kind, last);
  const missing = bodyBytes - size();
  messages[messages.length - 1] = makeMessage('user', kind, last + '.'.repeat(missing));
  return `${head},"messages":[${messages.join(',')}]}`;
}

function makeMessage(role: string, kind: CorpusKind, content: string): string {
  const json = JSON.stringify({ role, content });
  return kind === 'escapes' ? escapeAll(json) : json;
}

/** Text whose JSON has at most `jsonBytes`. */
function makeText(kind: CorpusKind, jsonBytes: number, random: () => number): string {
  const pieces = kind === 'chat' ? english : kind === 'code' ? code : foreign;
  const gap = kind === 'code' ? '' : ' ';
  // An escape is six bytes for a character; an emoji is up to twelve of those.
  const cost = (text: string) =>
    kind === 'escapes' ? escapeAll(text).length : Buffer.byteLength(JSON.stringify(text)) - 2;
  let text = '';
  let bytes = 0;
  for (;;) {
    const piece = pieces[Math.floor(random() * pieces.length)]! + gap;
    bytes += cost(piece);
    if (bytes > jsonBytes - 64) return text;
    text += piece;
  }
}

/** As Python's `json.dumps` writes it. */
function escapeAll(json: string): string {
  return json.replace(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function withSlack(text: string): Uint8Array {
  const bytes = Buffer.from(text);
  const body = new Uint8Array(new ArrayBuffer(bytes.length + slackBytes), 0, bytes.length);
  body.set(bytes);
  return body;
}

/** mulberry32: 0 to below 1. */
function newRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
