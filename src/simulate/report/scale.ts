/**
 * From values to places in a picture. Pure.
 */

export type Range = readonly [number, number];
export type Scale = (value: number) => number;

/** All values at one place, if there is only one, lie in the middle. */
export function linearScale([from, to]: Range, [start, end]: Range): Scale {
  if (from === to) return () => (start + end) / 2;
  return (value) => start + ((value - from) / (to - from)) * (end - start);
}

/** Values must be above 0. */
export function logScale([from, to]: Range, range: Range): Scale {
  const scale = linearScale([Math.log(from), Math.log(to)], range);
  return (value) => scale(Math.log(value));
}

/** Lowest and highest; `null` of nothing. */
export function extentOf(values: readonly (number | null)[]): Range | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  return [Math.min(...known), Math.max(...known)];
}

/** Round values from `from` to `to`, about `count` of them. */
export function linearTicks([from, to]: Range, count: number): number[] {
  if (from === to) return [from];
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
}

/** Powers of ten, and 2 and 5 of them while there are few. */
export function logTicks([from, to]: Range): number[] {
  const decades = Math.log10(to / from);
  const factors = decades > 3 ? [1] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.ceil(Math.log10(to)); power++) {
    for (const factor of factors) {
      const tick = Number((factor * 10 ** power).toPrecision(12));
      if (tick >= from && tick <= to) ticks.push(tick);
    }
  }
  return ticks;
}

/**
 * Places for labels that would like to be at `wanted`: at least `gap` apart and within `range`,
 * each as near as the order allows. More than fit are squeezed.
 */
export function spreadLabels(wanted: readonly number[], gap: number, [top, bottom]: Range) {
  const order = wanted.map((_, index) => index).sort((a, b) => wanted[a]! - wanted[b]!);
  const room = Math.min(gap, (bottom - top) / Math.max(1, wanted.length - 1));
  const places: number[] = wanted.slice();
  let least = top;
  for (const index of order) {
    places[index] = Math.max(least, wanted[index]!);
    least = places[index]! + room;
  }
  let most = bottom;
  for (const index of order.toReversed()) {
    places[index] = Math.min(most, places[index]!);
    most = places[index]! - room;
  }
  return places;
}
