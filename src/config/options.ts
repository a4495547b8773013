import { availableParallelism } from 'node:os';
import { type Config, frontEnds } from './config.ts';
import { urlList } from './instance-url.ts';
import * as kinds from './kinds.ts';
import { type CommandName, commandNames, filePath, type OptionTable } from './option.ts';
import { observing } from './options-observing.ts';
import { queueing, routing } from './options-routing.ts';

/**
 * Every option of the router: the one table from which the command line, the environment, the YAML
 * file, `--help`, the README and the boundary tests are made. Data only.
 */

const all = commandNames;
/** The demo brings its own instances. */
const ownFleet: readonly CommandName[] = ['serve', 'check'];

const hostName = kinds.text(/^[\w.:-]+$/, {
  placeholder: 'HOST',
  accepts: 'an address or a host name',
  edges: { taken: ['0.0.0.0', '::', 'localhost'], refused: ['', 'a b', '[::]', 'a/b'] },
});
const urlPath = kinds.text(/^\/[\x21-\x7e]*$/, {
  placeholder: 'PATH',
  accepts: 'a path from `/`',
  edges: { taken: ['/', '/health?full=1'], refused: ['', 'health', '/a b'] },
});
const key = kinds.text(/^[\x21-\x7e]+$/, {
  placeholder: 'KEY',
  accepts: 'visible ASCII',
  edges: { taken: ['k', 'sk-1.~'], refused: ['', 'a b', 'ключ'] },
});

const fleet = {
  configFile: {
    name: 'config',
    kind: kinds.orOff(filePath),
    unit: '',
    default: null,
    why: 'YAML file; its keys are these names, and `workers:` lists instances with their weights',
    commands: ownFleet,
  },
  instances: {
    name: 'worker-urls',
    kind: urlList,
    unit: '',
    default: [],
    defaultText: 'none',
    why: 'the inference servers, at least one; replaces the list of a lower layer as a whole',
    commands: ownFleet,
  },
  instancesMax: {
    name: 'max-instances',
    kind: kinds.integer(1, 4096),
    unit: 'instances',
    default: 256,
    why: 'slots in the shared fleet state, whose size is fixed at start',
    commands: all,
  },
} as const satisfies Partial<OptionTable>;

const listening = {
  host: {
    name: 'host',
    kind: hostName,
    unit: '',
    default: '127.0.0.1',
    why: 'who can reach the port can use the fleet, so other machines only on request: `0.0.0.0`',
    commands: all,
  },
  port: {
    name: 'port',
    kind: kinds.integer(0, 65_535),
    unit: '',
    default: 8080,
    why: 'port of the API; 0 takes a free one and prints it',
    commands: all,
  },
  frontEnd: {
    name: 'front-end',
    kind: kinds.choice(frontEnds),
    unit: '',
    default: 'auto',
    why: '`auto` takes uWebSockets.js if its binary fits this Node, otherwise `node:http`',
    commands: all,
  },
  ioThreads: {
    name: 'io-threads',
    kind: kinds.integer(1, 256),
    unit: 'threads',
    default: Math.max(1, availableParallelism() - 1),
    defaultText: 'cores - 1, at least 1',
    why: 'threads that serve requests; one core stays for health checks, metrics and estimates',
    commands: all,
  },
  apiKey: {
    name: 'api-key',
    kind: kinds.orOff(key),
    unit: '',
    default: null,
    why: 'key that clients must send as a bearer token; the variable keeps it out of `ps`',
    commands: all,
    secret: true,
  },
  requestsInFlightMax: {
    name: 'max-concurrent-requests',
    kind: kinds.orOff(kinds.integer(1, 1_000_000)),
    unit: 'requests',
    default: 16_384,
    why: 'above it the answer is 429 at once: the router must not run out of memory for a burst',
    commands: all,
  },
  bodyBytesMax: {
    name: 'max-payload-size',
    kind: kinds.bytes(1024, 1024 ** 3),
    unit: 'bytes',
    default: 64 * 1024 ** 2,
    why: 'above it the answer is 413; pictures come as base64 in the body, so it is generous',
    commands: all,
  },
  headerCountMax: {
    name: 'header-count-max',
    kind: kinds.integer(1, 1000),
    unit: 'fields',
    default: 48,
    why: 'above it the answer is 431; uWebSockets.js itself takes no more than about 50',
    commands: all,
  },
  headerBytesMax: {
    name: 'header-bytes-max',
    kind: kinds.bytes(1024, 1024 ** 2),
    unit: 'bytes',
    default: 16 * 1024,
    why: 'size of a request head, above which the answer is 431; as in Node',
    commands: all,
  },
  bodyTimeoutMs: {
    name: 'body-timeout-secs',
    kind: kinds.seconds(1, 3600),
    unit: 's',
    default: 10_000,
    why: 'a body that makes no progress for so long is answered 408: slow senders hold memory',
    commands: all,
  },
} as const satisfies Partial<OptionTable>;

