/**
 * Grouped bars as one SVG file: readable in light and in dark, without a script or a font of its
 * own. Pure.
 */
import type { Spread } from './statistics.ts';
import { formatNumber } from './text.ts';

export interface ChartPanel {
  readonly title: string;
  readonly groups: readonly ChartGroup[];
}

export interface ChartGroup {
  readonly label: string;
  /** `null`: no figure; its place stays empty. */
  readonly bars: readonly { readonly series: string; readonly spread: Spread | null }[];
}

export interface Chart {
  readonly title: string;
  /** All names of bars, in the order of the legend. */
  readonly series: readonly string[];
  readonly panels: readonly ChartPanel[];
  /** Small print at the foot, one line each. */
  readonly notes: readonly string[];
}

/** Apart in lightness as well as in hue: they stay apart in grey and to the colour-blind. */
const palette = [
  { light: '#8c959f', dark: '#6e7681' },
  { light: '#bf8700', dark: '#d29922' },
  { light: '#1a7f37', dark: '#3fb950' },
  { light: '#0969da', dark: '#58a6ff' },
  { light: '#54aeff', dark: '#1f6feb' },
];
const font = 'ui-sans-serif, system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif';

const barWidth = 34;
const barGap = 6;
const groupGap = 30;
const margin = 24;
const titleHeight = 84;
const panelHead = 44;
const plotHeight = 150;
const labelHeight = 40;
const noteHeight = 17;
const charWidth = 7.5;
const rowHeight = panelHead + plotHeight + labelHeight;
const rowWidthMin = 600;
const panelGap = 40;

export function drawChart({ title, series, panels, notes }: Chart): string {
  const placed = placePanels(panels);
  const noteWidth = Math.max(0, ...notes.map((note) => note.length * 6));
  const width = margin * 2 + Math.max(noteWidth, ...placed.map(({ x, width: own }) => x + own));
  const notesTop = titleHeight + rowHeight * ((placed.at(-1)?.row ?? -1) + 1) + margin / 2;
  const height = notesTop + notes.length * noteHeight + margin / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(title)}">`,
    styleSheet(),
    `<rect class="ground" width="${width}" height="${height}" rx="8"/>`,
    `<text class="title" x="${margin}" y="36">${escapeXml(title)}</text>`,
    ...drawLegend(series),
    ...placed.flatMap((place) => drawPanel(place, series)),
    ...notes.map(
      (note, index) =>
        `<text class="note" x="${margin}" y="${notesTop + index * noteHeight}">${escapeXml(note)}</text>`,
    ),
    '</svg>',
    '',
  ].join('\n');
}

interface PlacedPanel {
  readonly panel: ChartPanel;
  readonly row: number;
  /** From the margin. */
  readonly x: number;
  readonly width: number;
}

/** From left to right, and a new row when there is no room for the next one. */
function placePanels(panels: readonly ChartPanel[]): PlacedPanel[] {
  const widths = panels.map(({ title, groups }) =>
    Math.max(
      title.length * charWidth,
      groups.reduce((sum, group) => sum + groupWidth(group), -groupGap),
    ),
  );
  const room = Math.max(rowWidthMin, ...widths);
  let row = 0;
  let x = 0;
  return panels.map((panel, index) => {
    const width = widths[index]!;
    if (x > 0 && x + width > room) {
      row += 1;
      x = 0;
    }
    const place = { panel, row, x, width };
    x += width + panelGap;
    return place;
  });
}

/** Bars of a group, or the room its label needs. */
function groupWidth({ label, bars }: ChartGroup): number {
  return Math.max(bars.length * (barWidth + barGap), label.length * charWidth) + groupGap;
}

function styleSheet(): string {
  const fills = (shade: 'light' | 'dark') =>
    palette.map((color, index) => `.s${index}{fill:${color[shade]}}`).join('');
  return [
    '<style>',
    `text{font-family:${font};font-size:12px;fill:#57606a}`,
    '.title{font-size:17px;font-weight:600;fill:#1f2328}.panel{font-size:13px;font-weight:600;fill:#1f2328}',
    '.value{font-size:11px;fill:#1f2328}.middle{text-anchor:middle}.note{font-size:11px}',
    '.ground{fill:#ffffff;stroke:#d0d7de}.axis{stroke:#d0d7de}.whisker{stroke:#1f2328;stroke-width:1.5}',
    fills('light'),
    '@media (prefers-color-scheme:dark){',
    'text{fill:#9198a1}.title,.panel,.value{fill:#f0f6fc}.ground{fill:#0d1117;stroke:#3d444d}',
    `.axis{stroke:#3d444d}.whisker{stroke:#f0f6fc}${fills('dark')}`,
    '}</style>',
  ].join('\n');
}

function drawLegend(series: readonly string[]): string[] {
  let x = margin;
  return series.flatMap((name, index) => {
    const at = x;
    x += name.length * charWidth + 44;
    return [
      `<rect class="s${index % palette.length}" x="${at}" y="52" width="12" height="12" rx="2"/>`,
      `<text x="${at + 18}" y="62">${escapeXml(name)}</text>`,
    ];
  });
}

function drawPanel(
  { panel: { title, groups }, row, x: left, width }: PlacedPanel,
  series: readonly string[],
): string[] {
  const top = titleHeight + row * rowHeight;
  const floor = top + panelHead + plotHeight;
  const highest = Math.max(
    0,
    ...groups.flatMap((group) => group.bars.map(({ spread }) => spread?.max ?? 0)),
  );
  // Room above the highest whisker for its figure.
  const toY = (value: number) =>
    highest === 0 ? floor : floor - (Math.max(0, value) / highest) * (plotHeight - 18);
  const start = margin + left;
  let x = start;
  const drawn = groups.flatMap((group) => {
    const at = x;
    x += groupWidth(group);
    return drawGroup(group, series, at, floor, toY);
  });
  return [
    `<text class="panel" x="${start}" y="${top + 22}">${escapeXml(title)}</text>`,
    ...drawn,
    `<line class="axis" x1="${start}" y1="${floor}" x2="${start + width}" y2="${floor}"/>`,
  ];
}

function drawGroup(
  group: ChartGroup,
  series: readonly string[],
  left: number,
  floor: number,
  toY: (value: number) => number,
): string[] {
  const room = groupWidth(group) - groupGap;
  const start = left + (room - group.bars.length * (barWidth + barGap) + barGap) / 2;
  const bars = group.bars.flatMap(({ series: name, spread }, index) => {
    const x = start + index * (barWidth + barGap);
    const middle = round(x + barWidth / 2);
    if (spread === null) {
      return [`<text class="value middle" x="${middle}" y="${floor - 5}">–</text>`];
    }
    const top = toY(spread.median);
    const [low, high] = [round(toY(spread.min)), round(toY(spread.max))];
    return [
      `<rect class="s${series.indexOf(name) % palette.length}" x="${round(x)}" y="${round(top)}" width="${barWidth}" height="${round(floor - top)}" rx="2"/>`,
      ...(low === high
        ? []
        : [`<line class="whisker" x1="${middle}" y1="${low}" x2="${middle}" y2="${high}"/>`]),
      `<text class="value middle" x="${middle}" y="${round(Math.min(top, high) - 4)}">${formatNumber(spread.median)}</text>`,
    ];
  });
  const label = `<text class="middle" x="${round(left + room / 2)}" y="${floor + 18}">${escapeXml(group.label)}</text>`;
  return [...bars, label];
}

const round = (value: number) => Math.round(value * 10) / 10;

function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
