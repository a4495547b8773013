import { expect, test } from 'vitest';
import { parseReplayOptions, ReplayFault, replayOptionRows } from '../../src/replay/options.ts';

function faults(given: Parameters<typeof parseReplayOptions>[0]): readonly string[] {
  try {
    parseReplayOptions(given);
  } catch (error) {
    if (error instanceof ReplayFault) return error.faults;
    throw error;
  }
  return [];
}

test('fills in the defaults and reads texts as numbers', () => {
  const options = parseReplayOptions({ trace: 't.jsonl', speed: '2.5', limit: '600' });
  expect(options).toEqual({
    trace: 't.jsonl',
    url: 'http://127.0.0.1:8080',
    model: null,
    endpoint: 'chat',
    speed: 2.5,
    arrivals: 'spread',
    seed: 1,
    limit: 600,
    maxInputTokens: null,
    maxOutputTokens: null,
    sloTtftMs: 5000,
    connectionsMax: 4096,
    timeoutSecs: 600,
    json: null,
    outcomes: null,
    allowRemote: false,
  });
});

test('tells every fault at once', () => {
  const found = faults({ speed: 'fast', endpoint: 'images', limit: '0', url: 'ftp://127.0.0.1' });
  expect(found).toEqual([
    '--trace is required',
    '--endpoint: must be chat or completions, not "images"',
    '--speed: must be a number from 0.001 to 100000, not "fast"',
    '--limit: must be an integer from 1 to 1000000000, not "0"',
    '--url: must begin with http:// or https://',
  ]);
});

test('bounds of every number are inside, the next value is not', () => {
  for (const row of replayOptionRows) {
    if (row.kind !== 'number') continue;
    for (const value of [row.min, row.max, String(row.min)]) {
      expect(faults({ trace: 't', [row.key]: value }), row.key).toEqual([]);
    }
    const step = row.integer ? 1 : 1e-6;
    const outside = [row.min - step, row.max + 1, 'x', '', Number.NaN, Number.POSITIVE_INFINITY];
    if (row.integer) outside.push(row.min + 0.5);
    for (const value of outside) {
      expect(faults({ trace: 't', [row.key]: value }), `${row.key} ${value}`).toHaveLength(1);
    }
  }
});

test('flags carry the names that commander turns into the keys', () => {
  for (const { flag, key } of replayOptionRows) {
    const name = flag.split(' ')[0]!.slice(2);
    expect(name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())).toBe(key);
  }
});

test.each([
  'http://127.0.0.1:8080',
  'http://127.9.8.7',
  'http://localhost:1',
  'http://[::1]:8080',
  'http://127.1:8080',
])('%s is on this machine', (url) => {
  expect(faults({ trace: 't', url })).toEqual([]);
});

test.each([
  'http://example.com',
  'http://10.0.0.1:8080',
  'http://127.0.0.1.example.com',
  'http://localhost.example.com',
  'http://0.0.0.0',
  'http://[::2]',
])('%s needs --allow-remote', (url) => {
  expect(faults({ trace: 't', url })[0]).toContain('--allow-remote');
  expect(faults({ trace: 't', url, allowRemote: true })).toEqual([]);
});

test('the URL loses its last slashes and may carry nothing else', () => {
  expect(parseReplayOptions({ trace: 't', url: 'http://127.0.0.1:1/' }).url).toBe(
    'http://127.0.0.1:1',
  );
  expect(parseReplayOptions({ trace: 't', url: 'http://127.0.0.1:1/a//' }).url).toBe(
    'http://127.0.0.1:1/a',
  );
  expect(parseReplayOptions({ trace: 't', url: 'http://[::1]:1/,http://localhost' }).url).toBe(
    'http://[::1]:1,http://localhost',
  );
  for (const url of [
    'nowhere',
    'http://127.0.0.1,',
    'http://127.0.0.1,http://10.0.0.1',
    'http://u:p@127.0.0.1',
    'http://127.0.0.1/?a',
    'http://127.0.0.1/#a',
  ])
    expect(faults({ trace: 't', url })).toHaveLength(1);
});
