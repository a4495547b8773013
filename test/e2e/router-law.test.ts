import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Ending } from '../../src/terms.ts';
import { type HttpAnswer, isWholeStream } from '../support/e2e-client.ts';
import {
  type Act,
  answerChat,
  beginStream,
  chatEvent,
  type EngineCall,
  sendJson,
} from '../support/e2e-engine.ts';
import { eventually } from '../support/listen-client.ts';
import { frontEnds } from '../support/listen-server.ts';
import {
  chat,
  chatPath,
  countersAreZero,
  endingsBecome,
  endingsCount,
  type RouterUnderTest,
  retriesOf,
  withRouter,
} from '../support/router.ts';

/**
 * The law of endings: whatever mix of requests, all at once, each placed one ends exactly once, in
 * the way it did, and nothing stays reserved.
 */

interface Kind {
  readonly stream: boolean;
  /** What the engine does on the attempt of this number, 0 first. */
  act(call: EngineCall, attempt: number): void;
  /** What the client does once the instance has the request. */
  readonly client?: 'leaves at once' | 'leaves after a token';
  /** How it ends; `null`: it is refused before it is placed. */
  readonly ending: Ending | null;
  readonly status: number | null;
  readonly body?: (marker: string) => object | string;
}

const hold = () => undefined;
const reset = ({ request }: EngineCall) => request.socket.resetAndDestroy();

/** A head, a comment and `events` tokens; the reset comes when they have left. */
function streamAndReset(call: EngineCall, events: number): void {
  beginStream(call);
  const text = `: waits\n\n${chatEvent('token').repeat(events)}`;
  call.response.write(text, () => call.request.socket.resetAndDestroy());
}

function streamAndHold(call: EngineCall): void {
  beginStream(call);
  call.response.write(chatEvent('token'));
}

const kinds = {
  whole: { stream: false, act: (call) => answerChat(call), ending: 'completed', status: 200 },
  stream: { stream: true, act: (call) => answerChat(call), ending: 'completed', status: 200 },
  resetOnce: {
    stream: false,
    act: (call, attempt) => (attempt === 0 ? reset(call) : answerChat(call)),
    ending: 'completed',
    status: 200,
  },
  resetAfterHeadOnce: {
    stream: true,
    act: (call, attempt) => (attempt === 0 ? streamAndReset(call, 0) : answerChat(call)),
    ending: 'completed',
    status: 200,
  },
  resetAlways: { stream: true, act: reset, ending: 'failedBeforeFirstToken', status: 502 },
  resetAfterToken: {
    stream: true,
    act: (call) => streamAndReset(call, 2),
    ending: 'failedAfterFirstToken',
    status: 200,
  },
  unavailableOnce: {
    stream: false,
    act: (call, attempt) =>
      attempt === 0 ? sendJson(call.response, 503, { error: {} }) : answerChat(call),
    ending: 'completed',
    status: 200,
  },
  refusedByEngine: {
    stream: true,
    act: ({ response }) => sendJson(response, 400, { error: { message: 'no' } }),
    ending: 'completed',
    status: 400,
  },
  leavesBeforeToken: {
    stream: true,
    act: hold,
    client: 'leaves at once',
    ending: 'clientGone',
    status: null,
  },
  leavesUnary: {
    stream: false,
    act: hold,
    client: 'leaves at once',
    ending: 'clientGone',
    status: null,
  },
  leavesMidStream: {
    stream: true,
    act: streamAndHold,
    client: 'leaves after a token',
    ending: 'clientGone',
    status: 200,
  },
  badJson: { stream: false, act: hold, ending: null, status: 400, body: (marker) => `{"${marker}` },
  tooLarge: {
    stream: false,
    act: hold,
    ending: null,
    status: 413,
    body: (marker) => chat(marker.repeat(10_000)),
  },
  unknownModel: {
    stream: false,
    act: hold,
    ending: null,
    status: 404,
    body: (marker) => chat(marker, { model: 'none' }),
  },
} as const satisfies Record<string, Kind>;

type KindName = keyof typeof kinds;
const kindNames = Object.keys(kinds) as KindName[];

/** What the engines know of the requests of one run, all of them together. */
class Script {
  readonly kinds = new Map<string, Kind>();
  readonly attempts = new Map<string, number>();

  readonly act: Act = (call) => {
    const id = String(call.request.headers['x-request-id']);
    const attempt = this.attempts.get(id) ?? 0;
    this.attempts.set(id, attempt + 1);
    this.kinds.get(id)!.act(call, attempt);
  };
}

async function play({ client }: RouterUnderTest, script: Script, id: string): Promise<HttpAnswer> {
  const kind = script.kinds.get(id)!;
  const body = kind.body?.(id) ?? chat(`I am ${id}`, { stream: kind.stream });
  const call = client.begin(chatPath, { body, headers: { 'x-request-id': id } });
  if (kind.client === 'leaves at once') {
    await eventually(() => script.attempts.has(id), 'the engine to have the request');
    call.abort();
  } else if (kind.client === 'leaves after a token') {
    await call.untilReceived('token');
    call.abort();
  }
  return call.answer;
}

describe.each(frontEnds)('behind the front end $name', ({ name, missing }) => {
  test.skipIf(missing !== null)('after any mix of endings every counter is zero', async () => {
    const script = new Script();
    const scripts = [script.act, script.act, script.act];
    // Suspects stay in the game: this is about counters, not about who is chosen.
    const config = { bodyBytesMax: 16_384, ioThreads: 2, suspectBackoffMs: 1, frontEnd: name };
    await withRouter({ scripts, config }, async (parts) => {
      const { router, urls } = parts;
      const expected: Partial<Record<Ending, number>> = {};
      let requests = 0;
      const run = async (mix: readonly KindName[]) => {
        const ids = mix.map((kindName, index) => {
          const id = `${requests + index}-${kindName}`;
          const kind: Kind = kinds[kindName];
          script.kinds.set(id, kind);
          if (kind.ending !== null) expected[kind.ending] = (expected[kind.ending] ?? 0) + 1;
          return id;
        });
        requests += ids.length;
        const answers = await Promise.all(ids.map((id) => play(parts, script, id)));
        for (const [index, answer] of answers.entries()) {
          const { status, ending, stream }: Kind = kinds[mix[index]!];
          expect([ids[index], answer.status]).toEqual([ids[index], status]);
          const isWhole = stream && status === 200 ? isWholeStream(answer) : answer.complete;
          const isEnded = ending === null || ending === 'completed' || status === 502;
          expect([ids[index], isWhole]).toEqual([ids[index], isEnded]);
        }
        const placed = Object.values(expected).reduce((sum, count) => sum + count, 0);
        await eventually(() => endingsCount(router) >= placed, 'every ending');
        await countersAreZero(router, urls.length);
        await endingsBecome(router, expected);
        const sent = urls.map((_url, slot) => router.state.total(slot, 'requestsTotal'));
        expect(sent.reduce((sum, count) => sum + count, 0)).toBe(placed + retriesOf(router));
        expect(router.stats.reduce((sum, one) => sum + one.counter('requests'), 0)).toBe(requests);
      };
      await run(kindNames);
      const mixes = fc.array(fc.constantFrom(...kindNames), { minLength: 40, maxLength: 60 });
      await fc.assert(fc.asyncProperty(mixes, run), { numRuns: 6, endOnFailure: true });
    });
  });
});
