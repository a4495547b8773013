import { expect, test } from 'vitest';
import { blockBytes, PromptText } from '../../src/replay/text.ts';
import type { TraceRow } from '../../src/replay/trace.ts';

function row(inputTokens: number, blockIds: (number | string)[]): TraceRow {
  return { timestampMs: 0, inputTokens, outputTokens: 1, blockIds };
}

function textOf(blockIds: (number | string)[], inputTokens = blockIds.length * 512, kept = 8) {
  return write(new PromptText(kept), row(inputTokens, blockIds));
}

function write(text: PromptText, traceRow: TraceRow): string {
  const target = Buffer.alloc(PromptText.promptBytes(traceRow) + 10, '#');
  const end = text.write(traceRow, target, 5);
  expect(target.subarray(0, 5).toString()).toBe('#####');
  expect(target.subarray(end).toString()).toBe('#####');
  return target.subarray(5, end).toString('latin1');
}

test('a block is always the same, as a number and as a text, kept or made again', () => {
  expect(textOf([7])).toBe(textOf(['7']));
  expect(textOf([7])).toHaveLength(2048);
  const text = new PromptText(2);
  const first = write(text, row(512, [7]));
  for (let id = 100; id < 110; id++) write(text, row(512, [id]));
  expect(write(text, row(512, [7]))).toBe(first);
});

test('the oldest block gives way, whatever is asked for', () => {
  const text = new PromptText(3);
  const ids = [1, 2, 3, 1, 4, 1, 5, 6, 1, 2, 3];
  for (const id of ids) expect(write(text, row(512, [id]))).toBe(textOf([id]));
});

test('a prompt with more blocks than are kept is still right', () => {
  const ids = [1, 2, 3, 4, 5];
  expect(textOf(ids, 5 * 512, 2)).toBe(ids.map((id) => textOf([id])).join(''));
});

test('rows that share leading blocks share exactly these bytes', () => {
  const a = textOf([1, 2, 3]);
  const b = textOf([1, 2, 4]);
  expect(a.slice(0, 2 * blockBytes)).toBe(b.slice(0, 2 * blockBytes));
  expect(a.slice(2 * blockBytes, 2 * blockBytes + 24)).not.toBe(
    b.slice(2 * blockBytes, 2 * blockBytes + 24),
  );
});

test('the last block is cut so that the length is that of the input', () => {
  for (const inputTokens of [1, 2, 511, 512, 513, 1023, 1024]) {
    const ids = [1, 2].slice(0, Math.ceil(inputTokens / 512));
    const text = textOf(ids, inputTokens);
    expect(text).toHaveLength(inputTokens * 4);
    expect(textOf([1, 2]).startsWith(text)).toBe(true);
  }
});

test('ids part within their first 24 bytes', () => {
  const text = new PromptText(1);
  const starts = new Set<string>();
  for (let id = 0; id < 20_000; id++) starts.add(write(text, row(6, [id])));
  expect(starts.size).toBe(20_000);
});

test('the text goes into JSON as it is, and reads like words', () => {
  const text = textOf([...Array(50).keys()]);
  expect(JSON.stringify(text)).toBe(`"${text}"`);
  expect(text).toMatch(/^[a-z ]+$/);
  expect(Math.max(...text.split(' ').map((word) => word.length))).toBeLessThan(30);
});
