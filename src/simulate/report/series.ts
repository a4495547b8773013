/**
 * How a policy looks everywhere on the page: a colour, a dash and a mark, which together are its
 * own. Pure.
 */
import { type Html, html } from './html.ts';

/** Place in the legend; decides the looks. */
export interface Series {
  readonly index: number;
  readonly name: string;
}

/** Apart in lightness as well as in hue, and at least 3:1 on their ground. */
const colours = [
  { light: '#0a5fc4', dark: '#6db3ff' },
  { light: '#c2410c', dark: '#ff9466' },
  { light: '#00785c', dark: '#3fd3a6' },
  { light: '#9d2f86', dark: '#eb8fd6' },
  { light: '#8f6400', dark: '#e6bb3f' },
  { light: '#0f87a8', dark: '#5fd7f2' },
  { light: '#767c86', dark: '#8f98a3' },
  { light: '#343941', dark: '#e8ebef' },
];
const dashes = ['none', '7 4', '2 3'];
const markCount = 7;

/** The first colour is the first series' alone; the others begin again with another dash. */
export function looksOf(index: number): { colour: number; dash: string; mark: number } {
  if (index === 0) return { colour: 0, dash: dashes[0]!, mark: 0 };
  const others = colours.length - 1;
  const round = Math.floor((index - 1) / others);
  return {
    colour: 1 + ((index - 1) % others),
    dash: dashes[round % dashes.length]!,
    mark: (index + round) % markCount,
  };
}

/** Custom properties for each colour, one ground. */
export function colourProperties(ground: 'light' | 'dark'): string {
  return colours.map((colour, index) => `--c${index}:${colour[ground]}`).join(';');
}

/** Rules of each series: its looks, and how the legend hides it or puts it in front. */
export function seriesRules(count: number): string {
  return Array.from({ length: count }, (_, index) => {
    const { colour, dash } = looksOf(index);
    return [
      `.s${index}{--c:var(--c${colour});--dash:${dash}}`,
      `.off${index} [data-s="${index}"]{display:none}`,
      `.front${index} .series:not(.s${index}){opacity:.12}`,
    ].join('\n');
  }).join('\n');
}

/** The outline of a series' mark around a point. */
export function markPath(index: number, x: number, y: number): string {
  const r = 3.4;
  const at = (dx: number, dy: number) => `${place(x + dx * r)},${place(y + dy * r)}`;
  switch (looksOf(index).mark) {
    case 0:
      return `M${at(-1, 0)}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`;
    case 1:
      return `M${at(-0.9, -0.9)}L${at(0.9, -0.9)} ${at(0.9, 0.9)} ${at(-0.9, 0.9)}Z`;
    case 2:
      return `M${at(0, -1.2)}L${at(1.1, 0.8)} ${at(-1.1, 0.8)}Z`;
    case 3:
      return `M${at(0, -1.3)}L${at(1.3, 0)} ${at(0, 1.3)} ${at(-1.3, 0)}Z`;
    case 4:
      return `M${at(0, 1.2)}L${at(1.1, -0.8)} ${at(-1.1, -0.8)}Z`;
    case 5:
      return `M${at(-1.2, 0)}L${at(1.2, 0)}M${at(0, -1.2)}L${at(0, 1.2)}`;
    default:
      return `M${at(-1, -1)}L${at(1, 1)}M${at(1, -1)}L${at(-1, 1)}`;
  }
}

/** One decimal is finer than a screen shows. */
export const place = (value: number): number => Math.round(value * 10) / 10;

/** A piece of the line with its mark, for the legend and for names of rows. */
export function swatch({ index }: Series): Html {
  return html`<svg class="swatch s${index}" viewBox="0 0 26 12" aria-hidden="true"><path class="line" d="M1,6H25"/><path class="mark" d="${markPath(index, 13, 6)}"/></svg>`;
}

/** The switches of all series. */
export function legend(series: readonly Series[]): Html {
  const switches = series.map(
    (one) =>
      html`<button type="button" class="switch" data-switch="${one.index}" aria-pressed="true">${swatch(one)}<span>${one.name}</span></button>`,
  );
  return html`<div class="legend" role="group" aria-label="Policies shown">${switches}<button type="button" class="switch plain" data-switch="all">all</button><button type="button" class="switch plain" data-switch="none">none</button></div>`;
}
