/**
 * The options of `dualmap simulate`: one table from which flags, help and checks are made. Pure.
 */
import { availableParallelism } from 'node:os';
import { type Config, policies, queueModes } from '../config/config.ts';
import { options as serveOptions } from '../config/options.ts';
import { presetNames } from './presets.ts';

export interface SimulateOptions {
  readonly trace: readonly string[];
  readonly policy: readonly string[];
  readonly preset: readonly string[];
  readonly queue: readonly string[];
  readonly instances: readonly number[];
  /** `null`: the fleet stays as it is. */
  readonly join: Join | null;
  readonly routers: readonly number[];
  /** Exactly one of `load` and `qps` has values. */
  readonly load: readonly number[];
  readonly qps: readonly number[];
  readonly goodput: boolean;
  readonly seeds: number;
  readonly sloTtftMs: number;
  /** Options of `serve`, by their fields. */
  readonly set: Partial<Config>;
  /** Further runs of the first policy, each with these options of `serve` as well. */
  readonly vary: readonly Variant[];
  readonly viewDelayMs: number;
  readonly arrivals: 'spread' | 'raw';
  /** `null`: all. */
  readonly limit: number | null;
  readonly maxInputTokens: number | null;
  readonly warmup: number;
  readonly threads: number;
  /** `null`: no file. */
  readonly json: string | null;
  readonly report: string | null;
}

/** So many instances more, once this share of the requests has arrived. */
export interface Join {
  readonly instances: number;
  readonly share: number;
}

export interface Variant {
  /** As it was written. */
  readonly name: string;
  readonly set: Partial<Config>;
}

/** Options as the command line has them: texts, or nothing. */
export type GivenSimulateOptions = {
  readonly [Key in keyof SimulateOptions]?: string | boolean | undefined;
};

type Value =
  | string
  | number
  | boolean
  | readonly (string | number | Variant)[]
  | Partial<Config>
  | Join
  | null;

interface NumberKind {
  readonly kind: 'number' | 'numbers';
  readonly min: number;
  readonly max: number;
  readonly integer: boolean;
}

type Kind =
  | NumberKind
  | { readonly kind: 'file' | 'files' | 'switch' | 'settings' | 'variants' | 'join' }
  | { readonly kind: 'choice' | 'choices'; readonly of: readonly string[] };

export interface SimulateOptionRow {
  readonly key: keyof SimulateOptions;
  /** As commander writes it. */
  readonly flag: string;
  readonly help: string;
  readonly is: Kind;
  readonly default: Value;
  readonly required?: true;
}

const whole = (min: number, max: number): NumberKind => {
  return { kind: 'number', min, max, integer: true };
};
const decimal = (min: number, max: number): NumberKind => {
  return { kind: 'number', min, max, integer: false };
};
const several = (kind: NumberKind): NumberKind => ({ ...kind, kind: 'numbers' });
const countMax = 1_000_000_000;
const instancesMax = 4096;

