import { describe, expect, test } from 'vitest';
import { policies as configured } from '../../src/config/config.ts';
import { meanDifference } from '../../src/simulate/means.ts';
import { summarize } from '../../src/simulate/summary.ts';
import { cellOf } from '../support/simulate-report.ts';

const load = (name: string) => import(new URL(`../../bench/study/${name}`, import.meta.url).href);
const { packRows, unpackRows, withSeeds } = await load('rows.mjs');
const { targetsOf } = await load('targets.mjs');
const { gainText, claimsOf } = await load('claims.mjs');
const { orderFindings, orderSweeps, swapped } = await load('paper-order.mjs');
const { putBetweenMarkers, readmeTables } = await load('readme-table.mjs');
const { parts, policies, rivals } = await load('parts.mjs');
const { claimReasons, findings, missReasons } = await load('findings.mjs');
const charts = { ...(await load('chart-sections.mjs')), ...(await load('fleet-sections.mjs')) };
const words = await load('verdict-sections.mjs');

type Given = Parameters<typeof cellOf>[0];
interface Row extends Record<string, unknown> {
  readonly policy: string;
  readonly paired: { readonly attainment: unknown } | null;
}

/** Rows as the study has them, of cells with these attainments, one a seed. */
function rowsOf(
  groups: readonly (Given & { readonly attained: readonly number[] })[],
  { goodput = false } = {},
): Row[] {
  const cells = groups.flatMap(({ attained, ...given }) =>
    attained.map((attainment, index) => cellOf({ ...given, attainment, seed: index + 1 })),
  );
  const options = { seeds: groups[0]!.attained.length, goodput };
  return unpackRows(packRows(withSeeds(summarize(cells, options), cells, 'made')));
}

const empty = {
  ...{ 'same-queue': [], view: [], shapes: [], shipped: [], goodput: [], ablation: [] },
  ...{ fleet: [], routers: [], elastic: [], 'paper-order': [], raw: [], speeds: [] },
};
interface Target {
  readonly id: string;
  readonly isMet: boolean | null;
  readonly figures: string;
  readonly worst: string;
  readonly misses: readonly string[];
}
const target = (study: object, id: string): Target =>
  targetsOf({ ...empty, ...study }).find((one: Target) => one.id === id);

test('rows come back from their file with the pairs that a sweep has', () => {
  const cells = [0.91, 0.95, 0.5, 0.7].map((attainment, at) =>
    cellOf({ policy: at < 2 ? 'dualmap' : 'preble', attainment, seed: 1 + (at % 2) }),
  );
  const summary = summarize(cells, { seeds: 2, goodput: false });
  const rows = unpackRows(packRows(withSeeds(summary, cells, 'made')));
  expect(rows[0]).toMatchObject({ sweep: 'made', paired: null, attainmentSeeds: [0.91, 0.95] });
  expect(rows[1].paired.attainment.mean).toBeCloseTo(summary[1]!.paired!.attainment!.mean, 9);
  expect(rows[1].paired.attainment.ci95).toBeCloseTo(summary[1]!.paired!.attainment!.ci95!, 9);
  expect(rows[1].paired.ttftP50).toEqual({ mean: 1, low: 1, high: 1 });
});

