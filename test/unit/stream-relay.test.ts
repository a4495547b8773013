import { describe, expect, test } from 'vitest';
import { UpstreamFault } from '../../src/errors.ts';
import type { RelayHooks } from '../../src/stream/relay.ts';
import type { HeaderList } from '../../src/terms.ts';
import { begin, FakeExchange, type Play } from '../support/stream-fakes.ts';

const stream: HeaderList = ['content-type', 'text/event-stream; charset=utf-8'];
const json: HeaderList = ['content-type', 'application/json'];
const choice = 'data: {"choices":[{"delta":{}}]}\n\n';
const usage = 'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}}\n\n';
const done = 'data: [DONE]\n\n';
const fault = new UpstreamFault('reset', 'closed');
const head = (headers: HeaderList) =>
  `head 200 ${[...headers, 'x-status', '200', 'x-added', '1'].join(' ')}`;

describe('relay of a stream', () => {
  test('holds head and events until the first token, then passes each chunk on', async () => {
    const play = begin();
    play.upstream.handler.onHead(200, stream, -1);
    play.data(': ping\n\n');
    play.data(choice.slice(0, 9));
    expect([play.exchange.log, play.firstTokens]).toEqual([[], []]);
    play.data(choice.slice(9));
    const held = `: ping\n\n${choice}`;
    expect(play.exchange.log).toEqual([`${head(stream)} -1`, 'write']);
    expect(play.firstTokens).toEqual([`true after ${held.length}`]);
    play.data('da');
    play.data(usage.slice(2));
    play.data(done);
    expect(play.exchange.sent).toBe(held + usage + done);
    expect(play.exchange.log.slice(2)).toEqual(['write', 'write', 'write']);
    play.upstream.handler.onEnd();
    expect(play.exchange.log.at(-1)).toBe('end');
    expect(await play.outcome).toEqual({
      kind: 'completed',
      status: 200,
      usage: { promptTokens: 4, completionTokens: 2, cachedTokens: null },
    });
    expect(play.firstTokens).toHaveLength(1);
    expect(play.upstream.log).toEqual(['send']);
  });

  test('an error event is definitive: relayed, but no first token', async () => {
    const play = begin();
    play.upstream.handler.onHead(200, stream, -1);
    play.data('data: {"error":{"message":"no"}}\n\n');
    play.upstream.handler.onEnd();
    expect(play.exchange.log).toEqual([`${head(stream)} -1`, 'write', 'end']);
    expect(play.firstTokens).toEqual([]);
    expect((await play.outcome).kind).toBe('completed');
  });

  test('one that ends without any choice is passed on whole', async () => {
    const play = begin();
    play.upstream.handler.onHead(200, stream, -1);
    play.data(': ping\n\n');
    play.upstream.handler.onEnd();
    expect(play.exchange.sent).toBe(': ping\n\n');
    expect(play.exchange.log.at(-1)).toBe('end');
    expect((await play.outcome).kind).toBe('completed');
  });

  test.each<[string, Partial<RelayHooks>, number, HeaderList]>([
    ['the request has no choices', { waitsForChoice: false }, 200, stream],
    ['an error status', {}, 404, stream],
    ['not a stream', {}, 200, json],
    ['no content-type', {}, 200, []],
    ['compressed', {}, 200, [...stream, 'content-encoding', 'gzip']],
  ])('%s: the first byte counts', (_name, change, status, headers) => {
    const play = begin(change);
    play.upstream.handler.onHead(status, headers, -1);
    expect(play.exchange.log).toEqual([]);
    play.data('\x1f');
    expect(play.exchange.sent).toBe('\x1f');
    expect(play.firstTokens).toEqual(['false after 1']);
  });
});

