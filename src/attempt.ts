/**
 * One attempt of a placed request at one instance: what the relay asks while the answer comes, and
 * what the core and the statistics are told of it. It waits in the router's set until its first
 * token, so that a dead instance or a deadline can end it. On the thread of its router.
 */
import type { Clock } from './clock.ts';
import type { Core } from './core/native.ts';
import type { DenseSet, DenseSetMember } from './dense-set.ts';
import type { UpstreamRequest } from './dispatch/upstream.ts';
import type { Exchange } from './listen/exchange.ts';
import { headerOf } from './listen/headers.ts';
import type { JournalEntry } from './observe/journal.ts';
import type { ThreadStats } from './observe/thread-stats.ts';
import type { PlacedRoute } from './placing.ts';
import type { Relay, RelayHooks, RelayOutcome } from './stream/relay.ts';
import type { HeaderList } from './terms.ts';

/** A placed request, whatever the number of its attempts. */
export interface Flight {
  readonly exchange: Exchange;
  readonly route: PlacedRoute;
  readonly requestId: string;
  readonly ticket: number;
  /** When its last byte was read. */
  readonly readMs: number;
  /** `origin` is that of the present attempt. */
  readonly request: UpstreamRequest & { origin: string };
  /** An attempt that failed may still read the request body. */
  isBodyHeld: boolean;
  /** `null`: it is not written down. */
  readonly entry: JournalEntry | null;
}

/** What an attempt tells. */
export interface AttemptParts {
  readonly core: Core;
  readonly clock: Clock;
  readonly stats: ThreadStats;
  readonly prefilling: DenseSet<Attempt>;
}

/** The instance's status was a passing one: another instance may do better. */
const statusesRetried = new Set([429, 500, 502, 503, 504]);
/** Of those, the ones that speak against the instance and not against the request. */
const statusesSuspect = new Set([502, 503, 504]);

export class Attempt implements RelayHooks, DenseSetMember {
  denseIndex = -1;
  readonly slot: number;
  /** When its first token must have come. */
  readonly deadlineMs: number;
  readonly addedHeaders: HeaderList;
  readonly waitsForChoice: boolean;
  /** Set as soon as the request has been sent. */
  relay!: Relay;
  readonly #parts: AttemptParts;
  readonly #flight: Flight;
  readonly #mayRetryStatus: boolean;
  readonly #sentMs: number;
  readonly #ttftEstimateMs: number;
  #isRefusal = false;
  #isAnswered = false;
  #hasFirstToken = false;

  /** Of the instance that the core has reserved last. */
  constructor(
    parts: AttemptParts,
    flight: Flight,
    addedHeaders: HeaderList,
    deadlineMs: number,
    mayRetryStatus: boolean,
  ) {
    const { chosen, ttftEstimateMs } = parts.core.placement;
    this.slot = chosen;
    this.deadlineMs = deadlineMs;
    this.addedHeaders = addedHeaders;
    this.waitsForChoice = flight.route === 'chat' || flight.route === 'completion';
    this.#parts = parts;
    this.#flight = flight;
    this.#mayRetryStatus = mayRetryStatus;
    this.#sentMs = parts.clock.nowMs();
    this.#ttftEstimateMs = ttftEstimateMs;
  }

  decideHead(status: number): 'relay' | 'retry' {
    if (this.#mayRetryStatus && statusesRetried.has(status)) return 'retry';
    this.#isRefusal = statusesSuspect.has(status);
    return 'relay';
  }

  answerHeaders(status: number, headers: HeaderList): HeaderList {
    this.#isAnswered = true;
    this.#parts.stats.countStatus(status);
    if (this.#flight.entry !== null) this.#flight.entry.status = status;
    if (headerOf(headers, 'x-request-id') === undefined) return headers;
    const isKept = (at: number) => headers[at - (at % 2)] !== 'x-request-id';
    return headers.filter((_text, at) => isKept(at));
  }

  onFirstToken(isStreamed: boolean): void {
    const { core, clock, stats, prefilling } = this.#parts;
    prefilling.delete(this);
    this.#hasFirstToken = true;
    this.#releaseBody();
    if (this.#isRefusal) return;
    const nowMs = clock.nowMs();
    core.firstToken(this.#flight.ticket, nowMs);
    if (!isStreamed) return;
    const ttftMs = nowMs - this.#flight.readMs;
    stats.observe('ttft', ttftMs / 1000);
    if (this.#flight.entry !== null) this.#flight.entry.ttftMs = ttftMs;
    stats.observe('estimateError', Math.abs(nowMs - this.#sentMs - this.#ttftEstimateMs) / 1000);
  }

  /**
   * The relay has its outcome. An answer without a token clears its instance of suspicion too, but
   * not its head alone: engines send that at once, and one that then fails before its first token
   * would clear itself each time.
   */
  ended(outcome: RelayOutcome): void {
    const { core, clock, prefilling } = this.#parts;
    prefilling.delete(this);
    if (this.#isAnswered && !this.#hasFirstToken && !this.#isRefusal) {
      core.answered(this.#flight.ticket, clock.nowMs());
    }
    if (outcome.kind !== 'failedBeforeFirstToken') this.#releaseBody();
    else if (!this.relay.isBodyFree) this.#flight.isBodyHeld = true;
  }

  /** There is no further attempt: the memory of the body serves other requests. */
  #releaseBody(): void {
    const { exchange, isBodyHeld } = this.#flight;
    if (this.relay.isBodyFree && !isBodyHeld) exchange.releaseBody();
  }
}

/** What speaks against the instance: a broken connection, and a status such as 503. */
export function isHeldAgainst(outcome: RelayOutcome): boolean {
  switch (outcome.kind) {
    case 'completed':
      return statusesSuspect.has(outcome.status);
    case 'failedBeforeFirstToken':
      return outcome.fault !== null || statusesSuspect.has(outcome.status ?? 0);
    case 'failedAfterFirstToken':
      return true;
    case 'clientGone':
      return false;
  }
}
