/**
 * The options of `dualmap replay`: one table from which flags, help and checks are made. Pure.
 */

export interface ReplayOptions {
  readonly trace: string;
  /** Base URLs without a trailing slash, with commas between them. */
  readonly url: string;
  /** `null`: the first that `/v1/models` lists. */
  readonly model: string | null;
  readonly endpoint: 'chat' | 'completions';
  readonly speed: number;
  readonly arrivals: 'spread' | 'raw';
  readonly seed: number;
  /** `null`: all. */
  readonly limit: number | null;
  /** `null`: no row is left out. */
  readonly maxInputTokens: number | null;
  /** `null`: as in the trace. */
  readonly maxOutputTokens: number | null;
  readonly sloTtftMs: number;
  readonly connectionsMax: number;
  readonly timeoutSecs: number;
  /** `null`: no file. */
  readonly json: string | null;
  /** `null`: no file. */
  readonly outcomes: string | null;
  readonly allowRemote: boolean;
}

/** Options before they are checked: numbers may be texts, and all but `trace` may be left out. */
export type GivenReplayOptions = {
  readonly [Key in keyof ReplayOptions]?: ReplayOptions[Key] | string | undefined;
};

interface OptionText {
  readonly key: keyof ReplayOptions;
  /** As commander writes it. */
  readonly flag: string;
  readonly help: string;
}

export type ReplayOptionRow = OptionText &
  (
    | { readonly kind: 'text'; readonly default: string | null; readonly required?: true }
    | { readonly kind: 'choice'; readonly default: string; readonly choices: readonly string[] }
    | { readonly kind: 'switch'; readonly default: false }
    | {
        readonly kind: 'number';
        readonly default: number | null;
        readonly min: number;
        readonly max: number;
        readonly integer: boolean;
      }
  );

const countMax = 1_000_000_000;

/** A default of `null` means "off" or, for required ones, that there is none. */
export const replayOptionRows: readonly ReplayOptionRow[] = [
  {
    key: 'trace',
    flag: '--trace <file>',
    kind: 'text',
    default: null,
    required: true,
    help: 'trace to replay, .jsonl or .jsonl.gz',
  },
  {
    key: 'url',
    flag: '--url <urls>',
    kind: 'text',
    default: 'http://127.0.0.1:8080',
    help: 'base URL of the router, or of one engine; of several, with commas, each request goes to one at random',
  },
  {
    key: 'model',
    flag: '--model <name>',
    kind: 'text',
    default: null,
    help: 'model to ask for (default: the first that /v1/models lists)',
  },
  {
    key: 'endpoint',
    flag: '--endpoint <name>',
    kind: 'choice',
    default: 'chat',
    choices: ['chat', 'completions'],
    help: 'chat sends one user message, completions one prompt',
  },
  {
    key: 'speed',
    flag: '--speed <factor>',
    kind: 'number',
    default: 1,
    min: 0.001,
    max: 100_000,
    integer: false,
    help: 'divides the timestamps; run emulated engines with the same --time-scale',
  },
  {
    key: 'arrivals',
    flag: '--arrivals <how>',
    kind: 'choice',
    default: 'spread',
    choices: ['spread', 'raw'],
    help: 'spread draws the requests of one timestamp over its window, raw keeps them together',
  },
  {
    key: 'seed',
    flag: '--seed <number>',
    kind: 'number',
    default: 1,
    min: 0,
    max: 4_294_967_295,
    integer: true,
    help: 'of the spread; the same seed gives the same arrivals',
  },
  {
    key: 'limit',
    flag: '--limit <requests>',
    kind: 'number',
    default: null,
    min: 1,
    max: countMax,
    integer: true,
    help: 'the first so many requests, counted after --max-input-tokens (default: all)',
  },
  {
    key: 'maxInputTokens',
    flag: '--max-input-tokens <tokens>',
    kind: 'number',
    default: null,
    min: 1,
    max: countMax,
    integer: true,
    help: 'leaves out rows with a longer input (default: none)',
  },
  {
    key: 'maxOutputTokens',
    flag: '--max-output-tokens <tokens>',
    kind: 'number',
    default: null,
    min: 1,
    max: countMax,
    integer: true,
    help: 'caps the output of every request (default: as in the trace)',
  },
  {
    key: 'sloTtftMs',
    flag: '--slo-ttft-ms <ms>',
    kind: 'number',
    default: 5_000,
    min: 1,
    max: 3_600_000,
    integer: false,
    help: 'objective for the time to first token, unscaled: compared with measured x speed',
  },
  {
    key: 'connectionsMax',
    flag: '--connections-max <connections>',
    kind: 'number',
    default: 4_096,
    min: 1,
    max: 60_000,
    integer: true,
    help: 'requests in flight at once; further ones wait, and are late for it',
  },
  {
    key: 'timeoutSecs',
    flag: '--timeout-secs <seconds>',
    kind: 'number',
    default: 600,
    min: 0.1,
    max: 86_400,
    integer: false,
    help: 'real seconds after which a request without a complete answer is lost',
  },
  { key: 'json', flag: '--json <file>', kind: 'text', default: null, help: 'writes the report' },
  {
    key: 'outcomes',
    flag: '--outcomes <file>',
    kind: 'text',
    default: null,
    help: 'writes a line of JSON for each request: when it was due, what became of it',
  },
  {
    key: 'allowRemote',
    flag: '--allow-remote',
    kind: 'switch',
    default: false,
    help: 'allows a --url that is not on this machine',
  },
];

