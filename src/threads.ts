/**
 * What main and the I/O threads say to each other, and where the code of a thread lies. Plain data
 * only: everything here is copied by `postMessage`.
 */
import type { Config } from './config/config.ts';
import type { CoreOptions } from './core/native.ts';
import type { FleetSnapshot } from './fleet/registry.ts';

export interface IoThreadData {
  /** 1..ioThreads; 0 is main. */
  readonly thread: number;
  readonly memory: SharedArrayBuffer;
  readonly config: Config;
  readonly port: number;
  readonly fleet: FleetSnapshot;
}

export type ToIoThread =
  | { readonly type: 'fleet'; readonly fleet: FleetSnapshot }
  | { readonly type: 'instanceLost'; readonly slot: number }
  | { readonly type: 'metrics'; readonly id: number; readonly text: string }
  /** Take no new connections, finish what is in flight, end. */
  | { readonly type: 'drain' }
  /** Close what is left; end now. */
  | { readonly type: 'close' };

export type FromIoThread =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'failedToListen'; readonly message: string }
  /** First-token times (`core/samples.ts`), at most once a second. */
  | { readonly type: 'samples'; readonly rows: Float64Array }
  | { readonly type: 'metrics'; readonly id: number };

/** The built file of a thread's entry; sources run by a test runner find it in dist/. */
export function threadUrl(name: string): URL {
  const isSource = import.meta.url.endsWith('.ts');
  return new URL(isSource ? `../dist/${name}.js` : `./${name}.js`, import.meta.url);
}

/** How every thread's decision core is set: alike. */
export function coreOptions(config: Config): CoreOptions {
  return {
    policy: config.policy,
    sloTtftMs: config.sloTtftMs,
    sloTtftMsPerToken: config.sloTtftMsPerToken,
    sloFraction: config.sloFraction,
    tokensPerByte: 1 / config.bytesPerToken,
    suspectBackoffMs: config.suspectBackoffMs,
    suspectBackoffMaxMs: config.suspectBackoffMaxMs,
  };
}
