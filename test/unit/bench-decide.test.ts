import { describe, expect, it } from 'vitest';
import { corpusDigest, corpusKinds, makeCorpus } from '../../src/bench/corpus.ts';
import { formatDecide, parseDecideOptions, stageNames } from '../../src/bench/decide.ts';
import { bareScan } from '../../src/core/native.ts';
import { scanPrompt } from '../../src/core/scan.ts';

const corpus = makeCorpus();

describe('the corpus', () => {
  it('is the same everywhere and for ever: published figures name it', () => {
    expect(corpusDigest(corpus)).toBe('660e2440bdd0b284');
  });

  it('has every kind from 1 KB to 400 KB, to the byte', () => {
    const sizes = corpusKinds.flatMap((kind) => [1, 4, 16, 64, 400].map((size) => [kind, size]));
    expect(corpus.map(({ kind, body }) => [kind, body.length / 1024])).toEqual(sizes);
  });

  it('is read without a copy: there is room for simdjson behind every body', () => {
    for (const { body } of corpus) {
      expect(body.buffer.byteLength - body.byteOffset - body.length).toBeGreaterThanOrEqual(64);
    }
  });

  it('is what clients send', () => {
    for (const { name, body } of corpus) {
      const { messages } = JSON.parse(Buffer.from(body).toString()) as { messages: object[] };
      expect(messages.length, name).toBeGreaterThan(1);
      expect(scanPrompt(body, 'chat').fault, name).toBeNull();
      expect(bareScan(body), name).not.toBe(0);
    }
  });

  it('has scripts of the world in UTF-8, and as escapes', () => {
    const text = (kind: string) =>
      Buffer.from(corpus.find(({ name }) => name === `${kind}-64k`)!.body).toString();
    expect(text('scripts')).toMatch(/请.*сколько|сколько.*请/s);
    expect(text('escapes')).toMatch(/\\u0441\\u043a/);
    expect(text('escapes')).toMatch(/^[\0-\x7f]*$/);
    expect(text('code')).toMatch(/\\n.*\\"/);
  });
});

describe('options', () => {
  it('are every stage on 64 instances', () => {
    expect(parseDecideOptions({}).options).toEqual({
      ...{ instances: 64, seconds: 2, rounds: 3, stages: stageNames, json: null },
    });
  });

  it('name every fault at once', () => {
    const { faults } = parseDecideOptions({ instances: '1', rounds: '1.5', only: 'ring,nope' });
    expect(faults.join('\n')).toMatch(/--instances: 1.*\n--rounds: 1.5.*\n--only: nope/);
  });

  it('keep the order of the table', () => {
    expect(parseDecideOptions({ only: 'ring,timer' }).options?.stages).toEqual(['timer', 'ring']);
  });
});

it('holds every figure against its budget', () => {
  const facts = {
    command: 'dualmap bench decide',
    commit: 'a',
    date: 'd',
    machine: 'm',
    versions: {},
  };
  const text = formatDecide(facts, [
    {
      name: 'decision',
      perSecond: 1_600_000,
      p99Ns: 2500,
      budgets: [
        { what: 'decisions', atLeast: 1_500_000, measured: 1_600_000 },
        { what: 'p99', atMost: 2000, measured: 2500 },
      ],
    },
  ]);
  expect(text).toMatch(/decisions +at least 1,500,000 +1,600,000 +met/);
  expect(text).toMatch(/p99 +at most 2,000 +2,500 +MISSED/);
});
