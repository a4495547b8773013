/**
 * What main and the I/O threads say to each other, and where the code of a thread lies. Plain data
 * only: everything here is copied by `postMessage`.
 */
import type { Config } from './config/config.ts';
import { policyModes } from './config/policy-modes.ts';
import type { CoreOptions } from './core/core-options.ts';
import type { InstanceState } from './core/fleet-state.ts';
import type { AdminAnswer, AdminRequest } from './fleet/admin.ts';
import type { FleetSnapshot } from './fleet/registry.ts';
import type { JournalBatch, JournalReceipt } from './observe/journal.ts';

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
  /** The state word of this slot has changed: it already says so. */
  | { readonly type: 'instanceChanged'; readonly slot: number; readonly state: InstanceState }
  | { readonly type: 'instanceLost'; readonly slot: number }
  /** A leaving instance has had its time: what it still does ends. */
  | { readonly type: 'instanceOverdue'; readonly slot: number }
  | { readonly type: 'metrics'; readonly id: number; readonly text: string }
  | { readonly type: 'admin'; readonly id: number; readonly answer: AdminAnswer }
  | { readonly type: 'journalSettled'; readonly receipt: JournalReceipt }
  /** Take no new connections, finish what is in flight, end. */
  | { readonly type: 'drain' }
  /** Close what is left; end now. */
  | { readonly type: 'close' };

export type FromIoThread =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'failedToListen'; readonly message: string }
  /** This thread has taken over the snapshot of this version. */
  | { readonly type: 'fleetSeen'; readonly version: number }
  /** The queues of these instances are to be rebalanced (`hotspots.ts`). */
  | { readonly type: 'hotspots'; readonly slots: readonly number[] }
  /** First-token times (`core/samples.ts`), at most once a second. */
  | { readonly type: 'samples'; readonly rows: Float64Array }
  | { readonly type: 'metrics'; readonly id: number }
  | { readonly type: 'admin'; readonly id: number; readonly request: AdminRequest }
  | { readonly type: 'journal'; readonly batch: JournalBatch };

/** The built file of a thread's entry; sources run by a test runner find it in dist/. */
export function threadUrl(name: string): URL {
  const isSource = import.meta.url.endsWith('.ts');
  return new URL(isSource ? `../dist/${name}.js` : `./${name}.js`, import.meta.url);
}

/** Requests of the window that a key needs, all routers together, to be called hot; and here. */
const hotRequests = 20;
const hotRequestsFloor = 4;

/** How every thread's decision core is set: alike. */
export function coreOptions(config: Config): CoreOptions {
  const mode = policyModes[config.policy];
  return {
    policy: config.policy,
    sloTtftMs: config.sloTtftMs,
    sloTtftMsPerToken: config.sloTtftMsPerToken,
    sloFraction: config.sloFraction,
    tokensPerByte: 1 / config.bytesPerToken,
    keyLevel: config.keyLevel,
    // Of what is hot each router sees its share; and until all know it, it has one home.
    hotRequestsMin: Math.max(hotRequestsFloor, Math.ceil(hotRequests / config.replicas)),
    suspectBackoffMs: config.suspectBackoffMs,
    suspectBackoffMaxMs: config.suspectBackoffMaxMs,
    queues: config.queueMode === 'auto' ? mode.queues : config.queueMode === 'router',
    bindsLate: config.binding === 'auto' ? mode.bindsLate : config.binding === 'late',
    fleetWide:
      config.bindingWidth === 'auto' ? config.replicas === 1 : config.bindingWidth === 'fleet',
    queueOrder: config.queueOrder === 'auto' ? mode.queueOrder : config.queueOrder,
    latePolicy: config.latePolicy,
    prefillWindowTokens: Math.ceil(
      (config.prefillWindowTokens ?? mode.prefillWindowTokens) / config.replicas,
    ),
    coldClaimPrice: config.coldClaimPrice,
    hasPeers: config.replicas > 1,
  };
}

/** Whether requests that wait may be moved: only those that are bound to one instance. */
export function rebalances(config: Config): boolean {
  const { queues, bindsLate } = coreOptions(config);
  const { rebalance, policy } = config;
  const isWanted = rebalance === 'auto' ? policyModes[policy].rebalances : rebalance === 'on';
  return isWanted && queues && !bindsLate;
}