/** A default of `null` means "off". Lists are written with commas: every combination is run. */
export const simulateOptionRows: readonly SimulateOptionRow[] = [
  {
    key: 'trace',
    flag: '--trace <files>',
    is: { kind: 'files' },
    default: [],
    required: true,
    help: 'traces, .jsonl or .jsonl.gz',
  },
  {
    key: 'policy',
    flag: '--policy <names>',
    is: { kind: 'choices', of: policies },
    default: ['dualmap'],
    help: `rules to compare: ${policies.join(', ')} (default: dualmap)`,
  },
  {
    key: 'preset',
    flag: '--preset <names>',
    is: { kind: 'choices', of: presetNames },
    default: ['paper-7b'],
    help: `engines: ${presetNames.join(', ')} (default: paper-7b)`,
  },
  {
    key: 'queue',
    flag: '--queue <modes>',
    is: { kind: 'choices', of: queueModes },
    default: ['auto'],
    help: `where requests wait: ${queueModes.join(', ')}, as of \`serve\` (default: auto)`,
  },
  {
    key: 'instances',
    flag: '--instances <counts>',
    is: several(whole(1, instancesMax)),
    default: [8],
    help: 'engines of the fleet (default: 8)',
  },
  {
    key: 'join',
    flag: '--join <count@share>',
    is: { kind: 'join' },
    default: null,
    help: 'engines that join when that share of the requests has arrived: 4@0.5 (default: none)',
  },
  {
    key: 'routers',
    flag: '--routers <counts>',
    is: several(whole(1, 64)),
    default: [1],
    help: 'routers that share nothing; requests reach them at random (default: 1)',
  },
  {
    key: 'load',
    flag: '--load <shares>',
    is: several(decimal(0.001, 100)),
    default: [],
    help: 'rates as shares of warm saturation, before any --join (default: 0.9, without --qps)',
  },
  {
    key: 'qps',
    flag: '--qps <rates>',
    is: several(decimal(0.001, 1_000_000)),
    default: [],
    help: 'rates in requests a second, instead of --load',
  },
  {
    key: 'goodput',
    flag: '--goodput',
    is: { kind: 'switch' },
    default: false,
    help: 'find the highest rate with 90 % attainment by bisection, for each policy and seed',
  },
  {
    key: 'seeds',
    flag: '--seeds <number>',
    is: whole(1, 1000),
    default: 1,
    help: 'runs of each combination: the spread of batches and the rings differ (default: 1)',
  },
  {
    key: 'sloTtftMs',
    flag: '--slo-ttft-ms <ms>',
    is: decimal(1, 3_600_000),
    default: 5_000,
    help: 'objective for the time to first token (default: 5000)',
  },
  {
    key: 'set',
    flag: '--set <options>',
    is: { kind: 'settings' },
    default: {},
    help: 'options of `serve` for every router: slo-fraction=1,bytes-per-token=4',
  },
  {
    key: 'vary',
    flag: '--vary <sets>',
    is: { kind: 'variants' },
    default: [],
    help: 'the first policy again with other options: "binding=early;binding=early,rebalance=on"',
  },
  {
    key: 'viewDelayMs',
    flag: '--view-delay-ms <ms>',
    is: decimal(0, 60_000),
    default: 0,
    help: "age of the engines' metrics as routers see them (default: 0)",
  },
  {
    key: 'arrivals',
    flag: '--arrivals <how>',
    is: { kind: 'choice', of: ['spread', 'raw'] },
    default: 'spread',
    help: 'spread draws the requests of one timestamp over its window (default: spread)',
  },
  {
    key: 'limit',
    flag: '--limit <requests>',
    is: whole(1, countMax),
    default: null,
    help: 'the first so many requests, counted after --max-input-tokens (default: all)',
  },
  {
    key: 'maxInputTokens',
    flag: '--max-input-tokens <tokens>',
    is: whole(1, countMax),
    default: null,
    help: 'leaves out rows with a longer input (default: none)',
  },
  {
    key: 'warmup',
    flag: '--warmup <requests>',
    is: whole(0, countMax),
    default: 0,
    help: 'requests at the start that count in no figure (default: 0)',
  },
  {
    key: 'threads',
    flag: '--threads <number>',
    is: whole(1, 256),
    default: availableParallelism(),
    help: 'threads to run on; results are the same for any number (default: all cores)',
  },
  {
    key: 'json',
    flag: '--json <file>',
    is: { kind: 'file' },
    default: null,
    help: 'writes all results',
  },
  {
    key: 'report',
    flag: '--report <file>',
    is: { kind: 'file' },
    default: null,
    help: 'writes one HTML page with charts and all figures; it needs nothing else',
  },
];

/** Everything that is wrong with the options, or with what they name. Exit 2. */
export class SimulateFault extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[], cause?: unknown) {
    super(faults.join('\n'), cause === undefined ? undefined : { cause });
    this.name = 'SimulateFault';
    this.faults = faults;
  }
}

