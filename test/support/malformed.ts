/** Bodies with exactly one fault, in a field that the router reads, and the fault they must get. */
import type { RequestFaultCode } from '../../src/errors.ts';
import type { PromptKind } from '../../src/terms.ts';

type Malformed = readonly [
  fault: RequestFaultCode,
  name: string,
  kind: PromptKind,
  body: string | Uint8Array,
];

function shown(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 60)}...`;
}

function bodies(fault: RequestFaultCode, kind: PromptKind, texts: readonly string[]): Malformed[] {
  return texts.map((text) => [fault, `${kind} ${shown(text)}`, kind, text]);
}

/** One message, with the given text in place of its content, by bytes. */
function content(...bytes: number[]): Uint8Array {
  const [before, after] = ['{"messages":[{"role":"user","content":"', '"}]}'];
  return Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)]);
}

const oneMessage = '"messages":[{"role":"user"}]';
const withField = (field: string) => `{${field},${oneMessage}}`;
const inMessage = (field: string) => `{"messages":[{"role":"user",${field}}]}`;
const withParts = (part: string) => inMessage(`"content":[${part}]`);
const nest = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
const nestedObjects = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

const notJson = [
  ...bodies('invalid_json', 'chat', ['', ' \n', 'null', '[]', '"x"', '3', '{', '}', 'x', '{]']),
  ...bodies('invalid_json', 'chat', ['{"messages"', '{"messages":', '{"messages":[', '{,}']),
  ...bodies('invalid_json', 'chat', [
    `{${oneMessage}`,
    `{${oneMessage}}{}`,
    `{${oneMessage}} x`,
    `{${oneMessage}}\0`,
    `[{${oneMessage}}]`,
    `{${oneMessage},}`,
    `{,${oneMessage}}`,
    "{'messages':[]}",
    '{messages:[]}',
    '{"messages" [{"role":"user"}]}',
    '{"messages":[{"role":"user"},]}',
    '{"messages":[{"role":"user"}{"role":"user"}]}',
    '{"messages":[{"role":"user"]}',
    '{"messages":[{"role":"user"}}',
    '{"messages":[{"role" "user"}]}',
    '{"messages":[{"role":"user" "content":"x"}]}',
    '{"messages":[{"role":"user","content":"x]}',
    inMessage('"content":nul'),
    inMessage('"content":nulls'),
    inMessage('"content":tru'),
    inMessage('"content":"\\x"'),
    inMessage('"content":"\\u12"'),
    inMessage('"content":"\\u12g4"'),
    inMessage('"content":"\\ud83d\\u12g4"'),
    inMessage('"content":"\t"'),
    inMessage('"content":"\0"'),
    withField('"model":nulll'),
    withField('"model":"m'),
    withField('"stream":tru'),
    withField('"stream":truee'),
    '['.repeat(100_000),
    '{"a":'.repeat(100_000),
  ]),
  ...bodies(
    'invalid_json',
    'chat',
    [
      ...['01', '1.', '.5', '+1', '1e', '-', '1e+', '0x1', '--1', 'NaN', 'Infinity'],
      ...['tru', 'nul', 'falsee', 'x', '1 2', '1,', ',1', '{"a":1,}', '{"a" 1}', '{a:1}', '{"a"}'],
      ...['"\\x"', '"\\ud8"', '"\n"', '{"\\x":1}', '{"a":}', '{1:1}', '[1', '{"a":1'],
    ].map((element) => withField(`"tools":[${element}]`)),
  ),
  ...bodies('invalid_json', 'completion', ['{"prompt":[1', '{"prompt":"a}', '{"prompt":[1 2]}']),
] as const;

const notUtf8: readonly Malformed[] = [
  ['FF', [0xff]],
  ['a lone continuation byte', [0x80]],
  ['an overlong NUL', [0xc0, 0x80]],
  ['an overlong slash', [0xe0, 0x80, 0xaf]],
  ['a surrogate in UTF-8', [0xed, 0xa0, 0x80]],
  ['beyond the last code point', [0xf4, 0x90, 0x80, 0x80]],
  ['a sequence cut short', [0xe2, 0x82]],
].map(([name, bytes]) => [
  'invalid_json',
  `not UTF-8: ${name}`,
  'chat',
  content(...(bytes as number[])),
]);

const wrongType = [
  ...bodies(
    'invalid_type',
    'chat',
    [
      ...['3', 'true', '{}', '[]'].flatMap((value) => [
        `"model":${value}`,
        `"cache_salt":${value}`,
      ]),
      ...['"true"', '1', '0', '{}', '[]'].map((value) => `"stream":${value}`),
      ...['{}', '{"a":1}', '"x"', '""', '3', 'true'].map((value) => `"tools":${value}`),
    ].map(withField),
  ),
  ...bodies(
    'invalid_type',
    'chat',
    ['{}', '"x"', '""', '3', 'true', '["x"]', '[null]', '[[]]', '[3]', '[true]', '[{}]'].map(
      (value) => `{"messages":${value}}`,
    ),
  ),
  ...bodies('invalid_type', 'chat', [
    '{"messages":[{"role":null}]}',
    '{"messages":[{"role":3}]}',
    '{"messages":[{"role":["user"]}]}',
    '{"messages":[{"content":"x"}]}',
    '{"messages":[{"role":"user"},{"content":"x"}]}',
  ]),
  ...bodies(
    'invalid_type',
    'chat',
    [
      ...['3', 'true', '{}', '{"type":"text","text":"x"}'].map((value) => `"content":${value}`),
      ...['{}', '"x"', '3', 'true'].map((value) => `"tool_calls":${value}`),
      ...['{}', '[]', '3', 'true'].map((value) => `"tool_call_id":${value}`),
    ].map(inMessage),
  ),
  ...bodies('invalid_type', 'chat', ['3', 'null', 'true', '[]', '["x"]'].map(withParts)),
  ...bodies(
    'invalid_type',
    'chat',
    ['text', 'input_text', 'output_text'].flatMap((type) =>
      ['', ',"text":null', ',"text":3', ',"text":["x"]', ',"text":{}'].map((text) =>
        withParts(`{"type":"${type}"${text}}`),
      ),
    ),
  ),
  ...(['completion', 'embedding'] as const).flatMap((kind) =>
    bodies(
      'invalid_type',
      kind,
      [
        ...['3', 'true', '{}', '[null]', '[true]', '[{}]', '[1,"a"]', '["a",1]', '[[1],2]'],
        ...['[1,[2]]', '[[[1]]]', '[["a"]]', '[[null]]', '["a",null]', '["a",{}]'],
        ...[
          '[-1]',
          '[1.5]',
          '[1e2]',
          '[4294967296]',
          '[18446744073709551616]',
          '[[-1]]',
          '[1,null]',
        ],
      ].map((value) => `{"${kind === 'completion' ? 'prompt' : 'input'}":${value}}`),
    ),
  ),
];

const empty = [
  ...bodies('empty_prompt', 'chat', ['{}', '{"prompt":"x"}', ' {"messages":null} ']),
  ...bodies('empty_prompt', 'chat', ['{"messages":[]}', '{"messages":[ ]}']),
  ...bodies('empty_prompt', 'chat', [`{${oneMessage},"messages":[]}`]),
  ...bodies('empty_prompt', 'completion', ['{}', '{"prompt":null}', '{"prompt":""}']),
  ...bodies('empty_prompt', 'completion', ['{"prompt":[]}', '{"input":"x","messages":[{}]}']),
  ...bodies('empty_prompt', 'embedding', ['{}', '{"input":null}', '{"input":""}', '{"input":[]}']),
];

const tooDeep = bodies('too_deep', 'chat', [
  ...[65, 66, 200, 100_000].map((depth) => withField(`"tools":${nest(depth)}`)),
  withField(`"tools":[${nestedObjects(64)}]`),
  inMessage(`"tool_calls":${nest(65)}`),
  withParts(nestedObjects(65)),
  withParts(`{"type":"image_url","image_url":${nest(64)}}`),
]);

export const malformedBodies: readonly Malformed[] = [
  ...notJson,
  ...notUtf8,
  ...wrongType,
  ...empty,
  ...tooDeep,
];