describe('relay of a unary answer', () => {
  const counts = { promptTokens: 7, completionTokens: 0, cachedTokens: null };

  test('whole in one piece is one call, with its length', async () => {
    const play = begin();
    const body = '{"usage":{"prompt_tokens":7}}';
    play.upstream.handler.onHead(200, json, body.length);
    play.data(body);
    expect(play.exchange.log).toEqual([`${head(json)} ${body.length}`, 'end']);
    play.upstream.handler.onEnd();
    expect(play.exchange.log).toHaveLength(2);
    expect(await play.outcome).toEqual({ kind: 'completed', status: 200, usage: counts });
    expect(play.firstTokens).toEqual([`false after ${body.length}`]);
  });

  test('in pieces', async () => {
    const play = begin();
    const body = '{"usage":{"prompt_tokens":7}}';
    play.upstream.handler.onHead(200, json, body.length);
    play.data(body.slice(0, 5));
    play.data(body.slice(5));
    expect(play.exchange.log).toEqual([`${head(json)} ${body.length}`, 'write', 'write']);
    play.upstream.handler.onEnd();
    expect(play.exchange.log.at(-1)).toBe('end');
    expect(await play.outcome).toEqual({ kind: 'completed', status: 200, usage: counts });
  });

  test.each([
    [204, -1, '-1'],
    [200, 0, '0'],
  ])('without a body: %i', async (status, bodyBytes, given) => {
    const play = begin();
    play.upstream.handler.onHead(status, [], bodyBytes);
    expect(play.exchange.log).toEqual([]);
    play.upstream.handler.onEnd();
    expect(play.exchange.log[0]).toBe(`head ${status} x-status ${status} x-added 1 ${given}`);
    expect(play.exchange.log.slice(1)).toEqual(['end']);
    expect(await play.outcome).toEqual({ kind: 'completed', status, usage: null });
    expect(play.firstTokens).toEqual([]);
  });

  test('a fault after the whole body has gone out in one piece spoils nothing', async () => {
    const play = begin();
    play.upstream.handler.onHead(200, json, 2);
    play.data('{}');
    play.upstream.handler.onFault(fault);
    expect(play.exchange.log).toEqual([`${head(json)} 2`, 'end']);
    expect(await play.outcome).toEqual({ kind: 'completed', status: 200, usage: null });
  });
});

describe('back-pressure', () => {
  test('a slow client pauses the instance until it has caught up', () => {
    const play = begin();
    const { exchange, upstream } = play;
    upstream.handler.onHead(200, stream, -1);
    exchange.isFast = false;
    play.data(choice);
    expect(upstream.log).toEqual(['send', 'pause']);
    play.data(usage);
    expect(upstream.log).toEqual(['send', 'pause']);
    expect(exchange.sent).toBe(choice + usage);
    exchange.isFast = true;
    exchange.drainListener();
    exchange.drainListener();
    expect(upstream.log).toEqual(['send', 'pause', 'resume']);
    exchange.isFast = false;
    play.data(done);
    expect(upstream.log.at(-1)).toBe('pause');
  });

  test('a client that catches up after the end wakes nobody', async () => {
    const play = begin();
    play.upstream.handler.onHead(200, stream, -1);
    play.exchange.isFast = false;
    play.data(choice);
    play.upstream.handler.onEnd();
    await play.outcome;
    play.exchange.drainListener();
    expect(play.upstream.log).toEqual(['send', 'pause']);
  });
});

/** How far the answer has come when it ends. */
const moments: [string, (play: Play) => void, boolean, number | null][] = [
  ['before the head', () => undefined, false, null],
  ['after the head', (play) => play.upstream.handler.onHead(200, stream, -1), false, 200],
  [
    'after a comment',
    (play) => {
      play.upstream.handler.onHead(200, stream, -1);
      play.data(': ping\n\n');
    },
    false,
    200,
  ],
  [
    'after the first token',
    (play) => {
      play.upstream.handler.onHead(200, stream, -1);
      play.data(choice);
    },
    true,
    200,
  ],
  [
    'within a later event',
    (play) => {
      play.upstream.handler.onHead(200, stream, -1);
      play.data(choice + usage.slice(0, 9));
    },
    true,
    200,
  ],
  [
    'with the client slow',
    (play) => {
      play.upstream.handler.onHead(200, stream, -1);
      play.exchange.isFast = false;
      play.data(choice);
    },
    true,
    200,
  ],
  [
    'after an error event',
    (play) => {
      play.upstream.handler.onHead(200, stream, -1);
      play.data('data: {"error":{}}\n\n');
    },
    true,
    200,
  ],
  [
    'within a unary body',
    (play) => {
      play.upstream.handler.onHead(200, json, 100);
      play.data('{"id":');
    },
    true,
    200,
  ],
];

