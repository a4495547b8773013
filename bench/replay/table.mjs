/** The results of a comparison as a table in Markdown, and as a verdict. Pure. */

export const share = (value) => (value === null ? '-' : `${(100 * value).toFixed(1)} %`);
export const seconds = (ms) => (ms === null ? '-' : `${(ms / 1000).toFixed(2)} s`);

const line = (cells) => `| ${cells.join(' | ')} |\n`;

/** What every table shows of a cell. */
export const attainedColumns = [
  ['attained', ({ attainment }) => share(attainment)],
  ['simulated', ({ simulated }) => share(simulated.attainment)],
  ['P50', ({ ttftMs }) => seconds(ttftMs.p50)],
  ['P90', ({ ttftMs }) => seconds(ttftMs.p90)],
  ['hits', ({ hitRatio }) => share(hitRatio)],
  ['simulated', ({ simulated }) => share(simulated.hitRatio)],
];
export const failedColumns = [
  ['errors', ({ errors }) => String(errors)],
  ['lost', ({ lost }) => String(lost)],
  ['late P99', ({ sendLateMs }) => `${sendLateMs.p99.toFixed(1)} ms`],
];

/** `columns`: names, and how each is had from a cell. */
export function headOf(columns) {
  return line(columns.map(([name]) => name)) + line(columns.map(() => '---'));
}

export function rowOf(columns, cell) {
  const row = line(columns.map(([, of]) => of(cell)));
  return cell.void ? `${row.trimEnd()} VOID: the generator was late\n` : row;
}

const columns = [
  ['load', ({ load }) => String(load)],
  ['policy', ({ name }) => name],
  ...attainedColumns,
  ['migrations', ({ migrations }) => String(migrations)],
  ['cold claims', ({ coldClaims }) => String(coldClaims)],
  ['imbalance', ({ imbalance }) => (imbalance === null ? '-' : imbalance.toFixed(2))],
  ...failedColumns,
];

export const tableHead = () => headOf(columns);
export const tableRow = (cell) => rowOf(columns, cell);

/** The best of those without a queue in the router may attain this much less, or more. */
const nearMin = -0.01;
const farMin = 0.2;
const weakBelow = 0.75;

/** `dualmap` against the best of the rules that are not its own, at every load. */
export function verdicts(cells) {
  const loads = [...new Set(cells.map(({ load }) => load))];
  return loads.flatMap((load) => {
    const here = cells.filter((cell) => cell.load === load);
    const ours = here.find(({ name }) => name === 'dualmap');
    const others = here.filter(({ policy }) => !policy.startsWith('dualmap'));
    if (ours === undefined || others.length === 0) return [];
    const best = others.reduce((a, b) => (b.attainment > a.attainment ? b : a));
    const atLeast = best.attainment + (best.attainment < weakBelow ? farMin : nearMin);
    return [{ load, best: best.name, atLeast, measured: ours.attainment }];
  });
}

export function verdictLine({ load, best, atLeast, measured }) {
  const word = measured >= atLeast ? 'met' : 'missed';
  return `${word}: load ${load}: dualmap ${share(measured)}, beside ${best} at least ${share(atLeast)}`;
}
