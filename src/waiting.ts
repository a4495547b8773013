/**
 * The requests of one I/O thread that wait in the queues of the router: each until an instance
 * has claimed it, it was shed, its time was up or its client left. Reads the claims of the core as
 * soon as there are any, and keeps the time at which the core wants to look again. On the thread of
 * its router; the core decides everything.
 */
import type { Attempt } from './attempt.ts';
import type { Clock } from './clock.ts';
import type { Core } from './core/native.ts';
import type { Hotspots } from './hotspots.ts';
import type { Exchange } from './listen/exchange.ts';
import type { WaitEnd } from './terms.ts';

/** What a timer can wait for; above, it would fire at once. */
const delayMsMax = 2 ** 31 - 1;

interface Entry {
  readonly exchange: Exchange;
  readonly untilMs: number;
  /** Sends it to the instance that `core.placement` names. */
  readonly send: () => Attempt;
  readonly settle: (end: Attempt | WaitEnd) => void;
  /** It leaves the queues at once: a claim of its that is read later in this turn would be sent. */
  readonly giveUp: (end: WaitEnd) => void;
}

export class Waiting {
  readonly #core: Core;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** `null`: nothing is rebalanced. */
  readonly #hotspots: Hotspots | null;
  readonly #entries = new Map<number, Entry>();
  #isReading = false;
  #timer: NodeJS.Timeout | null = null;
  #timerDueMs = Number.POSITIVE_INFINITY;

  /** `timeoutMs`: how long a request waits at most. */
  constructor(core: Core, clock: Clock, timeoutMs: number, hotspots: Hotspots | null) {
    this.#core = core;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#hotspots = hotspots;
    core.onWork(() => this.#work());
  }

  /** Resolves when the waiting of a ticket is over; that must be ended whatever came of it. */
  wait(ticket: number, exchange: Exchange, send: () => Attempt): Promise<Attempt | WaitEnd> {
    return new Promise((resolve) => {
      const nowMs = this.#clock.nowMs();
      if (exchange.gone) {
        this.#core.stopWaiting(ticket, nowMs);
        resolve('clientGone');
        return;
      }
      const settle = (end: Attempt | WaitEnd) => {
        this.#entries.delete(ticket);
        this.#hotspots?.left(ticket);
        resolve(end);
      };
      const giveUp = (end: WaitEnd) => {
        // Its ticket may be void: a client can leave after its time was up.
        if (!this.#entries.has(ticket)) return;
        this.#core.stopWaiting(ticket, this.#clock.nowMs());
        settle(end);
      };
      const untilMs = nowMs + this.#timeoutMs;
      this.#entries.set(ticket, { exchange, untilMs, send, settle, giveUp });
      exchange.onGone(() => giveUp('clientGone'));
      this.#hotspots?.entered(this.#core.placement, nowMs);
      this.#work();
    });
  }

  /**
   * Ends the waiting of those whose time is up. The time of a look may have been known to a thread
   * alone that has ended since: hence it is asked for here, too.
   */
  sweep(nowMs: number): void {
    if (this.#entries.size > 0) this.#core.look(nowMs);
    this.#hotspots?.sweep(nowMs);
    for (const entry of this.#entries.values()) {
      // They wait for equally long, in order of arrival.
      if (nowMs < entry.untilMs) return;
      entry.giveUp('queueTimeout');
    }
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Claims are read after the present callback: it may be in the midst of another request. */
  #work(): void {
    if (this.#core.hasClaims && !this.#isReading) {
      this.#isReading = true;
      queueMicrotask(() => {
        this.#isReading = false;
        this.readClaims();
      });
    }
    const dueMs = this.#core.nextLookMs;
    if (dueMs < this.#timerDueMs && Number.isFinite(dueMs)) this.#arm(dueMs);
  }

  /** Sends what has been claimed by now. */
  readClaims(): void {
    for (let claim = this.#core.nextClaim(); claim !== null; claim = this.#core.nextClaim()) {
      // Whoever gave up has no claims.
      const entry = this.#entries.get(this.#core.placement.ticket)!;
      entry.settle(claim === 'shed' ? 'shed' : entry.send());
    }
  }

  #arm(dueMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerDueMs = dueMs;
    // Rounded up: a timer that fires before its time would only be set again.
    const delayMs = Math.min(delayMsMax, Math.max(1, Math.ceil(dueMs - this.#clock.nowMs())));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#timerDueMs = Number.POSITIVE_INFINITY;
      this.#core.look(this.#clock.nowMs());
      this.#work();
    }, delayMs);
    this.#timer.unref();
  }
}
