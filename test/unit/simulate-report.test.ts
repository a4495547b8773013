import { describe, expect, test } from 'vitest';
import { percent, points, seconds } from '../../src/simulate/report/format.ts';
import { escapeHtml, Html, html } from '../../src/simulate/report/html.ts';
import { reportPage } from '../../src/simulate/report/page.ts';
import {
  extentOf,
  linearScale,
  linearTicks,
  logScale,
  logTicks,
  spreadLabels,
} from '../../src/simulate/report/scale.ts';
import { script } from '../../src/simulate/report/script.ts';
import { looksOf } from '../../src/simulate/report/series.ts';
import { cellOf, reportOf } from '../support/simulate-report.ts';

describe('html', () => {
  test('what is put into a template is text, unless it was made by one', () => {
    expect(escapeHtml(`<a href="x" id='y'>&`)).toBe(
      '&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;',
    );
    const inner = html`<b>${'<i>'}</b>`;
    expect(html`<p title="${'"'}">${inner}${[1, '<']}${null}</p>`.text).toBe(
      '<p title="&quot;"><b>&lt;i&gt;</b>1&lt;</p>',
    );
    expect(html`${new Html('<hr>')}`.text).toBe('<hr>');
  });
});

describe('scales', () => {
  test('places lie between the ends, in proportion', () => {
    expect(linearScale([10, 20], [0, 100])(15)).toBe(50);
    expect(logScale([1, 100], [0, 100])(10)).toBeCloseTo(50, 12);
    expect(linearScale([0, 1], [100, 0])(0.25)).toBe(75);
  });

  test('one value lies in the middle', () => {
    expect(linearScale([7, 7], [0, 100])(7)).toBe(50);
    expect(logScale([7, 7], [0, 100])(7)).toBe(50);
    expect(linearTicks([7, 7], 5)).toEqual([7]);
  });

  test('ticks are round and within', () => {
    expect(linearTicks([0, 1], 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(linearTicks([0.31, 0.52], 5)).toEqual([0.35, 0.4, 0.45, 0.5]);
    expect(logTicks([0.3, 30])).toEqual([0.5, 1, 2, 5, 10, 20]);
    expect(logTicks([0.01, 1000])).toEqual([0.01, 0.1, 1, 10, 100, 1000]);
  });

  test('the extent of nothing is nothing', () => {
    expect(extentOf([null])).toBeNull();
    expect(extentOf([null, 3, -1])).toEqual([-1, 3]);
  });

  test('labels keep apart, in order, and stay inside', () => {
    expect(spreadLabels([50, 51, 10], 10, [0, 100])).toEqual([50, 60, 10]);
    expect(spreadLabels([99, 100, 98], 10, [0, 100])).toEqual([90, 100, 80]);
    const many = spreadLabels(new Array(30).fill(5), 10, [0, 58]);
    expect([Math.min(...many), Math.max(...many)]).toEqual([0, 58]);
    expect(spreadLabels([], 10, [0, 100])).toEqual([]);
    expect(spreadLabels([40], 10, [0, 100])).toEqual([40]);
  });
});

test('figures read as people write them', () => {
  expect([percent(0.96149), points(0.0123), points(-0.2), points(-0.0001)]).toEqual([
    ...['96.1 %', '+1.2', '−20.0', '0.0'],
  ]);
  expect([seconds(770), seconds(31_530), seconds(120_400)]).toEqual(['0.77 s', '31.5 s', '120 s']);
});

test('no two of fifteen policies look alike', () => {
  const looks = Array.from({ length: 15 }, (_, index) => looksOf(index));
  expect(new Set(looks.map(({ colour, dash }) => `${colour} ${dash}`)).size).toBe(15);
  expect(new Set(looks.map(({ colour, mark }) => `${colour} ${mark}`)).size).toBe(15);
  // Nobody else has the colour of the first one.
  expect(looks.filter(({ colour }) => colour === 0)).toHaveLength(1);
});

describe('the page', () => {
  const rates = [0.7, 0.9, 1.1];
  const sweep = (policy: string, more = {}) =>
    rates.map((load) => cellOf({ policy, load, attainment: 1.6 - load, ...more }));
  const tagsOf = (page: string, tag: string) => page.split(`<${tag}`).length - 1;
  const elementCounts = (page: string) =>
    ['figure', 'svg', 'table', 'details', 'ul', 'li', 'main', 'div', 'p', 'g', 'tr'].map((tag) => [
      tag,
      page.match(new RegExp(`<${tag}[ >]`, 'g'))?.length ?? 0,
      page.split(`</${tag}>`).length - 1,
    ]);

  test('names from outside stay text', () => {
    const evil = `"><script>alert('x')</script>`;
    const cells = [...sweep('dualmap', { trace: evil }), ...sweep('preble', { trace: evil })];
    const report = reportOf([...cells, cellOf({ trace: evil, load: 0.9, variant: evil })]);
    const facts = { ...report.facts, command: evil, machine: evil };
    const page = reportPage({ ...report, facts });
    expect(tagsOf(page, 'script')).toBe(1);
    expect(page).not.toContain(`"><script>alert`);
    expect(page).toContain('&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;');
  });

  test('every element is closed, and nothing is NaN, undefined or fetched', () => {
    const timeline = {
      partMs: 10,
      imbalanceCv: [0.5, null, 1],
      waiting: [3, 0, 12],
      attainment: null,
    };
    const pages = [
      [...sweep('dualmap', { timeline }), ...sweep('preble', { timeline })],
      [...sweep('dualmap', { routers: 8 }), ...sweep('preble'), ...sweep('random')],
      [...sweep('dualmap'), ...sweep('dualmap', { variant: 'binding=early', attainment: 0.4 })],
      sweep('preble'),
      [cellOf({})],
      [cellOf({ attainment: 0, ttftMs: { p50: null, p90: null, p99: null }, lost: 400 })],
      [cellOf({ hitRatio: 0, hitShareOfLimit: null, timeline })],
      [],
    ].map((cells) => reportPage(reportOf(cells)).replace(script, ''));
    for (const page of pages) {
      expect(page).not.toMatch(/NaN|undefined|Infinity,|\[object|https?:\/\//);
      for (const [tag, opened, closed] of elementCounts(page)) {
        expect([tag, opened]).toEqual([tag, closed]);
      }
    }
  });

  test('lines over several rates, bars for one, and goodput as bars too', () => {
    const lines = reportPage(reportOf([...sweep('dualmap'), ...sweep('preble')]));
    expect(lines).toContain('data-heads="load 0.7|load 0.9|load 1.1"');
    expect(lines).toContain('data-texts="90.0 %|70.0 %|50.0 %"');
    const bars = reportPage(reportOf([cellOf({}), cellOf({ policy: 'preble' })]));
    expect(bars).not.toContain('data-heads=');
    expect(bars).toContain('<figure class="chart bars"');
    const cells = [cellOf({ qps: 12 }), cellOf({ policy: 'preble', qps: 8, load: 0.8 })];
    const goodput = reportPage(reportOf(cells, { goodput: true }));
    expect(goodput).toContain('× 1.50');
    expect(goodput).toContain('8.00/s, load 0.8');
  });

  test('a rate at which all were lost is a gap in the line of its median', () => {
    const lost = { ttftMs: { p50: null, p90: null, p99: null } };
    const cells = rates.map((load) => cellOf({ load, ...(load === 0.9 ? lost : {}) }));
    const page = reportPage(reportOf(cells));
    expect(page).toContain('data-texts="0.80 s|lost|0.80 s"');
    // Two pieces of one point each: no line between them.
    const [, path] = /aria-label="TTFT P50[\s\S]*?class="line" d="([^"]*)"/.exec(page)!;
    expect(path!.match(/[ML]/g)).toEqual(['M', 'M']);
  });

  test('a join is told, marked, and shown in what was in time', () => {
    const course = { partMs: 2000, imbalanceCv: [0.5, 1], waiting: [3, 12] };
    const timeline = { ...course, attainment: [0.875, 0] };
    const joined = { instances: 4, atMs: 3000 };
    const rows = [
      cellOf({ timeline, joined, backInMs: 1250 }),
      cellOf({ policy: 'preble', timeline: { ...timeline, attainment: [null, 0] }, joined }),
    ];
    const page = reportPage(reportOf(rows)).replace(script, '');
    expect(page).toContain('8 instances and 4 that join');
    expect(page.split('class="event" d="M1.5 0V60"')).toHaveLength(7);
    expect(page).toContain('dashed: 4 joined at 3 s');
    expect(page).toContain('data-values="87.5 0"');
    expect(page).toContain('data-values=" 0"');
    expect(page).toContain('each strip: 0 to 100 %');
    expect(page).toContain('data-v="1250">1.25 s<');
    expect(page).toContain('data-v="">never<');
    const still = reportPage(reportOf([cellOf({ timeline: { ...course, attainment: null } })]));
    expect(still).not.toMatch(/that join|class="event"|dashed:|Answered in time over|back in/);
  });

  test('differences, and an ablation only where there are variants', () => {
    const cells = [...sweep('dualmap'), ...sweep('preble', { attainment: 0.3 })];
    const page = reportPage(reportOf(cells));
    expect(page).toContain('+60.0');
    expect(page).not.toContain('Ablation');
    const variants = sweep('dualmap', { variant: 'binding=early', attainment: 0.4 });
    const withVariants = reportPage(reportOf([...cells, ...variants]));
    expect(withVariants).toContain('Ablation');
    expect(withVariants).toContain('<code>binding=early</code>');
    // They are no policies of their own.
    expect(tagsOf(withVariants, 'g ')).toBe(tagsOf(page, 'g '));
  });
});
