import { describe, expect, it } from 'vitest';
import { commandLine } from '../../src/bench/environment.ts';
import { difference, medianOf, pairedSpread, ratio, spreadOf } from '../../src/bench/statistics.ts';
import { formatNumber, formatSpread, formatTable } from '../../src/bench/text.ts';

describe('median', () => {
  it('is the middle value, whatever the order', () => {
    expect(medianOf([9, 1, 5])).toBe(5);
    expect(medianOf([10, 9, 100])).toBe(10);
  });

  it('of an even number of values is the mean of the two in the middle', () => {
    expect(medianOf([4, 1, 3, 2])).toBe(2.5);
  });

  it('of nothing is an error, not a zero', () => {
    expect(() => medianOf([])).toThrow(RangeError);
  });

  it('leaves its argument as it is', () => {
    const values = [3, 1, 2];
    medianOf(values);
    expect(values).toEqual([3, 1, 2]);
  });
});

describe('spread', () => {
  it('keeps the runs in their order', () => {
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3, runs: [3, 1, 2] });
  });

  it('leaves out void rounds', () => {
    expect(spreadOf([null, 4, null, 2])).toEqual({ median: 3, min: 2, max: 4, runs: [4, 2] });
    expect(spreadOf([null])).toBeNull();
  });
});

describe('figures of two contenders', () => {
  it('are set in relation within a round only', () => {
    // The machine became twice as slow in the second round: the ratio does not notice.
    const spread = pairedSpread([20, 40], [10, 20], ratio);
    expect(spread).toEqual({ median: 2, min: 2, max: 2, runs: [2, 2] });
  });

  it('do without the rounds that one of them lacks', () => {
    expect(pairedSpread([20, null, 90], [10, 20, null], ratio)?.runs).toEqual([2]);
    expect(pairedSpread([20, null], [null, 20], difference)).toBeNull();
    expect(pairedSpread([20, 30], [10], difference)?.runs).toEqual([10]);
  });
});

describe('text', () => {
  it('shows three digits', () => {
    expect([0, 0.14799, 1, 22.34, 345.6, 31_400.2].map(formatNumber)).toEqual([
      ...['0', '0.148', '1.00', '22.3', '346', '31,400'],
    ]);
    expect([-0.0023, Number.NaN].map(formatNumber)).toEqual(['-0.0023', '-']);
  });

  it('shows the range only where there is one', () => {
    expect(formatSpread(spreadOf([1, 3, 2]))).toBe('2.00 (1.00..3.00)');
    expect(formatSpread(spreadOf([2]))).toBe('2.00');
    expect(formatSpread(null)).toBe('-');
  });

  it('lines columns up', () => {
    expect(
      formatTable(
        ['', 'ms'],
        [
          ['nginx', '10.5'],
          ['ours', '9'],
        ],
      ),
    ).toBe(['         ms', 'nginx  10.5', 'ours      9'].join('\n'));
  });

  it('writes a command that can be pasted', () => {
    expect(commandLine(['bench', '--router-command', "a 'b' %PORT%"])).toBe(
      "dualmap bench --router-command 'a '\\''b'\\'' %PORT%'",
    );
  });
});
