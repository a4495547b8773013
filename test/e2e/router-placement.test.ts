import { expect, test } from 'vitest';
import { startRouter } from '../../src/serve.ts';
import { type HttpAnswer, HttpClient } from '../support/e2e-client.ts';
import { chat, chatPath, configFor, withRouter } from '../support/router.ts';

/** Where requests go, as `--explain` tells it. */

const conversationsCount = 8;
const turnsCount = 5;

interface Message {
  readonly role: string;
  readonly content: string;
}

function conversation(index: number): Message[] {
  const messages: Message[] = [{ role: 'system', content: 'You are terse.' }];
  for (let turn = 0; turn < turnsCount; turn += 1) {
    const content = `Conversation ${index}, turn ${turn}: ${'tell me more. '.repeat(60)}`;
    messages.push({ role: 'user', content }, { role: 'assistant', content: ' token'.repeat(4) });
  }
  return messages;
}

const field = ({ headers }: HttpAnswer, name: string) => String(headers[`x-dualmap-${name}`]);

/** Asks turn after turn, all conversations in step. Returns the answers of each conversation. */
async function converse(client: HttpClient): Promise<HttpAnswer[][]> {
  const answers = Array.from({ length: conversationsCount }, (): HttpAnswer[] => []);
  for (let turn = 0; turn < turnsCount; turn += 1) {
    for (const [index, list] of answers.entries()) {
      const messages = conversation(index).slice(0, 2 + 2 * turn);
      list.push(await client.post(chatPath, chat('', { messages })));
    }
  }
  return answers;
}

test('the turns of a conversation stay on one pair, and where their cache is', async () => {
  const setup = { engines: 5, engineOptions: { blockTokens: 128 }, config: { explain: true } };
  await withRouter(setup, async ({ client, urls, engines }) => {
    const conversations = await converse(client);
    for (const answers of conversations) {
      const pairs = new Set(answers.map((answer) => field(answer, 'candidates')));
      expect([...pairs]).toHaveLength(1);
      const candidates = [...pairs][0]!.split(', ');
      expect(new Set(candidates).size).toBe(2);
      for (const candidate of candidates) expect(urls).toContain(candidate);
      const instances = new Set(answers.map((answer) => field(answer, 'instance')));
      expect(instances.size).toBe(1);
      expect(candidates).toContain([...instances][0]);
      // From the second turn on the router knows what the instance has cached.
      const [first, second, ...later] = answers.map((answer) =>
        Number(field(answer, 'cached-tokens')),
      );
      expect(first).toBe(0);
      expect(second).toBeGreaterThan(0);
      expect(later.at(-1)).toBeGreaterThan(second!);
      expect(answers.slice(1).map((answer) => field(answer, 'reason'))).toEqual(
        Array.from({ length: turnsCount - 1 }, () => 'warm_claim'),
      );
      expect(Number(field(answers[0]!, 'estimated-ttft-ms'))).toBeGreaterThan(0);
    }
    const pairs = conversations.map((answers) => field(answers[0]!, 'candidates'));
    expect(new Set(pairs).size).toBeGreaterThan(2);
    // And the cache is really there.
    const cached = engines.reduce((sum, engine) => sum + engine.stats().cachedTokens, 0);
    expect(cached).toBeGreaterThan(conversationsCount * turnsCount * 128);
  });
});

test('a second router of the same configuration gives the same pairs', async () => {
  const setup = { engines: 5, config: { explain: true } };
  await withRouter(setup, async ({ client, urls }) => {
    const twin = await startRouter(configFor(urls, setup.config));
    const twinClient = new HttpClient(twin.url);
    try {
      const pairsOf = (conversations: HttpAnswer[][]) =>
        conversations.map((answers) => answers.map((answer) => field(answer, 'candidates')));
      const pairs = pairsOf(await converse(client));
      expect(pairsOf(await converse(twinClient))).toEqual(pairs);
      expect(pairs.flat().every((pair) => pair.includes(', '))).toBe(true);
    } finally {
      twinClient.close();
      await twin.close();
    }
  });
});

test('without --explain an answer says nothing of where it came from', async () => {
  await withRouter({ engines: 2 }, async ({ client }) => {
    const { headers } = await client.post(chatPath, chat('hello'));
    expect(Object.keys(headers).filter((name) => name.startsWith('x-dualmap'))).toEqual([]);
  });
});

test('a model goes to the instances that serve it, and nowhere else', async () => {
  const setup = { engines: 2, scripts: [() => undefined] };
  await withRouter(setup, async ({ client, engines, scripted }) => {
    for (let count = 0; count < 12; count += 1) {
      const body = chat(`question ${count}`, { model: 'emulated-7b' });
      expect((await client.post(chatPath, body)).status).toBe(200);
    }
    expect(scripted[0]!.calls).toHaveLength(0);
    const received = engines.map((engine) => engine.stats().received);
    expect(received.reduce((sum, count) => sum + count, 0)).toBe(12);
    expect(Math.min(...received)).toBeGreaterThan(0);
  });
});
