/**
 * How the text of an option becomes a value. The command line, the environment and the YAML file
 * all hand in text, so that a value means the same wherever it is written. Pure functions.
 */

export type Parsed<T> = { readonly value: T } | { readonly faults: readonly string[] };

export interface Kind<T> {
  /** What stands for the value in `--help`: `N`, `FILE`, `on|off`. */
  readonly placeholder: string;
  /** What a user may write, for people. */
  readonly accepts: string;
  /** True if the option may stand alone on the command line, where it then means `on`. */
  readonly standsAlone: boolean;
  readonly parse: (text: string) => Parsed<T>;
  /** The text that `parse` takes back to the same value. */
  readonly format: (value: T) => string;
  /** Texts at the edge of what is taken, and just beyond it: the boundary tests are made of them. */
  readonly edges: { readonly taken: readonly string[]; readonly refused: readonly string[] };
}

interface Bounds {
  readonly min: number;
  readonly max: number;
}

export function refuse(text: string, expected: string): { faults: readonly string[] } {
  if (text === '') return { faults: [`is empty; expected ${expected}`] };
  return { faults: [`"${text}" is refused; expected ${expected}`] };
}

const withCommas = (value: number): string => value.toLocaleString('en-US');

function numberKind({ min, max }: Bounds, pattern: RegExp, what: string, step: number) {
  const accepts = `${withCommas(min)} to ${withCommas(max)}`;
  const kind: Kind<number> = {
    placeholder: 'N',
    accepts,
    standsAlone: false,
    parse(given) {
      const value = Number(given);
      const fits = pattern.test(given) && value >= min && value <= max;
      return fits ? { value } : refuse(given, `${what} from ${accepts}`);
    },
    format: String,
    edges: {
      taken: [String(min), String(max)],
      refused: [String(min - step), String(max + step), '', 'x', '1x', 'NaN', '1,000'],
    },
  };
  return kind;
}

export function integer(min: number, max: number): Kind<number> {
  return numberKind({ min, max }, /^\d+$/, 'a whole number', 1);
}

export function decimal(min: number, max: number): Kind<number> {
  return numberKind({ min, max }, /^\d+(\.\d+)?$/, 'a number', min === 0 ? 1 : min / 2);
}

/** Written in seconds, because the option's known name has that unit; kept in milliseconds. */
export function seconds(min: number, max: number): Kind<number> {
  const kind = decimal(min, max);
  return {
    ...kind,
    parse(given) {
      const parsed = kind.parse(given);
      return 'value' in parsed ? { value: Math.round(parsed.value * 1000) } : parsed;
    },
    format: (value) => String(value / 1000),
    edges: { ...kind.edges, refused: [...kind.edges.refused, '5s'] },
  };
}

const byteUnits = ['', 'kb', 'mb', 'gb'];

/** Bytes with an optional `kb`, `mb` or `gb`, each 1,024 of the one before, as in nginx. */
export function bytes(min: number, max: number): Kind<number> {
  const format = (value: number): string => {
    let rest = value;
    let unit = 0;
    for (; unit < 3 && rest > 0 && rest % 1024 === 0; unit++) rest /= 1024;
    return `${rest}${byteUnits[unit]}`;
  };
  const accepts = `${format(min)} to ${format(max)}`;
  return {
    placeholder: 'BYTES',
    accepts,
    standsAlone: false,
    parse(text) {
      const match = /^(\d+)([kmg]b)?$/i.exec(text);
      const unit = byteUnits.indexOf((match?.[2] ?? '').toLowerCase());
      const value = Number(match?.[1]) * 1024 ** unit;
      const fits = match !== null && value >= min && value <= max;
      return fits ? { value } : refuse(text, `bytes (12, 12kb, 12mb, 12gb) from ${accepts}`);
    },
    format,
    edges: {
      taken: [String(min), String(max), format(max).toUpperCase()],
      refused: [String(min - 1), String(max + 1), '', 'mb', '1.5mb', '1tb', '1 mb'],
    },
  };
}

export function choice<const T extends string>(values: readonly T[]): Kind<T> {
  return {
    placeholder: 'NAME',
    accepts: values.map((value) => `\`${value}\``).join(', '),
    standsAlone: false,
    parse(text) {
      const value = values.find((candidate) => candidate === text);
      return value === undefined ? refuse(text, `one of ${values.join(', ')}`) : { value };
    },
    format: String,
    edges: { taken: values, refused: ['', 'x', `${values[0]} `] },
  };
}

const switchTexts = new Map([
  ['on', true],
  ['true', true],
  ['off', false],
  ['false', false],
]);

export const onOff: Kind<boolean> = {
  placeholder: 'on|off',
  accepts: '`on`, `off`',
  standsAlone: true,
  parse(text) {
    const value = switchTexts.get(text);
    return value === undefined ? refuse(text, 'on or off') : { value };
  },
  format: (value) => (value ? 'on' : 'off'),
  edges: { taken: [...switchTexts.keys()], refused: ['', '0', '1', 'yes', 'ON'] },
};

/** Text that one pattern describes. */
export function text(pattern: RegExp, description: Omit<Kind<string>, Method>): Kind<string> {
  return {
    ...description,
    standsAlone: false,
    parse: (given) => (pattern.test(given) ? { value: given } : refuse(given, description.accepts)),
    format: (value) => value,
  };
}
type Method = 'parse' | 'format' | 'standsAlone';

/** The same kind, but the word `off` gives null. Zero stays a number. */
export const orOff = <T>(kind: Kind<T>): Kind<T | null> => orWord(kind, 'off');

/** The same kind, but the word `auto` gives null. */
export const orAuto = <T>(kind: Kind<T>): Kind<T | null> => orWord(kind, 'auto');

function orWord<T>(kind: Kind<T>, word: 'off' | 'auto'): Kind<T | null> {
  const shouted = word.toUpperCase();
  return {
    ...kind,
    accepts: `${kind.accepts}, or \`${word}\``,
    parse(given) {
      if (given === word) return { value: null };
      // Where any text is taken, this one would become a key or a path that nobody meant.
      if (given.toLowerCase() === word) return refuse(given, `${kind.accepts}, or ${word}`);
      const parsed = kind.parse(given);
      if ('value' in parsed) return parsed;
      return { faults: parsed.faults.map((fault) => `${fault}, or ${word}`) };
    },
    format: (value) => (value === null ? word : kind.format(value)),
    edges: { taken: [...kind.edges.taken, word], refused: [...kind.edges.refused, shouted] },
  };
}
