/**
 * Figures and tables as text for a terminal. Pure.
 */
import type { Spread } from './statistics.ts';

/** Three significant digits, no exponent, thousands apart: `22.3`, `0.148`, `31,400`. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString('en-US');
  if (size === 0) return '0';
  const digits = Math.min(4, Math.max(0, 2 - Math.floor(Math.log10(size))));
  return value.toFixed(digits);
}

/** `22.3 (21.9..23.0)`; the median alone if there was one round. */
export function formatSpread(spread: Spread | null): string {
  if (spread === null) return '-';
  const median = formatNumber(spread.median);
  if (spread.runs.length === 1) return median;
  return `${median} (${formatNumber(spread.min)}..${formatNumber(spread.max)})`;
}

/** Columns side by side: the first to the left, the others to the right. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join('  ')
      .trimEnd();
  return all.map(line).join('\n');
}
