import { describe, expect, test } from 'vitest';
import { MetricsFault, readSamples } from '../../src/fleet/engines/prometheus.ts';

const read = (text: string, ...names: string[]) =>
  Object.fromEntries(readSamples(text, new Set(names)));

describe('samples', () => {
  test('are those of the wanted names, whole', () => {
    const text = [
      '# HELP a:b a:b 7',
      '# TYPE a:b gauge',
      'a:b 1',
      'a:b_more 2',
      'xa:b 3',
      ' a:b 4',
      'a:b{engine="0"} 5',
      'something else altogether {',
      '',
    ].join('\n');
    expect(read(text, 'a:b')).toEqual({
      'a:b': [
        { value: 1, labels: {} },
        { value: 5, labels: { engine: '0' } },
      ],
    });
  });

  test.each([
    ['a 1', 1],
    ['a +1.5e3', 1500],
    ['a\t.5', 0.5],
    ['a 2. 1700000000000', 2],
    ['a{} 3 -5', 3],
    ['a 4\r', 4],
    ['a{x="1",} 5', 5],
  ])('%j is one', (line, value) => {
    expect(read(line, 'a').a?.map((sample) => sample.value)).toEqual([value]);
  });

  test('have labels whose text may hold anything', () => {
    const line = String.raw`a{x="}\" ,\\\n",y = "é" , z=""} 1`;
    expect(read(line, 'a').a![0]!.labels).toEqual({ x: '}" ,\\\n', y: 'é', z: '' });
    expect(read('a{__proto__="x"} 1', 'a').a![0]!.labels).toHaveProperty('__proto__', 'x');
  });

  test('without a number say nothing', () => {
    expect(read('a NaN\na 2\nb NaN', 'a', 'b')).toEqual({ a: [{ value: 2, labels: {} }] });
  });

  test.each([
    'a',
    'a ',
    'a x',
    'a -1',
    'a +Inf',
    'a 0x10',
    'a 1e999',
    'a 1 2 3',
    'a{x="1" 2',
    'a{x=1} 2',
    'a{x="1"y="2"} 2',
    'a{x="1} 2',
    'a{"x"="1"} 2',
    'a # {} 1',
  ])('of a wanted name that cannot be read are a fault: %j', (line) => {
    expect(() => read(`b 1\n${line}\n`, 'a')).toThrow(MetricsFault);
    expect(read(`b 1\n${line}\n`, 'b')).toEqual({ b: [{ value: 1, labels: {} }] });
  });

  test('are bounded', () => {
    expect(read('a 1\n'.repeat(4_096), 'a').a).toHaveLength(4_096);
    expect(() => read('a 1\n'.repeat(4_097), 'a')).toThrow(/more than 4096 samples/);
  });
});

test('a line that is made to be slow is not', () => {
  const startMs = performance.now();
  const evil = `a{${'x="\\"'.repeat(20_000)}\n`;
  expect(() => read(evil, 'a')).toThrow(MetricsFault);
  expect(() => read(`a{x="1"}${' '.repeat(50_000)}y z\n`, 'a')).toThrow(MetricsFault);
  expect(performance.now() - startMs).toBeLessThan(2_000);
});