describe('targets', () => {
  test('what was not run is not judged', () => {
    const all: Target[] = targetsOf(empty);
    expect(all).toHaveLength(10);
    expect(all.every(({ isMet }) => isMet === null)).toBe(true);
  });

  test('behind by more than a point counts if the interval says so too', () => {
    const rows = (theirs: readonly number[]) =>
      rowsOf([
        { policy: 'dualmap', attained: [0.9, 0.9, 0.9] },
        { policy: 'preble', attained: theirs },
        { policy: 'random', attained: [0.1, 0.1, 0.1] },
      ]);
    const clear = target({ 'same-queue': rows([0.92, 0.921, 0.92]) }, 'behind');
    expect(clear.isMet).toBe(false);
    expect(clear.worst).toContain('made on paper-7b, load 0.9: −2.0 ± 0.1 points');
    expect(clear.worst).toContain('preble 92.0 %');
    expect(clear.misses).toEqual([clear.worst]);
    const wide = target({ 'same-queue': rows([0.99, 0.9, 0.87]) }, 'behind');
    expect(wide.isMet).toBe(true);
    expect(wide.figures).toContain('below in 1, beyond the interval in 0');
    expect(target({ 'same-queue': rows([0.905, 0.905, 0.905]) }, 'behind').isMet).toBe(true);
  });

  test('means are over the cells from load 0.9 on', () => {
    const ttftMs = (p50: number) => ({ p50, p90: 1, p99: 1 });
    const rows = rowsOf([
      { policy: 'dualmap', load: 0.5, attained: [0.1, 0.1], ttftMs: ttftMs(9000) },
      { policy: 'preble', load: 0.5, attained: [1, 1], ttftMs: ttftMs(100) },
      { policy: 'dualmap', load: 0.9, attained: [0.8, 0.9], ttftMs: ttftMs(900) },
      { policy: 'preble', load: 0.9, attained: [0.8, 0.7], ttftMs: ttftMs(1000) },
    ]);
    const mean = target({ 'same-queue': rows }, 'mean');
    const by = meanDifference([0.8, 0.9], [0.8, 0.7]);
    expect(mean.isMet).toBe(true);
    expect(mean.figures).toContain(`+10.0 ± ${(100 * by.ci95!).toFixed(1)} points`);
    expect(target({ 'same-queue': rows }, 'p50')).toMatchObject({ isMet: true });
    const slower = rows.map((row) => ({ ...row, ttftP50MsSeeds: [1000, 1000] }));
    expect(target({ 'same-queue': slower }, 'p50')).toMatchObject({ isMet: false });
  });

  test('twenty points count where the best of the others is below 75 %', () => {
    const at = (own: number, best: number) =>
      target(
        {
          shipped: rowsOf([
            { policy: 'dualmap', load: 1.1, attained: [own, own] },
            { policy: 'preble', load: 1.1, attained: [best, best] },
          ]),
        },
        'shipped',
      ).isMet;
    expect([at(0.8, 0.59), at(0.8, 0.61), at(0.8, 0.76)]).toEqual([true, false, null]);
  });

  test('goodput is a ratio, of two traces more than of all', () => {
    const rows = (trace: string, own: number) =>
      rowsOf(
        [
          { trace, policy: 'dualmap', qps: own, attained: [0.9, 0.9] },
          { trace, policy: 'preble', qps: 10, attained: [0.9, 0.9] },
        ],
        { goodput: true },
      );
    const of = (goodput: readonly object[]) =>
      ['goodput', 'goodput-anywhere'].map((id) => target({ goodput }, id).isMet);
    expect(of(rows('conversation_trace', 11))).toEqual([false, true]);
    expect(of(rows('conversation_trace', 11.6))).toEqual([true, true]);
    expect(of(rows('synthetic_trace', 9.9))).toEqual([null, false]);
  });

  test('eight routers are set beside one, beside one ring and beside load', () => {
    const rows = rowsOf([
      { policy: 'dualmap', routers: 1, hitRatio: 0.3, attained: [0.9, 0.9] },
      { policy: 'dualmap', routers: 8, hitRatio: 0.28, attained: [0.6, 0.6] },
      { policy: 'consistent_hash', routers: 8, attained: [0.605, 0.605] },
      { policy: 'preble', routers: 8, attained: [0.58, 0.58] },
    ]);
    const of = (routers: readonly object[]) =>
      ['eight-hits', 'eight-ring', 'eight-aware'].map((id) => target({ routers }, id).isMet);
    expect(of(rows)).toEqual([true, true, false]);
    const ring = { policy: 'consistent_hash', routers: 8, attained: [0.65, 0.65] };
    const own = { policy: 'dualmap', routers: 8, attained: [0.6, 0.6] };
    expect(target({ routers: rowsOf([own, ring]) }, 'eight-ring').isMet).toBe(false);
    const fewer = rows.map((row) => (row.routers === 8 ? { ...row, hitRatio: 0.26 } : row));
    expect(of(fewer)[0]).toBe(false);
  });

  test('speed is the median of its rounds', () => {
    const rates = [1, 49_999, 90_000];
    const speeds = [{ preset: 'paper-7b', atLeast: 50_000, rates, median: 49_999 }];
    expect(target({ speeds }, 'speed').isMet).toBe(false);
  });
});

