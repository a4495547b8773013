import { logLevels } from './config.ts';
import * as kinds from './kinds.ts';
import { commandNames, filePath, type OptionTable } from './option.ts';

/** The rows of the option table about what the router says of itself. Data only. */

const all = commandNames;

export const observing = {
  explain: {
    name: 'explain',
    kind: kinds.onOff,
    unit: '',
    default: false,
    why: 'answers say in `x-dualmap-*` header fields where they came from and why',
    commands: all,
  },
  logLevel: {
    name: 'log-level',
    kind: kinds.choice(logLevels),
    unit: '',
    default: 'info',
    why: 'the least severe line that is logged; `debug` logs every request',
    commands: all,
  },
  logJson: {
    name: 'log-json',
    kind: kinds.onOff,
    unit: '',
    default: false,
    why: 'one JSON object a line, for machines',
    commands: all,
  },
  prometheusPort: {
    name: 'prometheus-port',
    kind: kinds.orOff(kinds.integer(0, 65_535)),
    unit: '',
    default: null,
    why: 'a second port for `/metrics` alone, out of the reach of clients; 0 takes a free one',
    commands: all,
  },
  journalFile: {
    name: 'journal',
    kind: kinds.orOff(filePath),
    unit: '',
    default: null,
    why: 'a line of JSON a request, without its prompt, as `replay` can read it back',
    commands: all,
  },
  journalBytesMax: {
    name: 'journal-max-bytes',
    kind: kinds.bytes(1024 ** 2, 1024 ** 4),
    unit: 'bytes',
    default: 256 * 1024 ** 2,
    why: 'size at which the journal goes on in a new file: about 400,000 requests',
    commands: all,
  },
  journalFilesMax: {
    name: 'journal-files',
    kind: kinds.integer(1, 1000),
    unit: 'files',
    default: 4,
    why: 'files of the journal that are kept; the older ones are FILE.1, FILE.2, ...',
    commands: all,
  },
} as const satisfies Partial<OptionTable>;
