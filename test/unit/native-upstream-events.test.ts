import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import type { UpstreamCall } from '../../src/dispatch/upstream.ts';
import { answerOk, Harness, reply, statusOk } from '../support/upstream-harness.ts';
import { implementations } from '../support/upstream-implementations.ts';
import { eventually, Recorder } from '../support/upstream-recorder.ts';

/** What the native upstream makes of a loop turn, beyond what test/conformance holds. */

const harness = new Harness(implementations.find(({ name }) => name === 'native')!);
const { ask, record, request } = harness;

const chunkedHead = `${statusOk}transfer-encoding: chunked\r\n\r\n`;
const answerWith = (fields: string, body = ''): string =>
  `${statusOk}${fields}content-length: ${body.length}\r\n\r\n${body}`;

/** Sends so many requests, and once all are there, an answer to each of them in one turn. */
async function answerTogether(
  count: number,
  answerOf: (index: number) => string,
  prepare: (recorder: Recorder, index: number) => void = () => undefined,
): Promise<{ recorders: Recorder[]; calls: UpstreamCall[] }> {
  const { server, upstream } = harness;
  const before = server.requests.length;
  server.answer = () => undefined;
  const recorders = Array.from({ length: count }, record);
  recorders.forEach(prepare);
  const calls = recorders.map((recorder) => upstream.send(request(), recorder));
  await eventually(() => server.requests.length === before + count, 'requests');
  for (const [index, { connection }] of server.requests.slice(before).entries()) {
    void connection.send(answerOf(index));
  }
  return { recorders, calls };
}

/** The first of ten calls to hear of its answer cancels the others, whose answers are there too. */
async function answerAndCancelOthers(
  answerOf: (index: number) => string,
  after: () => void = () => undefined,
): Promise<UpstreamCall> {
  let cancelOthers: (first: Recorder) => void = () => undefined;
  const { recorders, calls } = await answerTogether(10, answerOf, (recorder) => {
    recorder.headListener = () => cancelOthers(recorder);
  });
  let firstCall: UpstreamCall | null = null;
  cancelOthers = (first) => {
    cancelOthers = () => undefined;
    for (const [index, recorder] of recorders.entries()) {
      if (recorder === first) {
        firstCall = calls[index]!;
      } else {
        recorder.cancelled = true;
        calls[index]!.cancel();
      }
    }
    after();
  };
  await eventually(() => firstCall !== null, 'the first head');
  return firstCall!;
}

const allEnded = (recorders: readonly Recorder[]): Promise<void> =>
  eventually(() => recorders.every((one) => one.cancelled || one.isEnded), 'every end');

/** What is thrown uncaught while `body` runs. */
async function uncaughtIn(body: () => Promise<void>): Promise<unknown[]> {
  const former = process.listeners('uncaughtException');
  const uncaught: unknown[] = [];
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => uncaught.push(error));
  try {
    await body();
    await eventually(() => uncaught.length > 0, 'uncaught error');
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const listener of former) process.on('uncaughtException', listener);
  }
  return uncaught;
}

/** Notes which callbacks came within which turn. */
class TurnRecorder extends Recorder {
  readonly turns: string[][] = [];
  onTurn(deliver: () => void): void {
    const before = this.events.length;
    deliver();
    this.turns.push(this.events.slice(before));
  }
}

