import { expect } from 'vitest';
import { eventsOf, type HttpAnswer } from './e2e-client.ts';
import { eventually } from './listen-client.ts';
import { chat, chatPath, type RouterUnderTest } from './router.ts';

/** Sends chats, streamed and (if `unary`) not, `concurrency` at a time while `body` runs. */
export async function underLoad(
  { client }: RouterUnderTest,
  { concurrency, unary = true }: { concurrency: number; unary?: boolean },
  body: (load: Load) => Promise<void>,
): Promise<HttpAnswer[]> {
  const answers: HttpAnswer[] = [];
  const load: Load = { answered: () => answers.length };
  let isOver = false;
  const sendOn = async (sender: number) => {
    for (let turn = 0; !isOver; turn += 1) {
      const stream = !unary || turn % 2 === 0;
      // Prompts of their own, so that every instance gets its share.
      const prompt = `${sender} asks ${turn}: ${'why? '.repeat(100)}`;
      answers.push(await client.post(chatPath, chat(prompt, { stream })));
    }
  };
  const senders = Array.from({ length: concurrency }, (_, sender) => sendOn(sender));
  try {
    await body(load);
  } finally {
    isOver = true;
    await Promise.all(senders);
  }
  return answers;
}

export interface Load {
  answered(): number;
}

export async function more(load: Load, answers: number): Promise<void> {
  const target = load.answered() + answers;
  await eventually(() => load.answered() >= target, `${answers} more answers`, 20_000);
}

/** 200 and whole, or broken off only after a first token. */
export function expectNoneLost(answers: readonly HttpAnswer[]): void {
  for (const answer of answers) {
    expect([answer.status, answer.body.toString().slice(0, 200)]).toEqual([200, expect.anything()]);
    if (answer.complete) continue;
    const events = eventsOf(answer.body);
    expect(events[0]).toContain('"choices":[{');
    expect(events.at(-1)).toContain('upstream_failed');
  }
}
