import { describe, expect, test } from 'vitest';
import type { PlacementView } from '../../src/core/native.ts';
import {
  Journal,
  type JournalBatch,
  JournalEntry,
  type JournalReceipt,
} from '../../src/observe/journal.ts';

const urls = ['http://a', 'http://b', 'http://c'];
const placement = (chosen: number, reason: string) =>
  ({
    first: 2,
    second: 1,
    chosen,
    reason,
    promptTokens: 1_250,
    cachedTokens: 128,
    ttftEstimateMs: 12.34567,
  }) as PlacementView;

function entry(): JournalEntry {
  const traceIds = new BigUint64Array([1n, 2n ** 64n - 1n, 0x123456789abcdefn]);
  return new JournalEntry('id-1', 'chat', 1_000, { model: 'm"7', promptBytes: 5_001, traceIds });
}

describe('a line', () => {
  test('is one of a trace, with what the router knows of the request', () => {
    const one = entry();
    one.sent(placement(2, 'warm_within_slo'), urls);
    one.sent(placement(1, 'retry_other'), urls);
    one.ttftMs = 40.0004;
    one.status = 200;
    one.usage = { promptTokens: 1_300, completionTokens: 7, cachedTokens: null };
    const line = one.line('completed', 1_500.5, 1_700_000_000_500.5);
    expect(line.indexOf('\n')).toBe(line.length - 1);
    expect(JSON.parse(line)).toEqual({
      timestamp: 1_700_000_000_000,
      request_id: 'id-1',
      route: 'chat',
      model: 'm"7',
      input_length: 1_251,
      output_length: 7,
      hash_ids: ['0000000000000001', 'ffffffffffffffff', '0123456789abcdef'],
      prompt_tokens: 1_300,
      prompt_tokens_estimate: 1_250,
      cached_tokens: null,
      cached_tokens_estimate: 128,
      candidates: ['http://c', 'http://b'],
      instance: 'http://b',
      attempts: 2,
      reason: 'retry_other',
      queue_ms: 0,
      ttft_ms: 40,
      ttft_estimate_ms: 12.346,
      duration_ms: 500.5,
      ending: 'completed',
      status: 200,
    });
  });

  test.each([
    ['failedBeforeFirstToken', 502],
    ['deadline', 504],
    ['clientGone', null],
  ] as const)('of a request that ended %s has the status %s', (ending, status) => {
    const line = JSON.parse(entry().line(ending, 2_000, 1));
    expect(line).toMatchObject({ ending, status, ttft_ms: null, output_length: 0, attempts: 0 });
  });
});

function journal() {
  const counted = { journalWritten: 0, journalLost: 0 };
  const batches: JournalBatch[] = [];
  const stats = {
    add: (counter: string, amount: number) => {
      counted[counter as keyof typeof counted] += amount;
    },
  };
  return { it: new Journal(stats, (batch) => batches.push(batch)), counted, batches };
}

const receiptOf = ({ text, lines }: JournalBatch, isWritten: boolean): JournalReceipt => ({
  chars: text.length,
  lines,
  isWritten,
});

describe('the journal', () => {
  test('gathers lines until it is flushed, or has enough of them', () => {
    const { it, batches } = journal();
    it.flush();
    it.write('a\n');
    it.write('b\n');
    expect(batches).toEqual([]);
    it.flush();
    it.flush();
    expect(batches).toEqual([{ text: 'a\nb\n', lines: 2 }]);
    it.write(`${'x'.repeat(65_535)}\n`);
    expect(batches).toHaveLength(2);
  });

  test('holds no more than 4 MiB that are not disposed of; the rest is lost and counted', () => {
    const { it, batches, counted } = journal();
    const line = `${'x'.repeat(1023)}\n`;
    for (let count = 0; count < 5_000; count += 1) it.write(line);
    it.flush();
    expect(batches.reduce((sum, { lines }) => sum + lines, 0)).toBe(4_096);
    expect(counted).toEqual({ journalWritten: 0, journalLost: 904 });
    it.settled(receiptOf(batches[0]!, true));
    it.settled(receiptOf(batches[1]!, false));
    expect(counted).toEqual({ journalWritten: 64, journalLost: 904 + 64 });
    // There is room again, for as many as went.
    for (let count = 0; count < 200; count += 1) it.write(line);
    expect(counted.journalLost).toBe(904 + 64 + 72);
  });
});
