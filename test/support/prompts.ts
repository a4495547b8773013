/**
 * Request bodies for tests: generators of prompts in a normal form, and their rendering as OpenAI
 * bodies. How a body is then written as bytes is in spelling.ts.
 */
import fc from 'fast-check';
import type { PromptKind } from '../../src/terms.ts';
import { Random } from './random.ts';

/** JSON as text has it: numbers by their digits, objects by their fields in order. */
export type Json = null | boolean | string | JsonDigits | JsonFields | readonly Json[];
export interface JsonDigits {
  readonly digits: string;
}
export interface JsonFields {
  readonly fields: readonly Field[];
}
export type Field = readonly [key: string, value: Json];

export function fields(...list: Field[]): JsonFields {
  return { fields: list };
}

/** Text, or a part that is digested: a picture, a sound, anything that is not text. */
export type Content = string | JsonFields;

export interface Message {
  readonly role: string;
  readonly contents: readonly Content[];
  readonly toolCalls: readonly Json[] | null;
  readonly toolCallId: string | null;
}

/** A conversation, one value for all bodies that mean the same. */
export interface Chat {
  readonly model: string;
  readonly salt: string;
  readonly tools: readonly Json[];
  readonly messages: readonly Message[];
}

export interface Prompt {
  readonly kind: PromptKind;
  readonly body: JsonFields;
}

// -- generators ------------------------------------------------------------------------------

const letters = [
  ...'abcxyz 019.,-"\\/\n\t\u0000\u001f\u007f{}[]:',
  ...[
    '\u0080',
    'é',
    'ß',
    '\u07ff',
    '\u0800',
    '漢',
    '\ufffd',
    '\uffff',
    '\u2028',
    '😀',
    '\u{10ffff}',
  ],
  ...['\ud800', '\udbff', '\udc00', '\udfff'],
];

/** Any text: escapes, every length of UTF-8, lone surrogates and pairs that two of them make. */
export const anyText = fc.string({ unit: fc.constantFrom(...letters), maxLength: 40 });

/** From nothing to a few kilobytes, so that prompts span several blocks. */
export const longText = fc
  .tuple(anyText, fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 60 })))
  .map(([text, times]) => text.repeat(times));

const anyDigits = fc
  .oneof(
    fc.constantFrom('0', '-0', '1', '1.0', '1e0', '1E+2', '-12.50', '0.1e-7', '9'.repeat(40)),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  )
  .map((digits) => ({ digits }));

const { tree } = fc.letrec<{ tree: Json; leaf: Json }>((tie) => ({
  leaf: fc.oneof(fc.constant(null), fc.boolean(), anyText, anyDigits),
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('leaf'),
    fc.array(tie('tree'), { maxLength: 4 }),
    fieldsOf(tie('tree'), 4),
  ),
}));

/** Any JSON value; keys of one object differ. */
export const anyJson: fc.Arbitrary<Json> = tree;

function fieldsOf(value: fc.Arbitrary<Json>, maxLength: number): fc.Arbitrary<JsonFields> {
  const field = fc.tuple(anyText, value);
  return fc
    .uniqueArray(field, { selector: ([key]) => key, maxLength })
    .map((list) => ({ fields: list }));
}

const anyTool = fc
  .tuple(anyText, longText, anyJson)
  .map(([name, description, parameters]) =>
    fields(
      ['type', 'function'],
      [
        'function',
        fields(['name', name], ['description', description], ['parameters', parameters]),
      ],
    ),
  );

const anyPart = fc
  .tuple(fc.constantFrom<Json>('image_url', 'input_audio', 'Text', '', null), anyJson)
  .map(([type, value]) => fields(['type', type], ['image_url', fields(['url', value])]));

export const anyMessage: fc.Arbitrary<Message> = fc.record({
  role: fc.oneof(
    { arbitrary: fc.constantFrom('user', 'system', 'assistant', 'tool', ''), weight: 9 },
    { arbitrary: anyText, weight: 1 },
  ),
  contents: fc.array(
    fc.oneof({ arbitrary: longText, weight: 4 }, { arbitrary: anyPart, weight: 1 }),
    { maxLength: 3 },
  ),
  toolCalls: fc.option(fc.array(anyTool, { maxLength: 2 })),
  toolCallId: fc.option(anyText),
});

export const anyChat: fc.Arbitrary<Chat> = fc.record({
  model: fc.oneof(fc.constantFrom('', 'llama', 'qwen'), anyText),
  salt: fc.oneof(fc.constant(''), anyText),
  tools: fc.array(anyTool, { maxLength: 3 }),
  messages: fc.array(anyMessage, { minLength: 1, maxLength: 6 }),
});

const anyTokens = fc.array(
  fc.oneof(fc.nat({ max: 2 ** 32 - 1 }), fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1)),
  { maxLength: 400 },
);
const tokenList = (tokens: readonly number[]) => tokens.map((id) => ({ digits: String(id) }));
const isFilled = (list: string | readonly unknown[]) => list.length > 0;

const anyRawPrompt: fc.Arbitrary<Json> = fc.oneof(
  longText.filter(isFilled),
  anyTokens.filter(isFilled).map(tokenList),
  fc.array(longText, { minLength: 1, maxLength: 4 }),
  fc.array(anyTokens.map(tokenList), { minLength: 1, maxLength: 4 }),
);

/** A valid body of any kind. */
export const anyPrompt: fc.Arbitrary<Prompt> = fc.oneof(
  fc
    .tuple(anyChat, fc.integer())
    .map(([chat, seed]): Prompt => ({ kind: 'chat', body: render(chat, new Random(seed)) })),
  fc.tuple(fc.constantFrom('completion' as const, 'embedding' as const), anyText, anyRawPrompt).map(
    ([kind, model, value]): Prompt => ({
      kind,
      body: fields(['model', model], [kind === 'completion' ? 'prompt' : 'input', value]),
    }),
  ),
);

// -- rendering -------------------------------------------------------------------------------

/**
 * The chat as an OpenAI body. With a `random`, one of the forms that mean the same: what is empty
 * may be null or missing, text may be a string or a part.
 */
export function render(chat: Chat, random = new Random(0)): JsonFields {
  const list: Field[] = [...optional('model', chat.model, random)];
  list.push(...optional('cache_salt', chat.salt, random));
  list.push(...optional('tools', chat.tools, random));
  list.push(['messages', chat.messages.map((message) => renderMessage(message, random))]);
  return { fields: list };
}

function renderMessage(message: Message, random: Random): JsonFields {
  const list: Field[] = [['role', message.role]];
  const [only] = message.contents;
  const isOneText = message.contents.length === 1 && typeof only === 'string';
  if (isOneText && random.chance(50)) {
    list.push(['content', only]);
  } else {
    const parts = message.contents.map((content) => renderContent(content, random));
    list.push(...optional('content', parts, random));
  }
  if (message.toolCalls !== null) list.push(['tool_calls', message.toolCalls]);
  else if (random.chance(30)) list.push(['tool_calls', null]);
  if (message.toolCallId !== null) list.push(['tool_call_id', message.toolCallId]);
  else if (random.chance(30)) list.push(['tool_call_id', null]);
  return { fields: list };
}

function renderContent(content: Content, random: Random): Json {
  if (typeof content !== 'string') return content;
  if (random.chance(30)) return content;
  return fields(['type', random.pick(['text', 'input_text', 'output_text'])], ['text', content]);
}

function optional(key: string, value: string | readonly Json[], random: Random): Field[] {
  if (value.length > 0) return [[key, value]];
  return random.pick<Field[]>([[], [[key, null]], [[key, value]]]);
}
