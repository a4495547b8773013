import { expect, test } from 'vitest';
import { StreamWriter } from '../../src/emulate/answers.ts';
import { Job } from '../../src/emulate/engine.ts';
import { parseInference } from '../../src/emulate/openai.ts';

const limits = { model: 'm', contextTokensMax: 1_000 };
const label = { id: 'id', model: 'm', created: 1 };
const messages = [{ role: 'user', content: 'hello' }];

/** The choice of each event, for an answer of four tokens told in pieces of these sizes. */
function choices(pieces: number[]): unknown[] {
  const body = { messages, stream: true, max_tokens: 4 };
  const request = parseInference('chat', body, limits);
  const writer = new StreamWriter('chat', label, request);
  const job = new Job({ promptTokens: 1, blocks: [], outputTokens: 4 }, 0, () => undefined);
  const texts = pieces.map((tokens) => {
    job.producedTokens += tokens;
    job.state = job.producedTokens === 4 ? 'finished' : 'decoding';
    return writer.events(job, tokens);
  });
  const events = texts.join('').split('\n\n');
  expect(events.slice(-2)).toEqual(['data: [DONE]', '']);
  return events.slice(0, -2).map((event) => JSON.parse(event.slice('data: '.length)).choices[0]);
}

test.each([[[1, 1, 1, 1]], [[4]], [[1, 3]], [[3, 1]]])(
  'a stream told in pieces of %j',
  (pieces) => {
    const token = { index: 0, delta: { content: ' token' }, logprobs: null, finish_reason: null };
    expect(choices(pieces)).toEqual([
      { ...token, delta: { role: 'assistant', content: '' } },
      token,
      token,
      token,
      { ...token, finish_reason: 'length' },
    ]);
  },
);