describe.each(moments)('an ending %s', (moment, reach, begun, status) => {
  const isStream = moment !== 'within a unary body';

  async function expectFailed(play: Play, sentBefore: string): Promise<void> {
    const { exchange } = play;
    if (!begun) {
      const kind = 'failedBeforeFirstToken';
      expect(await play.outcome).toEqual({ kind, fault, status });
      expect([exchange.log, exchange.sent, play.firstTokens]).toEqual([[], '', []]);
      return;
    }
    expect(await play.outcome).toEqual({ kind: 'failedAfterFirstToken', fault });
    expect(exchange.log.at(-1)).toBe('destroy');
    expect(exchange.log).not.toContain('end');
    const event = exchange.sent.slice(sentBefore.length);
    if (!isStream) {
      expect(event).toBe('');
      return;
    }
    expect(event).toMatch(/^\n\ndata: \{"error":\{.*\}\}\n\n$/);
    const { error } = JSON.parse(event.slice('\n\ndata: '.length));
    expect(error).toMatchObject({ type: 'server_error', code: 'upstream_failed', param: null });
    expect(error.message).not.toContain(fault.message);
  }

  test('by the instance', async () => {
    const play = begin();
    reach(play);
    const before = play.exchange.sent;
    play.upstream.handler.onFault(fault);
    await expectFailed(play, before);
    expect(play.upstream.log).not.toContain('cancel');
  });

  test('by the router, and only once', async () => {
    const play = begin();
    reach(play);
    const before = play.exchange.sent;
    play.relay.abort(fault);
    play.relay.abort(fault);
    play.exchange.leave();
    await expectFailed(play, before);
    expect(play.upstream.log.filter((entry) => entry === 'cancel')).toHaveLength(1);
  });

  test('by the client', async () => {
    const play = begin();
    reach(play);
    const before = [...play.exchange.log];
    play.exchange.leave();
    play.relay.abort(fault);
    expect(await play.outcome).toEqual({ kind: 'clientGone' });
    expect(play.upstream.log.at(-1)).toBe('cancel');
    expect(play.upstream.log.filter((entry) => entry === 'cancel')).toHaveLength(1);
    expect(play.exchange.log).toEqual(before);
  });

  test('does not come by itself', async () => {
    const play = begin();
    reach(play);
    await new Promise((resolve) => setImmediate(resolve));
    expect(play.settled.outcome).toBe(null);
  });
});

describe('all that one loop turn brings', () => {
  test('reaches the client before a fault of the same turn closes its connection', async () => {
    const play = begin();
    const { handler } = play.upstream;
    let isInCork = false;
    let isClosedInCork = false;
    play.exchange.cork = (body) => {
      isInCork = true;
      body();
      isInCork = false;
    };
    play.exchange.destroy = () => {
      isClosedInCork = isInCork;
      play.exchange.log.push('destroy');
    };
    handler.onTurn?.(() => {
      handler.onHead(200, stream, -1);
      play.data(choice);
      handler.onFault(fault);
    });
    expect((await play.outcome).kind).toBe('failedAfterFirstToken');
    expect(play.exchange.sent).toContain(choice);
    expect(play.exchange.log.at(-1)).toBe('destroy');
    expect(isClosedInCork).toBe(false);
  });
});

describe('after a clean end', () => {
  test('neither the client nor the router changes the outcome', async () => {
    const play = begin();
    play.upstream.handler.onHead(200, stream, -1);
    play.data(choice);
    play.upstream.handler.onEnd();
    play.exchange.leave();
    play.relay.abort(fault);
    expect((await play.outcome).kind).toBe('completed');
    expect(play.upstream.log).toEqual(['send']);
    expect(play.exchange.log.at(-1)).toBe('end');
  });
});

describe('decisions', () => {
  test('retry on the head: cancelled, nothing sent, the status told', async () => {
    const seen: unknown[] = [];
    const play = begin({
      decideHead: (status, headers) => {
        seen.push(status, headers);
        return 'retry';
      },
    });
    play.upstream.handler.onHead(503, json, 9);
    expect(seen).toEqual([503, json]);
    const kind = 'failedBeforeFirstToken';
    expect(await play.outcome).toEqual({ kind, fault: null, status: 503 });
    expect([play.upstream.log, play.exchange.log]).toEqual([['send', 'cancel'], []]);
    play.exchange.leave();
    expect(play.upstream.log).toEqual(['send', 'cancel']);
  });

  test('a failed relay leaves the exchange to the next one', async () => {
    const exchange = new FakeExchange();
    const first = begin({}, exchange);
    first.upstream.handler.onHead(200, stream, -1);
    first.data(': ping of the first\n\n');
    first.upstream.handler.onFault(fault);
    await first.outcome;
    const second = begin({}, exchange);
    second.upstream.handler.onHead(200, stream, -1);
    second.data(choice);
    expect(exchange.sent).toBe(choice);
    exchange.leave();
    expect(await second.outcome).toEqual({ kind: 'clientGone' });
    expect([first.upstream.log, second.upstream.log]).toEqual([['send'], ['send', 'cancel']]);
  });

  test('a client that had gone: nothing is sent to the instance', async () => {
    const exchange = new FakeExchange();
    exchange.gone = true;
    const play = begin({}, exchange);
    expect(await play.outcome).toEqual({ kind: 'clientGone' });
    play.relay.abort(fault);
    expect([play.upstream.log, exchange.log]).toEqual([[], []]);
  });

  test('a client that goes while the first token is written: no first token', async () => {
    const play = begin();
    play.upstream.handler.onHead(200, stream, -1);
    play.exchange.writeListener = () => play.exchange.leave();
    play.data(choice);
    expect(await play.outcome).toEqual({ kind: 'clientGone' });
    expect(play.firstTokens).toEqual([]);
    expect(play.upstream.log).toEqual(['send', 'cancel']);
  });
});