/** Everything that is wrong with the options, or with what they name. Exit 2. */
export class ReplayFault extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[], cause?: unknown) {
    super(faults.join('\n'), cause === undefined ? undefined : { cause });
    this.name = 'ReplayFault';
    this.faults = faults;
  }
}

/**
 * Options as the command line gives them (texts, or nothing) or as a program does (numbers), with
 * the defaults filled in. Throws one `ReplayFault` with every fault.
 */
export function parseReplayOptions(given: GivenReplayOptions): ReplayOptions {
  const faults: string[] = [];
  const options: Record<string, unknown> = {};
  for (const row of replayOptionRows) {
    const value = given[row.key] ?? row.default;
    options[row.key] = value;
    const name = row.flag.split(' ')[0];
    if (value === null) {
      if (row.kind === 'text' && row.required) faults.push(`${name} is required`);
      continue;
    }
    if (row.kind === 'number') options[row.key] = toNumber(value);
    const fault = checkValue(row, options[row.key]);
    if (fault !== null) faults.push(`${name}: ${fault}, not ${JSON.stringify(value)}`);
  }
  if (typeof options.url === 'string') {
    const urls = options.url.split(',').map((url) => checkUrl(url, options.allowRemote === true));
    options.url = urls.map(({ base }) => base).join(',');
    for (const { fault } of urls) if (fault !== null) faults.push(`--url: ${fault}`);
  }
  if (faults.length > 0) throw new ReplayFault(faults);
  return options as unknown as ReplayOptions;
}

function toNumber(value: unknown): unknown {
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
}

function checkValue(row: ReplayOptionRow, value: unknown): string | null {
  switch (row.kind) {
    case 'text':
      return typeof value === 'string' && value !== '' ? null : 'must be a text';
    case 'switch':
      return typeof value === 'boolean' ? null : 'must be true or false';
    case 'choice':
      return row.choices.includes(String(value)) ? null : `must be ${row.choices.join(' or ')}`;
    case 'number': {
      const inside = typeof value === 'number' && value >= row.min && value <= row.max;
      if (inside && (!row.integer || Number.isInteger(value))) return null;
      return `must be ${row.integer ? 'an integer' : 'a number'} from ${row.min} to ${row.max}`;
    }
  }
}

/** A load generator aimed at the wrong host is an accident: loopback only, unless told. */
function checkUrl(text: string, allowRemote: boolean): { base: string; fault: string | null } {
  if (!URL.canParse(text)) return { base: text, fault: `not a URL: ${text}` };
  const url = new URL(text);
  const base = url.origin + url.pathname.replace(/\/+$/, '');
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return { base, fault: 'must begin with http:// or https://' };
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    return { base, fault: 'must have no user, query or fragment' };
  }
  if (!allowRemote && !isLoopback(url.hostname)) {
    return { base, fault: `${url.hostname} is not on this machine; --allow-remote allows it` };
  }
  return { base, fault: null };
}

/** `hostname` as the URL parser writes it: IPv4 in four decimal parts, IPv6 in brackets. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
