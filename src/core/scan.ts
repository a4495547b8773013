/**
 * What the scan of the core reads of a request body, without placing it: tests, explain. Any
 * thread; never on the path of a request.
 */
import type { RequestFaultCode } from '../errors.ts';
import type { PromptKind } from '../terms.ts';
import { addon, placeFaults, promptKinds } from './native.ts';

/** As the addon returns it; a fault alone if there is one. */
export interface NativeScan {
  readonly fault: number;
  readonly stream: boolean;
  readonly priority: number;
  readonly model: string;
  readonly promptBytes: number;
  readonly firstUserEnd: number;
  readonly blockHashes: BigUint64Array;
  readonly levelKeys: BigUint64Array;
}

export interface ScanResult {
  readonly fault: RequestFaultCode | null;
  readonly stream: boolean;
  readonly priority: number;
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
  const empty = { stream: false, priority: 0, model: '', promptBytes: 0, firstUserEnd: 0 };
  return { ...empty, fault, blockHashes: none, levelKeys: none };
}