describe('published figures', () => {
  test('gains read as people write them', () => {
    expect([0.406, -0.1234, 0.0312, 30.2, 0.0001, null].map(gainText)).toEqual([
      ...['+41 %', '−12 %', '+3.1 %', '× 31', '0 %', 'lost'],
    ]);
  });

  test('a claim is reached where one load has it', () => {
    const shipped = (own: number) =>
      rowsOf([
        { trace: 'conversation_trace', policy: 'dualmap-paper', attained: [own, own] },
        { trace: 'conversation_trace', policy: 'least_tokens', attained: [0.5, 0.5] },
        { trace: 'conversation_trace', policy: 'preble', attained: [0.6, 0.6] },
      ]);
    const claim = (own: number) => claimsOf({ ...empty, shipped: shipped(own) })[0];
    expect(claim(0.9)).toMatchObject({ isReached: [true, null] });
    expect(claim(0.9).figures[0]).toBe('paper-7b: +50 %');
    expect(claim(0.8)).toMatchObject({ isReached: [false, null] });
  });

  test('two policies are swapped if both distances are more than a tie', () => {
    const columns = [{ name: 'a' }, { name: 'b' }, { name: 'c' }];
    expect(swapped(columns, [90, 95, null], [60, 50, 70])).toEqual([['a', 'b']]);
    expect(swapped(columns, [90, 95, 97], [60, 59.5, 70])).toEqual([]);
    expect(swapped(columns, [90, 90.5, 97], [60, 50, 70])).toEqual([]);
  });

  test('every published figure has a run, and finds its row', () => {
    const sweeps: { name: string }[] = orderSweeps({ conversation: {}, toolagent: {} });
    expect(new Set(sweeps.map(({ name }) => name)).size).toBe(sweeps.length);
    const rows = sweeps.map(({ name }) => ({ sweep: name, attainment: 0.5, hitRatio: 0.25 }));
    for (const table of orderFindings(rows)) {
      for (const { published, measured } of table.rows) {
        const here = table.measure === 'hitRatio' ? 25 : 50;
        expect(measured).toEqual(
          published.map((value: number | null) => (value === null ? null : here)),
        );
      }
    }
  });
});

test('the README has the four best rivals, and the best one behind the same queue', () => {
  const attained = [0.99, 0.5, 0.9, 0.8, 0.7, 0.6];
  const names = ['dualmap', 'random', 'preble', 'min_ttft', 'lmetric', 'dynamo_cost'];
  const groups = names.map((policy, at) => ({
    ...{ trace: 'conversation_trace', policy, attained: [attained[at]!] },
  }));
  const better = groups.map((group) =>
    group.policy === 'random' ? { ...group, attained: [0.97] } : group,
  );
  const study = { ...empty, shipped: rowsOf(groups), 'same-queue': rowsOf(better) };
  const text: string = readmeTables(study, { date: '2026-01-02 03:04' });
  const lines = text.split('\n').filter((line) => line.startsWith('|'));
  expect(lines.slice(2).map((line) => line.split(' | ')[0])).toEqual([
    ...['| `dualmap`', '| `dualmap-paper`', '| `preble`', '| `min_ttft`', '| `lmetric`'],
    ...['| `dynamo_cost`', '| best rival behind the same queue'],
  ]);
  expect(lines[0]).toBe('| policy | load 0.9 |');
  expect(lines[2]).toBe('| `dualmap` | 99.0 %, 0.80 s |');
  expect(lines.at(-1)).toContain('97.0 %, 0.80 s (`random`)');
  const readme = 'a\n<!-- study: -->\nold\n<!-- end of study -->\nb\n';
  const filled = putBetweenMarkers(readme, text);
  expect(filled).not.toContain('old');
  expect(putBetweenMarkers(filled, text)).toBe(filled);
  expect(() => putBetweenMarkers('nothing', text)).toThrow(/study/);
});

test('the README sets eight routers beside one', () => {
  const names = ['dualmap', 'consistent_hash', 'preble', 'least_tokens'];
  const of = (routers: number) =>
    names.map((policy, at) => ({
      ...{ trace: 'made', policy, routers, load: 0.9, hitRatio: 0.25 },
      attained: [0.9 - at / 10 - routers / 100],
    }));
  const routers = [...rowsOf(of(1)), ...rowsOf(of(8))];
  const shipped = rowsOf([{ trace: 'conversation_trace', attained: [0.5] }]);
  const text: string = readmeTables({ ...empty, shipped, routers }, { date: '2026-01-02 03:04' });
  expect(text).toContain(
    '| `made`, `paper-7b`, 0.9 | 89.0 %, 25 % | 82.0 %, 25 % | 72.0 %, 25 % | 62.0 %, 25 % | 52.0 %, 25 % |',
  );
});

