import type { UpstreamHandler } from '../../src/dispatch/upstream.ts';
import type { UpstreamFault } from '../../src/errors.ts';
import type { HeaderList } from '../../src/terms.ts';

/**
 * Writes down what an upstream calls, and whether it kept the law: a head, data, one ending; a
 * fault alone; nothing after the ending or after a cancel.
 */
export class Recorder implements UpstreamHandler {
  readonly events: string[] = [];
  readonly chunks: Buffer[] = [];
  readonly violations: string[] = [];
  status = 0;
  headers: HeaderList = [];
  bodyBytes = Number.NaN;
  bodyBytesSeen = 0;
  fault: UpstreamFault | null = null;
  /** Set by a test that cancels: whatever comes later is a violation. */
  cancelled = false;
  /** False: chunks are counted, not kept. */
  keepsBody = true;
  /** For tests that act from inside a callback. */
  headListener: () => void = () => undefined;
  dataListener: (chunk: Uint8Array) => void = () => undefined;
  endListener: () => void = () => undefined;
  readonly ended: Promise<void>;
  #resolve: () => void = () => undefined;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get body(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get isEnded(): boolean {
    const last = this.events.at(-1);
    return last === 'end' || last === 'fault';
  }

  /** First value of a field of the head. */
  header(name: string): string | undefined {
    for (let index = 0; index < this.headers.length; index += 2) {
      if (this.headers[index] === name) return this.headers[index + 1];
    }
    return undefined;
  }

  onHead(status: number, headers: HeaderList, bodyBytes: number): void {
    this.#note('head', this.events.length === 0);
    this.status = status;
    this.headers = headers;
    this.bodyBytes = bodyBytes;
    this.headListener();
  }

  onData(chunk: Uint8Array): void {
    if (this.events.at(-1) !== 'data') this.#note('data', this.events.at(-1) === 'head');
    else if (this.cancelled) this.violations.push('data after cancel');
    if (chunk.byteLength === 0) this.violations.push('an empty chunk');
    this.bodyBytesSeen += chunk.byteLength;
    if (this.keepsBody) this.chunks.push(Buffer.from(chunk));
    this.dataListener(chunk);
  }

  onEnd(): void {
    this.#note('end', this.events.length > 0 && !this.isEnded);
    this.endListener();
    this.#resolve();
  }

  onFault(fault: UpstreamFault): void {
    this.#note('fault', !this.isEnded);
    this.fault = fault;
    this.#resolve();
  }

  #note(event: string, allowed: boolean): void {
    if (!allowed) this.violations.push(`${event} after ${this.events.join(', ')}`);
    if (this.cancelled) this.violations.push(`${event} after cancel`);
    this.events.push(event);
  }
}

/** Resolves when `condition` holds; rejects with `what` after the deadline. */
export async function eventually(
  condition: () => boolean,
  what: string,
  deadlineMs = 5_000,
): Promise<void> {
  const startMs = performance.now();
  while (!condition()) {
    if (performance.now() - startMs > deadlineMs) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