describe('turns', () => {
  test('what arrives together is handed out together, chunks joined', async () => {
    const chunks = '5;x=y\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nt: u\r\n\r\n';
    harness.server.answer = reply(chunkedHead + chunks);
    const recorder = new TurnRecorder();
    harness.upstream.send(request(), recorder);
    await recorder.ended;
    expect(recorder.turns).toEqual([['head', 'data', 'end']]);
    expect(recorder.chunks.map(String)).toEqual(['hello world']);
  });

  test('chunks of different calls are not joined', async () => {
    const { recorders, calls } = await answerTogether(10, () => `${chunkedHead}3\r\nabc\r\n`);
    await eventually(() => recorders.every((one) => one.bodyBytesSeen === 3), 'first chunks');
    for (const [index, { connection }] of harness.server.requests.entries()) {
      void connection.send(`2\r\n${index}!\r\n`);
    }
    await eventually(() => recorders.every((one) => one.bodyBytesSeen === 5), 'second chunks');
    const bodies = recorders.map((one) => String(one.body)).sort();
    expect(bodies).toEqual(Array.from({ length: 10 }, (_, index) => `abc${index}!`));
    for (const call of calls) call.cancel();
  });

  test('a handler that does not deliver, or throws before, misses nothing', async () => {
    const broken = new Error('a broken invariant');
    const lazy = Object.assign(record(), { onTurn: () => undefined });
    const failing = Object.assign(record(), {
      onTurn: () => {
        throw broken;
      },
    });
    harness.server.answer = reply(answerOk);
    const uncaught = await uncaughtIn(async () => {
      for (const recorder of [lazy, failing]) {
        harness.upstream.send(request(), recorder);
        await recorder.ended;
        expect(recorder.events).toEqual(['head', 'data', 'end']);
      }
    });
    expect(uncaught).toEqual([broken]);
  });

  test('one handler that throws costs the others of its turn nothing', async () => {
    await uncaughtIn(async () => {
      const { recorders } = await answerTogether(
        20,
        () => answerOk,
        (recorder, index) => {
          recorder.headListener = () => {
            if (index % 3 === 0) throw new Error('a broken invariant');
          };
        },
      );
      await allEnded(recorders);
    });
  });

  test('events of a cancelled call never reach the next call of its number', async () => {
    const late = record();
    // Without an end: what is cancelled is still in flight, and has events in this very turn.
    const unfinished = `${statusOk}x-old: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nold\r\n`;
    const first = await answerAndCancelOthers(
      () => unfinished,
      () => {
        harness.server.answer = reply(answerWith('x-new: 1\r\n', 'new'));
        harness.upstream.send(request(), late);
      },
    );
    await late.ended;
    expect([late.headers, String(late.body)]).toEqual([['x-new', '1'], 'new']);
    first.cancel();
  });
});

describe('field lists', () => {
  test('equal heads share one list that nobody can change', async () => {
    const answer = reply(answerWith('x-a: b\r\n'));
    const [first, second] = [await ask(answer), await ask(answer)];
    expect(first.headers).toEqual(['x-a', 'b']);
    expect(second.headers).toBe(first.headers);
    expect(Object.isFrozen(first.headers)).toBe(true);
  });

  test('many different heads, again and again', async () => {
    for (let round = 0; round < 3; round += 1) {
      for (let index = 0; index < 100; index += 1) {
        const { headers } = await ask(reply(answerWith(`x-${index}: ${index}\r\nx-empty:\r\n`)));
        expect(headers).toEqual([`x-${index}`, `${index}`, 'x-empty', '']);
      }
    }
  });

  test('a list first seen with a cancelled call is known to the next', async () => {
    const answers = [answerWith('x-even: 1\r\n'), answerWith('x-odd: 1\r\n')];
    await answerAndCancelOthers((index) => answers[index % 2]!);
    for (const [index, name] of ['x-even', 'x-odd'].entries()) {
      expect((await ask(reply(answers[index]!))).headers).toEqual([name, '1']);
    }
  });
});

describe('requests', () => {
  test.each(['/a b', '/a\r\nx: y', '/\u010d\u010a', '/\0', ''])('no target: %j', async (path) => {
    const answer = await ask(reply(answerOk), { path });
    expect(answer.fault?.code).toBe('connect_failed');
    expect(harness.server.requests).toHaveLength(0);
  });

  test('a character that 8 bits cannot hold is never cut to a line end', async () => {
    const headers = ['x-a', 'b\u010d\u010ax-forged: 1', 'x-ok', '\u00e9'];
    expect((await ask(reply(answerOk), { headers })).status).toBe(200);
    const { head } = harness.server.requests[0]!;
    expect(head).toMatch(/\r\nx-ok: \u00e9\r\n/);
    expect(head).not.toMatch(/forged/);
  });

  test('a body is borrowed, and outlives every reference to it but ours', async () => {
    setFlagsFromString('--expose_gc');
    const collect = runInNewContext('gc') as () => void;
    const { server, upstream } = harness;
    server.reads = false;
    const bodyBytes = 24_000_000;
    const hash = createHash('sha1').update(Buffer.alloc(bodyBytes, 'abc')).digest('hex');
    const recorder = record();
    upstream.send(request({ body: Buffer.alloc(bodyBytes, 'abc') }), recorder);
    await eventually(() => server.connections.length === 1, 'connection');
    collect();
    const litter = Array.from({ length: 8 }, () => Buffer.alloc(8_000_000, 0xff));
    const seen = createHash('sha1');
    let seenBytes = 0;
    const { socket } = server.connections[0]!;
    socket.on('data', (chunk: Buffer) => {
      const headBytes = seenBytes === 0 ? chunk.indexOf('\r\n\r\n') + 4 : 0;
      seen.update(chunk.subarray(headBytes));
      seenBytes += chunk.length - headBytes;
      if (seenBytes === bodyBytes) socket.write(answerOk);
    });
    await recorder.ended;
    expect(litter).toHaveLength(8);
    expect(seen.digest('hex')).toBe(hash);
  });
});