describe('the page', () => {
  const sweep = (more: Given = {}) =>
    policies.flatMap((policy: never) =>
      [0.9, 1].map((load) => ({ policy, load, ...more, attained: [0.7, 0.8] })),
    );
  const study = {
    ...empty,
    'same-queue': rowsOf(sweep({ trace: 'conversation_trace' })),
    shipped: rowsOf(sweep({ trace: 'conversation_trace' })),
    goodput: rowsOf(
      policies.map((policy: never) => ({ policy, attained: [0.9, 0.9] })),
      { goodput: true },
    ),
    fleet: [8, 16].flatMap((instances) => rowsOf(sweep({ instances }))),
    routers: [1, 8].flatMap((routers) => rowsOf(sweep({ routers }))),
    raw: rowsOf(sweep({ trace: 'conversation_trace' })),
    elastic: (['router', 'auto'] as const).flatMap((queueMode) => {
      const timeline = { partMs: 10, imbalanceCv: [], waiting: [], attainment: [1, null, 0.5] };
      const joined = { instances: 4, atMs: 15 };
      const given = { trace: 'conversation_trace', queueMode, joined, backInMs: null, timeline };
      return rowsOf(sweep(given));
    }),
    ablation: rowsOf([...sweep(), ...sweep({ variant: 'binding=early' })]).map((row) => {
      return { ...row, sweep: 'switches' };
    }),
    'paper-order': orderSweeps({}).map(({ name }: { name: string }) => {
      return { sweep: name, attainment: 0.5, hitRatio: 0.25 };
    }),
  };

  test('is whole: every element is closed, and nothing is NaN or undefined', () => {
    const { 'same-queue': same, shipped, goodput, ablation, fleet, routers, raw, elastic } = study;
    const targets = targetsOf(study);
    const heads = { heading: 'a', about: 'b' };
    const sections: { text: string }[] = [
      words.headlineSection(study, targets),
      words.targetsSection(study, targets),
      words.claimsSection(study),
      words.orderSection(study['paper-order']),
      charts.loadSection('same-queue', same, heads),
      charts.loadSection('shipped', shipped, heads),
      charts.goodputSection(goodput),
      charts.ablationSection(ablation),
      charts.fleetSection(fleet),
      charts.routersSection(routers),
      charts.elasticSection(elastic),
      charts.rawSection(raw, same),
    ];
    for (const { text } of sections) {
      expect(text.length).toBeGreaterThan(200);
      expect(text).not.toMatch(/NaN|undefined|Infinity|\[object|https?:/);
      for (const tag of ['figure', 'svg', 'table', 'details', 'ul', 'li', 'div', 'p', 'g', 'td']) {
        const opened = text.match(new RegExp(`<${tag}[ >]`, 'g'))?.length ?? 0;
        expect([tag, opened]).toEqual([tag, text.split(`</${tag}>`).length - 1]);
      }
    }
  });

  test('says nothing of what was not run', () => {
    expect(findings(empty, targetsOf(empty))).toHaveLength(1);
    expect(findings(study, targetsOf(study))).toHaveLength(6);
    expect(claimReasons(empty)).toHaveLength(1);
    expect(missReasons(empty, targetsOf(empty))).toEqual([]);
    expect(charts.fleetSection([])).toBeNull();
    expect(charts.rawSection([], [])).toBeNull();
  });
});

test('where goodput is missed, its loads are told beside the one wanted', () => {
  const of = (policy: 'dualmap' | 'preble', load: number) => {
    const attained = [0.9, 0.9];
    return { trace: 'conversation_trace', policy, load, qps: 10 * load, attained };
  };
  const goodput = rowsOf([of('dualmap', 1.1), of('preble', 1)], { goodput: true });
  const study = { ...empty, goodput };
  const [reason, ...others] = missReasons(study, targetsOf(study));
  expect(others).toEqual([]);
  expect(reason).toContain('preble 1.00, dualmap 1.10, wanted 1.15.');
});

test('every part can be asked for, and runs the reference where it is compared', () => {
  for (const { sweepsOf } of Object.values<{ sweepsOf: (limit: number) => unknown[] }>(parts)) {
    expect(sweepsOf(4000).length).toBeGreaterThan(0);
  }
  expect([...policies].sort()).toEqual([...configured].sort());
  expect(rivals).toHaveLength(13);
});
