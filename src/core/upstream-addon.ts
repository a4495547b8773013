/**
 * What the addon exports for `src/dispatch/native.ts`: the typed face of native/addon_upstream.cc.
 * Types and numbers that both sides share, nothing that runs. JavaScript validates, C++ asserts.
 */
export interface UpstreamAddon {
  /** Milliseconds below 0: no limit. `deliver` is called by the loop, once a turn with events. */
  createUpstream(options: UpstreamLimits, deliver: (eventCount: number) => void): UpstreamClient;
}

export interface UpstreamLimits {
  readonly connectTimeoutMs: number;
  readonly firstByteTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly headBytesMax: number;
  readonly connectionsPerInstanceMax: number;
  /** A kept-alive connection that nobody used for so long is closed. */
  readonly pooledMs: number;
  /** A host name is looked up again after so long. */
  readonly addressTtlMs: number;
}

/** Lives on the thread that made it. After `close` no function may be called. */
export interface UpstreamClient {
  /** `Event`s of native/upstream/event_batch.h. Their content lives as long as one `deliver`. */
  readonly events: ArrayBuffer;
  /** The bytes of data events, likewise. */
  readonly arena: ArrayBuffer;
  /** The number of an origin, -1 if the path of a Unix socket (port -1) is too long. */
  addOrigin(host: string, port: number): number;
  /**
   * The number of the call, in use until its last event or `cancel`; so long the body is borrowed
   * and must be kept alive. -1 if the head is not one request line and `fieldCount` fields, or not
   * ASCII. With `isLatin1` the caller sees to it that each character fits in 8 bits.
   */
  start(
    origin: number,
    head: string,
    fieldCount: number,
    body: Uint8Array | null,
    isHeadRequest: boolean,
    isLatin1: boolean,
  ): number;
  pause(call: number): void;
  resume(call: number): void;
  cancel(call: number): void;
  /** Within `deliver`: names and values, LF between them, of its index-th head with a new list. */
  newFields(index: number): string;
  close(onClosed: () => void): void;
}

/** `EventKind`. */
export const eventKinds = { head: 0, data: 1, end: 2, fault: 3 } as const;
/** An `Event` is 6 int32 (kind, call, first, second) or 3 float64 (the last: body bytes). */
export const eventInts = 6;
export const eventDoubles = 3;