/** Fills in the defaults. Throws one `SimulateFault` with every fault. */
export function parseSimulateOptions(given: GivenSimulateOptions): SimulateOptions {
  const faults: string[] = [];
  const parsed: Record<string, Value> = {};
  for (const row of simulateOptionRows) {
    const text = given[row.key];
    const name = row.flag.split(' ')[0];
    if (text === undefined && row.required) faults.push(`${name} is required`);
    const value = text === undefined ? row.default : read(row.is, text);
    if (value === undefined) faults.push(`${name}: must be ${accepts(row.is)}, not ${text}`);
    else parsed[row.key] = value;
  }
  if (given.load !== undefined && given.qps !== undefined) {
    faults.push('--load and --qps exclude each other');
  }
  if (given.goodput === true && (given.load !== undefined || given.qps !== undefined)) {
    faults.push('--goodput finds the rate itself: leave out --load and --qps');
  }
  const { instances, join } = parsed as Partial<SimulateOptions>;
  if (join && instances && Math.max(...instances) + join.instances > instancesMax) {
    faults.push(`--join: at most ${instancesMax} engines, together with --instances`);
  }
  if (given.load === undefined && given.qps === undefined) parsed.load = [0.9];
  if (faults.length > 0) throw new SimulateFault(faults);
  return parsed as unknown as SimulateOptions;
}

/** `undefined` if the text is none of these. */
function read(kind: Kind, text: string | boolean): Value | undefined {
  if (typeof text === 'boolean') return kind.kind === 'switch' ? text : undefined;
  const parts = text.split(',').map((part) => part.trim());
  switch (kind.kind) {
    case 'switch':
      return undefined;
    case 'file':
      return text === '' ? undefined : text;
    case 'files':
      return parts.includes('') ? undefined : parts;
    case 'choice':
      return kind.of.includes(text) ? text : undefined;
    case 'choices':
      return parts.every((part) => kind.of.includes(part)) ? parts : undefined;
    case 'settings':
      return readSettings(parts);
    case 'variants':
      return readVariants(text);
    case 'join':
      return readJoin(text);
    case 'number':
      return readNumber(kind, text);
    case 'numbers': {
      const numbers = parts.map((part) => readNumber(kind, part));
      return numbers.every((number) => number !== undefined) ? numbers : undefined;
    }
  }
}

function readNumber({ min, max, integer }: NumberKind, text: string): number | undefined {
  const number = text.trim() === '' ? Number.NaN : Number(text);
  const fits = number >= min && number <= max && (!integer || Number.isInteger(number));
  return fits ? number : undefined;
}

/** A share of neither none nor all of the requests. */
function readJoin(text: string): Join | undefined {
  const [count, portion, ...rest] = text.split('@');
  const instances = readNumber(whole(1, instancesMax), count!);
  const share = readNumber(decimal(0.001, 0.999), portion ?? '');
  if (instances === undefined || share === undefined || rest.length > 0) return undefined;
  return { instances, share };
}

/** `name=value`, each as the command line of `serve` takes it. */
function readSettings(parts: readonly string[]): Partial<Config> | undefined {
  const settings: Record<string, unknown> = {};
  for (const part of parts) {
    const at = part.indexOf('=');
    const entry = Object.entries(serveOptions).find(([, row]) => row.name === part.slice(0, at));
    const parsed = entry?.[1].kind.parse(part.slice(at + 1));
    if (entry === undefined || parsed === undefined || !('value' in parsed)) return undefined;
    settings[entry[0]] = parsed.value;
  }
  return settings;
}

/** Sets of settings, with semicolons between them. */
function readVariants(text: string): Variant[] | undefined {
  const variants: Variant[] = [];
  for (const part of text.split(';')) {
    const name = part.trim();
    const set = readSettings(name.split(',').map((setting) => setting.trim()));
    if (set === undefined) return undefined;
    variants.push({ name, set });
  }
  return variants;
}

function accepts(kind: Kind): string {
  switch (kind.kind) {
    case 'switch':
      return 'given without a value';
    case 'file':
      return 'a path';
    case 'files':
      return 'paths, with commas';
    case 'settings':
      return 'name=value of options of `serve`, with commas';
    case 'variants':
      return 'sets of name=value of options of `serve`, with semicolons';
    case 'join':
      return `an integer from 1 to ${instancesMax}, @, and a number from 0.001 to 0.999`;
    case 'choice':
      return `one of ${kind.of.join(', ')}`;
    case 'choices':
      return `some of ${kind.of.join(', ')}, with commas`;
    case 'number':
      return `${kind.integer ? 'an integer' : 'a number'} from ${kind.min} to ${kind.max}`;
    case 'numbers':
      return `${kind.integer ? 'integers' : 'numbers'} from ${kind.min} to ${kind.max}, with commas`;
  }
}
