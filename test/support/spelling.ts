/**
 * Every way of writing one request body as bytes that must not change its keys: white space, order
 * of keys, escapes, duplicate keys, fields that the router does not read.
 */
import { type Field, fields, type Json, type JsonFields, type Prompt } from './prompts.ts';
import { Random } from './random.ts';

/** What a spelling varies; all of it must leave every hash as it is. */
export interface Spelling {
  readonly space?: boolean;
  readonly order?: boolean;
  readonly escapes?: boolean;
  readonly duplicates?: boolean;
  readonly unknown?: boolean;
}

export const everySpelling: Required<Spelling> = {
  space: true,
  order: true,
  escapes: true,
  duplicates: true,
  unknown: true,
};

/** The body in bytes, by default the one plainest spelling. */
export function spell(prompt: Prompt, spelling: Spelling = {}, seed = 0): Uint8Array {
  const random = new Random(seed);
  const body = spelling.unknown ? withUnknown(prompt, random) : prompt.body;
  return Buffer.from(new Speller(spelling, random).value(body));
}

class Speller {
  readonly #spelling: Spelling;
  readonly #random: Random;

  constructor(spelling: Spelling, random: Random) {
    this.#spelling = spelling;
    this.#random = random;
  }

  value(value: Json): string {
    return this.#space() + this.#bare(value) + this.#space();
  }

  #bare(value: Json): string {
    if (value === null || typeof value === 'boolean') return String(value);
    if (typeof value === 'string') return this.#string(value);
    if ('digits' in value) return value.digits;
    if (!('fields' in value)) return `[${value.map((one) => this.value(one)).join(',')}]`;
    const texts = this.#arranged(value.fields).map(
      ([key, field]) => `${this.#space()}${this.#string(key)}${this.#space()}:${this.value(field)}`,
    );
    return `{${texts.join(',')}}`;
  }

  /** Shuffled, and with earlier duplicates: the genuine field is always the last of its name. */
  #arranged(list: readonly Field[]): readonly Field[] {
    const random = this.#random;
    const arranged: Field[] = [];
    for (const field of this.#spelling.order ? random.shuffled(list) : list) {
      if (this.#spelling.duplicates && random.chance(40)) {
        const duplicate: Field = [field[0], random.pick(junk)];
        arranged.splice(random.below(arranged.length + 1), 0, duplicate);
      }
      arranged.push(field);
    }
    return arranged;
  }

  #string(text: string): string {
    // The platform's own writer escapes what must be escaped, lone surrogates included.
    if (!this.#spelling.escapes) return JSON.stringify(text);
    // By code points; what is no pair comes alone.
    return `"${Array.from(text, (letter) => this.#letter(letter)).join('')}"`;
  }

  #letter(letter: string): string {
    if (this.#random.chance(50)) return JSON.stringify(letter).slice(1, -1);
    if (letter === '/') return '\\/';
    const hex = (unit: number) => `\\u${this.#case(unit.toString(16).padStart(4, '0'))}`;
    return letter
      .split('')
      .map((unit) => hex(unit.charCodeAt(0)))
      .join('');
  }

  #case(digits: string): string {
    return this.#random.chance(50) ? digits.toUpperCase() : digits;
  }

  #space(): string {
    if (!this.#spelling.space) return '';
    return this.#random.pick(['', '', ' ', '\n', '\t', '\r\n', '  \n\t ']);
  }
}

const junk: readonly Json[] = [
  null,
  true,
  'user',
  '',
  { digits: '-1.5e3' },
  [],
  [[{ digits: '7' }], 'text'],
  fields(['role', 'user'], ['content', 'never read']),
];

const samplingFields: readonly Field[] = [
  ['temperature', { digits: '0.7' }],
  ['max_tokens', { digits: '128' }],
  ['stop', ['\n', '</s>']],
  ['seed', { digits: '-7' }],
  ['logit_bias', fields(['50256', { digits: '-100' }])],
  ['user', 'somebody'],
  ['session_id', 'session'],
  ['priority', { digits: '3' }],
  ['stream_options', fields(['include_usage', true])],
  ['response_format', fields(['type', 'text'], ['text', null])],
];

/** Adds what is not read: sampling parameters, unknown fields, fields of another kind of body. */
function withUnknown({ kind, body }: Prompt, random: Random): JsonFields {
  const foreign: readonly Field[] =
    kind === 'chat'
      ? [
          ['prompt', 'a completion'],
          ['input', { digits: '1' }],
        ]
      : [
          ['messages', fields()],
          ['tools', { digits: '2' }],
        ];
  const top: readonly Field[] = [...samplingFields, ...foreign, ['stream', random.chance(50)]];
  const list = body.fields.map(
    ([key, value]): Field => [key, key === 'messages' ? annotated(value, random) : value],
  );
  return scattered({ fields: list }, top, random);
}

/** Unknown fields in messages and in text parts; a part of another type is digested whole. */
function annotated(messages: Json, random: Random): Json {
  if (!Array.isArray(messages)) return messages;
  return messages.map((message: JsonFields) => {
    const list = message.fields.map(([key, value]): Field => {
      if (key !== 'content' || !Array.isArray(value)) return [key, value];
      return [key, value.map((part) => (isTextPart(part) ? annotate(part, random) : part))];
    });
    return annotate({ fields: list }, random);
  });
}

function annotate(object: JsonFields, random: Random): JsonFields {
  return scattered(
    object,
    [
      ['name', 'n'],
      ['refusal', null],
      ['cache_control', junk],
    ],
    random,
  );
}

function isTextPart(part: Json): part is JsonFields {
  if (part === null || typeof part !== 'object' || !('fields' in part)) return false;
  return part.fields.some(([key]) => key === 'text');
}

function scattered(object: JsonFields, extra: readonly Field[], random: Random): JsonFields {
  const list = [...object.fields];
  for (const field of extra) {
    if (random.chance(50)) list.splice(random.below(list.length + 1), 0, field);
  }
  return { fields: list };
}
