/**
 * What the core reads of a body and what it would do with it, told instead of done: for tests and
 * for `/debug/explain`. Any thread that has a core; never on the path of a request.
 */
import type { RequestFaultCode } from '../errors.ts';
import type { PromptKind } from '../terms.ts';
import { type Reason, reasons } from './core-options.ts';
import { addon, type Core, type PlaceFault, placeFaults, promptKinds } from './native.ts';

export interface ScanResult {
  readonly fault: RequestFaultCode | null;
  readonly stream: boolean;
  readonly model: string;
  /** Canonical bytes; up to the end of the first user message. */
  readonly promptBytes: number;
  readonly firstUserEnd: number;
  readonly blockHashes: BigUint64Array;
  readonly levelKeys: BigUint64Array;
}

/** Reads a body as the request path does (native/core/README.md). Tests, explain. */
export function scanPrompt(body: Uint8Array, kind: PromptKind): ScanResult {
  const scan = addon.scanPrompt(body, promptKinds[kind]);
  const fault = placeFaults[scan.fault] ?? null;
  if (fault === null) return { ...scan, fault };
  const none = new BigUint64Array(0);
  const empty = { stream: false, model: '', promptBytes: 0, firstUserEnd: 0 };
  return { ...empty, fault, blockHashes: none, levelKeys: none };
}

/** An instance as a candidate of one request. */
export interface CandidateView {
  readonly slot: number;
  readonly cachedTokens: number;
  readonly uncachedTokens: number;
  /** Queued for it or sent to it, first token not yet seen. */
  readonly pendingTokens: number;
  readonly ttftEstimateMs: number;
}

/** What would become of a request (native/addon_explain.cc). */
export interface Explanation {
  readonly promptBytes: number;
  readonly promptTokens: number;
  readonly blocks: number;
  readonly level: number;
  readonly key: bigint;
  readonly reason: Reason;
  readonly chosen: CandidateView;
  /** `null`: there is no second candidate. */
  readonly other: CandidateView | null;
}

/** As the addon has it; of a body that cannot be placed only the first two are there. */
export type NativeExplanation = Omit<Explanation, 'reason'> & {
  readonly status: number;
  readonly faultParam: string;
  readonly reason: number;
};

/** A body that cannot be placed, and the field at fault; empty if it is none. */
export interface Unplaceable {
  readonly fault: PlaceFault;
  readonly param: string;
}

/** The prompt of the body that was placed last, without its text (native/addon_explain.cc). */
export interface LastPrompt {
  readonly model: string;
  /** Canonical bytes. */
  readonly promptBytes: number;
  /**
   * An id for each begun block of 2,048 bytes, 512 tokens at 4 bytes a token, as in traces: equal
   * ids mean equal prefixes. The last one, if its block is not full, names the whole prompt.
   */
  readonly traceIds: BigUint64Array;
}

/** What `Core.place` would decide now; no later decision is changed by asking. */
export function explainPlacing(
  core: Core,
  body: Uint8Array,
  kind: PromptKind,
  nowMs: number,
): Explanation | Unplaceable {
  const { status, faultParam: param, reason, ...rest } = core.explain(body, kind, nowMs);
  const fault = placeFaults[status] ?? null;
  return fault === null ? { ...rest, reason: reasons[reason]! } : { fault, param };
}
