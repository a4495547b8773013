import { describe, expect, it } from 'vitest';
import { RequestFault } from '../../src/errors.ts';
import { objectiveOf } from '../../src/listen/objective.ts';

const asked = (...headers: string[]) => objectiveOf({ headers });
const sloNames = ['x-slo-ttft-ms', 'x-llm-d-slo-ttft-ms', 'x-sgl-ttft-slo-ms'];
const priorityNames = ['x-smg-priority', 'x-llm-d-inference-objective'];

it('is nothing where nothing is said, and then always the same object', () => {
  expect(asked()).toEqual({ sloTtftMs: null, priority: null });
  expect(asked('host', 'a', 'x-request-id', '1')).toBe(asked());
});

describe.each(sloNames)('%s', (name) => {
  it.each([
    ['800', 800],
    ['0.5', 0.5],
    ['250.25', 250.25],
    ['3600000', 3_600_000],
    ['007', 7],
  ])('%s is an objective', (text, sloTtftMs) => {
    expect(asked('accept', '*/*', name, text)).toEqual({ sloTtftMs, priority: null });
  });

  it.each([
    '',
    '0',
    '0.0',
    '-1',
    '+1',
    '1e3',
    '0x10',
    'NaN',
    'Infinity',
    '1 ',
    '1,5',
    'fast',
    '.5',
  ])('"%s" is refused by name', (text) => {
    const refusal = () => asked('x-smg-priority', '1', name, text);
    expect(refusal).toThrow(RequestFault);
    try {
      refusal();
    } catch (error) {
      expect(error).toMatchObject({ code: 'invalid_header', status: 400, param: name });
    }
  });
});

describe.each(priorityNames)('%s', (name) => {
  it.each([
    ['system', -2],
    ['interactive', -1],
    ['default', 0],
    ['bulk', 1],
    ['Bulk', 1],
    ['-7', -7],
    ['12', 12],
    ['premium-traffic', 0],
    ['', 0],
    ['1.5', 0],
  ])('%s is %i', (text, priority) => {
    expect(asked(name, text)).toEqual({ sloTtftMs: null, priority });
  });
});

it('the first of several fields of one meaning counts, and every one is judged', () => {
  expect(asked('x-sgl-ttft-slo-ms', '5', 'x-slo-ttft-ms', '9')).toMatchObject({ sloTtftMs: 5 });
  expect(asked('x-smg-priority', '3', 'x-smg-priority', '4')).toMatchObject({ priority: 3 });
  expect(() => asked('x-slo-ttft-ms', '9', 'x-sgl-ttft-slo-ms', 'x')).toThrow('x-sgl-ttft-slo-ms');
});