const sending = {
  firstTokenTimeoutMs: {
    name: 'request-timeout-secs',
    kind: kinds.seconds(0.001, 86_400),
    unit: 's',
    default: 1_800_000,
    why: 'deadline of the first token, retries included; then 504. A stream under way has none',
    commands: all,
  },
  connectTimeoutMs: {
    name: 'connect-timeout-ms',
    kind: kinds.integer(1, 600_000),
    unit: 'ms',
    default: 5000,
    why: 'an instance that takes no connection for so long has failed; the next one is tried',
    commands: all,
  },
  suspectBackoffMs: {
    name: 'suspect-backoff-ms',
    kind: kinds.integer(1, 3_600_000),
    unit: 'ms',
    default: 500,
    why: 'how long an instance that failed gets no requests; it doubles with every failure',
    commands: all,
  },
  suspectBackoffMaxMs: {
    name: 'suspect-backoff-max-ms',
    kind: kinds.integer(1, 3_600_000),
    unit: 'ms',
    default: 30_000,
    why: 'the longest such time, so that a repaired instance is found soon',
    commands: all,
  },
  healthCheckIntervalMs: {
    name: 'health-check-interval-secs',
    kind: kinds.seconds(0.1, 3600),
    unit: 's',
    default: 10_000,
    why: 'time between two health checks of an instance',
    commands: all,
  },
  healthCheckTimeoutMs: {
    name: 'health-check-timeout-secs',
    kind: kinds.seconds(0.1, 3600),
    unit: 's',
    default: 5000,
    why: 'a check without an answer for so long has failed; busy engines answer late',
    commands: all,
  },
  healthCheckPath: {
    name: 'health-check-endpoint',
    kind: urlPath,
    unit: '',
    default: '/health',
    why: 'what is asked; every known engine serves `/health`',
    commands: all,
  },
  healthFailureThreshold: {
    name: 'health-failure-threshold',
    kind: kinds.integer(1, 1000),
    unit: 'checks',
    default: 3,
    why: 'failures in a row until an instance is out; one lost answer must not empty its cache',
    commands: all,
  },
  healthSuccessThreshold: {
    name: 'health-success-threshold',
    kind: kinds.integer(1, 1000),
    unit: 'checks',
    default: 1,
    why: 'successes in a row until it is in again',
    commands: all,
  },
  shutdownGraceMs: {
    name: 'shutdown-grace-period-secs',
    kind: kinds.seconds(0, 86_400),
    unit: 's',
    default: 30_000,
    why: 'how long requests in flight may go on after SIGTERM; 0 ends them at once',
    commands: all,
  },
  metricsPollIntervalMs: {
    name: 'metrics-poll-interval-ms',
    kind: kinds.orOff(kinds.integer(50, 3_600_000)),
    unit: 'ms',
    default: 1000,
    why: 'how often the metrics of each engine are read: its queue, which other routers fill too, its cache',
    commands: all,
  },
} as const satisfies Partial<OptionTable>;

export const options: OptionTable = {
  ...fleet,
  ...listening,
  ...routing,
  ...queueing,
  ...sending,
  ...observing,
};

/** The fields a command takes, in the order of the table. */
export function fieldsOf(command: CommandName): (keyof Config)[] {
  const fields = Object.keys(options) as (keyof Config)[];
  return fields.filter((field) => options[field].commands.includes(command));
}

export function environmentName(name: string): string {
  return `DUALMAP_${name.replaceAll('-', '_').toUpperCase()}`;
}
