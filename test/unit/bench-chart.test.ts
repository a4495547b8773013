import { expect, it } from 'vitest';
import { type Chart, drawChart } from '../../src/bench/chart.ts';
import { spreadOf } from '../../src/bench/statistics.ts';

const chart: Chart = {
  title: 'What <a> & "b" cost',
  series: ['nginx', 'router'],
  panels: [
    {
      title: 'µs < ms',
      groups: [
        {
          label: 'unary-4k',
          bars: [
            { series: 'nginx', spread: spreadOf([10, 12, 11]) },
            { series: 'router', spread: spreadOf([20]) },
          ],
        },
        {
          label: 'a label that is wider than its bars',
          bars: [{ series: 'router', spread: null }],
        },
      ],
    },
    {
      title: 'nothing costs anything',
      groups: [{ label: 'x', bars: [{ series: 'nginx', spread: spreadOf([0]) }] }],
    },
  ],
  notes: ['a <note> & more'],
};

interface Element {
  readonly name: string;
  readonly attributes: Record<string, string>;
}

/** Elements in their order. Throws on what an XML parser would refuse. */
function parseXml(text: string): Element[] {
  const elements: Element[] = [];
  const open: string[] = [];
  let rest = text;
  while (rest !== '') {
    const content = /^[^<]+/.exec(rest)?.[0];
    if (content !== undefined) {
      if (/&(?!(amp|lt|gt|quot);)/.test(content)) throw new Error(`bare & in ${content}`);
      if (open.length === 0 && content.trim() !== '') throw new Error(`outside: ${content}`);
      rest = rest.slice(content.length);
      continue;
    }
    const tag = /^<(\/?)([a-zA-Z]+)((?: [\w:-]+="[^"<]*")*)(\/?)>/.exec(rest);
    if (tag === null) throw new Error(`not a tag: ${rest.slice(0, 60)}`);
    const [all, closing, name, attributes, empty] = tag as unknown as string[];
    rest = rest.slice(all!.length);
    if (closing === '/') {
      if (open.pop() !== name) throw new Error(`</${name}> closes nothing`);
      continue;
    }
    const pairs = [...attributes!.matchAll(/([\w:-]+)="([^"]*)"/g)].map((m) => [m[1]!, m[2]!]);
    elements.push({ name: name!, attributes: Object.fromEntries(pairs) });
    if (empty !== '/') open.push(name!);
  }
  if (open.length > 0) throw new Error(`open: ${open.join()}`);
  return elements;
}

const svg = drawChart(chart);
const elements = parseXml(svg);
const bars = elements.filter(
  ({ name, attributes }) => name === 'rect' && attributes.width === '34',
);

it('is well-formed, whatever the labels contain', () => {
  expect(elements[0]).toMatchObject({ name: 'svg', attributes: { role: 'img' } });
  expect(svg).toContain('What &lt;a&gt; &amp; &quot;b&quot; cost');
});

it('has no figure that is not a number', () => {
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});

it('draws a bar for every figure, as high as it is large', () => {
  expect(bars).toHaveLength(3);
  const [nginx, router, nothing] = bars.map(({ attributes }) => Number(attributes.height));
  expect(nginx! / router!).toBeCloseTo(11 / 20, 2);
  expect(nothing).toBe(0);
});

it('draws a whisker only for a range', () => {
  expect(elements.filter(({ attributes }) => attributes.class === 'whisker')).toHaveLength(1);
});

it('colours a series alike in the legend and everywhere', () => {
  const classes = bars.map(({ attributes }) => attributes.class);
  expect(classes).toEqual(['s0', 's1', 's0']);
});

it('draws nothing outside of its ground', () => {
  const { width, height } = elements[0]!.attributes;
  for (const { attributes } of elements) {
    for (const key of ['x', 'x1', 'x2']) {
      const x = Number(attributes[key] ?? 0);
      expect(x + (key === 'x' ? Number(attributes.width ?? 0) : 0)).toBeLessThanOrEqual(+width!);
    }
    for (const key of ['y', 'y1', 'y2']) {
      const y = Number(attributes[key] ?? 0);
      expect(y).toBeGreaterThanOrEqual(0);
      expect(y).toBeLessThanOrEqual(Number(height));
    }
  }
});

it('has colours for the dark', () => {
  expect(svg).toMatch(/prefers-color-scheme:dark.*\n.*\n.*\.s0\{fill:#/);
});
