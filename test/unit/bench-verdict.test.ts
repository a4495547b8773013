import { describe, expect, it } from 'vitest';
import {
  eventsVoidReason,
  lateReason,
  parseWrk,
  type RunCounts,
  voidReason,
} from '../../src/bench/overhead/verdict.ts';

const good: RunCounts = { answers: 1000, failed: 0, socketErrors: 0, served: 1000 };

describe('a run is void', () => {
  it.each([
    ['no answer came', { answers: 0 }, /no answer/],
    ['one answer was not 2xx', { failed: 1 }, /1 of 1000 answers were not 2xx/],
    ['one connection broke', { socketErrors: 1 }, /1 socket errors/],
    ['the instances did not see the requests', { served: 979 }, /served only 979/],
    ['something answers in their place', { served: 0 }, /served only 0/],
  ])('if %s', (_, change, reason) => {
    expect(voidReason({ ...good, ...change })).toMatch(reason);
  });

  it('if what the engines sent did not come out', () => {
    expect(eventsVoidReason(979, 1000)).toMatch(/sent 1000 events, but only 979/);
    expect(eventsVoidReason(980, 1000)).toBeNull();
  });

  it('if the generator was late', () => {
    expect(lateReason(1.01)).toMatch(/1.01 ms/);
    expect(lateReason(1)).toBeNull();
  });
});

describe('a run is valid', () => {
  it.each([
    ['all is confirmed', {}],
    ['some are in flight at the edges', { served: 980 }],
    ['requests are still under way when the load ends', { served: 1064 }],
  ])('if %s', (_, change) => {
    expect(voidReason({ ...good, ...change })).toBeNull();
  });
});

const wrkOutput = `Running 1h test @ http://127.0.0.1:1/v1/chat/completions
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     9.11ms   10.88ms  89.90ms   90.90%
    Req/Sec     5.45k     2.98k   11.22k    66.67%
  Latency Distribution
     50%  500.00us
     75%    9.53ms
     90%   19.21ms
     99%    1.05s 
  8190 requests in 1.55s, 4.43MB read
Requests/sec:   5281.78
Transfer/sec:      2.86MB
`;

describe('what wrk prints', () => {
  it('is read, in milliseconds', () => {
    expect(parseWrk(wrkOutput)).toEqual({
      ...{ answers: 8190, failed: 0, socketErrors: 0 },
      ...{ p50Ms: 0.5, p99Ms: 1050 },
    });
  });

  it('tells of every fault', () => {
    const faults = `  Socket errors: connect 1, read 2, write 4, timeout 8
  Non-2xx or 3xx responses: 7
Requests/sec`;
    const output = wrkOutput.replace('Requests/sec', faults);
    expect(parseWrk(output)).toMatchObject({ failed: 7, socketErrors: 15 });
  });

  it('is not guessed', () => {
    expect(() => parseWrk('unable to connect to 127.0.0.1:1')).toThrow(/unable to connect/);
    expect(() => parseWrk(wrkOutput.replace('99%', '98%'))).toThrow(/99 %/);
  });
});
