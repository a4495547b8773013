import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { decideCommand } from '../../src/bench/decide.ts';
import { cells, quickCells } from '../../src/bench/overhead/cells.ts';
import { overheadCommand } from '../../src/bench/overhead/command.ts';
import { Child } from '../../src/bench/overhead/processes.ts';
import { prefixCount, requestBody, shapeText } from '../../src/bench/overhead/protocol.ts';
import type { OverheadReport } from '../../src/bench/overhead/report.ts';
import { overheadFile } from '../../src/bench/overhead/templates.ts';
import { findTools } from '../../src/bench/overhead/tools.ts';

/** Both commands in their smallest size: that they work, never what they measure. */

const missing = findTools().faults;
const why = missing.length === 0 ? '' : ` (skipped: ${missing.join(', ')})`;

let folder = '';
let printed = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bench-e2e-'));
  printed = '';
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, 'write').mockImplementation((text) => {
      printed += String(text);
      return true;
    });
  }
});

afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

test('faulty options: all of them at once, exit code 2', async () => {
  expect(await overheadCommand({ rounds: 'x', only: 'nope' })).toBe(2);
  expect(printed).toMatch(/overhead: --rounds: x.*\n.*overhead: --only: nope/);
  expect(await decideCommand({ rounds: '0', only: 'nope' })).toBe(2);
  expect(printed).toMatch(/decide: --rounds: 0.*\n.*decide: --only: nope/);
});

test('without a tool: the package that has it, exit code 2', async () => {
  vi.stubEnv('PATH', folder);
  // Debian's own folder of proxies is looked at too, so only wrk is sure to be gone.
  expect(await overheadCommand({ quick: true })).toBe(2);
  expect(printed).toContain('wrk is missing: apt-get install wrk');
  vi.unstubAllEnvs();
});

test.skipIf(missing.length > 0)(
  `bench overhead --quick measures every kind of load${why}`,
  async () => {
    const json = join(folder, 'overhead.json');
    const code = await overheadCommand({ quick: true, json });
    const report = JSON.parse(readFileSync(json, 'utf8')) as OverheadReport;
    expect(report.cells.map(({ cell }) => cell)).toEqual(
      cells.map(({ name }) => name).filter((name) => quickCells.includes(name)),
    );
    for (const { cell, contenders } of report.cells) {
      const proxies = ['nginx', 'haproxy', 'router'];
      expect(contenders.map(({ contender }) => contender)).toEqual(
        cell === 'streams' ? proxies : ['direct', ...proxies],
      );
      for (const { contender, figures, voids } of contenders) {
        // Where other tests run too, the load is late or slow; that is no fault of anyone's.
        for (const reason of voids) expect(reason).toMatch(/fell behind|no answer at all|arrived/);
        const hasFigures = Object.keys(figures).length > 0 || contender === 'direct';
        expect(hasFigures || voids.length > 0, `${cell} ${contender}`).toBe(true);
      }
    }
    expect(code).toBe(report.isVoid ? 3 : 0);
    const valid = (name: string) => report.cells.find(({ cell }) => cell === name)!.contenders;
    for (const name of ['unary-4k', 'cancel', 'streams']) {
      expect(valid(name).flatMap(({ voids }) => voids)).toEqual([]);
    }
    expect(valid('unary-4k').at(-1)!.figures.cpuUsPerRequest!.median).toBeGreaterThan(1);
    expect(valid('unary-4k').at(-1)!.ratios.cpuUsPerRequest!.nginx!.median).toBeGreaterThan(0);
    expect(report.facts.versions).toMatchObject({ nginx: expect.stringMatching(/^\d/) });
    expect(readFileSync(join(folder, 'overhead.svg'), 'utf8')).toMatch(
      /^<svg .*unary-4k.*<\/svg>\n$/s,
    );
    expect(printed).toMatch(/unary-4k router: CPU us\/request/);
  },
  180_000,
);

test.skipIf(missing.length > 0)(
  `a router that does not start: no figure, exit code 3, nothing left behind${why}`,
  async () => {
    const routerCommand = 'false %PORT% %UPSTREAM%';
    expect(await overheadCommand({ quick: true, only: 'cancel', routerCommand })).toBe(3);
    expect(printed).toMatch(/VOID router, round 1: .*router did not start/);
    expect(childNames()).not.toEqual(expect.arrayContaining([expect.stringMatching(/nginx|hapr/)]));
  },
  60_000,
);

/** Names of the processes that this one has started and that still run. */
function childNames(): string[] {
  return readdirSync('/proc/self/task').flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, 'utf8')
      .split(' ')
      .filter((pid) => pid !== '')
      .map((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').trim()),
  );
}

test.skipIf(missing.length > 0)(
  `wrk sends the same requests as our own generator${why}`,
  async () => {
    const seen: { body: string; pace: string | undefined }[] = [];
    const server = createServer((request, answer) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk) => chunks.push(chunk));
      request.on('end', () => {
        const pace = request.headers['x-bench']?.toString();
        seen.push({ body: Buffer.concat(chunks).toString(), pace });
        answer.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const pace = shapeText({ intervalMs: 5, chunks: 100, phases: 1, stamped: false });
    const load = ['wrk', '-t1', '-c1', '-d1s', '-s', overheadFile('post.lua')];
    const prefixes = prefixCount(4096);
    const wrk = new Child('wrk', [...load, `http://127.0.0.1:${port}/`], {
      role: 'load',
      env: { BODY_BYTES: '4096', PREFIXES: String(prefixes), SHAPE: pace },
    });
    await wrk.ended;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(seen.length).toBeGreaterThan(2);
    for (const [index, request] of seen.slice(0, prefixes + 1).entries()) {
      // wrk asks for one request to see that its script works.
      const body = requestBody(4096, ((index + 1) % prefixes) + 1, true).toString();
      expect(request).toEqual({ body, pace });
    }
  },
);

test('bench decide runs a stage and reports its rows', async () => {
  const json = join(folder, 'decide.json');
  const given = { instances: '8', seconds: '0.05', rounds: '1', only: 'timer,ring', json };
  expect(await decideCommand(given)).toBe(0);
  const { rows, settings } = JSON.parse(readFileSync(json, 'utf8'));
  expect(settings).toEqual({ instances: 8, seconds: 0.05, rounds: 1 });
  expect(rows.map(({ name }: { name: string }) => name)).toEqual([
    ...['timer (included in every latency)', 'pair, 8 instances', 'pair, 4000 instances'],
  ]);
  for (const row of rows) {
    expect(row.perSecond).toBeGreaterThan(1000);
    expect(row.p99Ns).toBeGreaterThanOrEqual(row.p50Ns);
  }
  expect(printed).toMatch(/pair, 8 instances +[\d,]+/);
}, 60_000);
