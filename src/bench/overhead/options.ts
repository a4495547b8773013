/**
 * The options of `dualmap bench overhead`, checked all at once. Pure.
 */
import { type Cell, cells, quickCells } from './cells.ts';

export interface OverheadOptions {
  readonly rounds: number;
  /** Length of one measurement, after its warm-up. */
  readonly seconds: number;
  readonly warmSeconds: number;
  readonly streamsMax: number;
  readonly cells: readonly Cell[];
  /** Without the router on two I/O threads. */
  readonly quick: boolean;
  /** With `%PORT%`, `%UPSTREAM%` and, if two I/O threads shall be measured too, `%THREADS%`. */
  readonly routerCommand: string | null;
  readonly json: string | null;
}

export type GivenOverheadOptions = {
  readonly [name in 'rounds' | 'seconds' | 'only' | 'routerCommand' | 'json']?: string | undefined;
} & { readonly quick?: boolean | undefined };

const full = { rounds: 3, seconds: 5, warmSeconds: 2, streamsMax: 8000 };
/** Shows that everything works; its figures say nothing. */
const smoke = { rounds: 1, seconds: 0.5, warmSeconds: 0.3, streamsMax: 100 };

/** Every fault of what was given, or the options. */
export function parseOverheadOptions(
  given: GivenOverheadOptions,
): { options: OverheadOptions; faults: [] } | { options: null; faults: readonly string[] } {
  const faults: string[] = [];
  const quick = given.quick ?? false;
  const defaults = quick ? smoke : full;
  const number = (name: 'rounds' | 'seconds', min: number, max: number, isInteger: boolean) => {
    const text = given[name];
    if (text === undefined) return defaults[name];
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (value >= min && value <= max && (!isInteger || Number.isInteger(value))) return value;
    const kind = isInteger ? 'a whole number' : 'a number';
    faults.push(`--${name}: ${text}: expected ${kind} from ${min} to ${max}`);
    return defaults[name];
  };
  const rounds = number('rounds', 1, 100, true);
  const seconds = number('seconds', 0.5, 600, false);
  const wanted = given.only === undefined ? null : given.only.split(',').map((name) => name.trim());
  for (const name of wanted ?? []) {
    if (cells.some((cell) => cell.name === name)) continue;
    faults.push(`--only: ${name}: expected some of ${cells.map((cell) => cell.name).join(',')}`);
  }
  const routerCommand = given.routerCommand ?? null;
  for (const place of ['%PORT%', '%UPSTREAM%']) {
    if (routerCommand === null || routerCommand.includes(place)) continue;
    faults.push(`--router-command: ${place} is missing: the router could not be reached`);
  }
  if (faults.length > 0) return { options: null, faults };
  const chosen = cells.filter(({ name }) =>
    (wanted ?? (quick ? quickCells : [name])).includes(name),
  );
  const complete = withNeeded(chosen).map((cell) => (quick ? shortened(cell) : cell));
  const options = { ...defaults, rounds, seconds, cells: complete, quick, routerCommand };
  return { options: { ...options, json: given.json ?? null }, faults: [] };
}

/** Streams that end within the moment for which they are looked at. */
function shortened(cell: Cell): Cell {
  const { load } = cell;
  if (load.kind !== 'closed' || load.stream === undefined) return cell;
  return { ...cell, load: { ...load, stream: { ...load.stream, chunks: 20 } } };
}

/** A cell at half load needs the one that finds out what full load is; order as in the table. */
function withNeeded(chosen: readonly Cell[]): Cell[] {
  const needed = chosen.flatMap(({ load }) =>
    load.kind === 'rate' && load.capacityFrom !== undefined ? [load.capacityFrom] : [],
  );
  return cells.filter((cell) => chosen.includes(cell) || needed.includes(cell.name));
}
