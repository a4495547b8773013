/**
 * One request, top to bottom:
 *
 *   listen -> parse -> key -> candidates -> choose -> queue -> dispatch -> stream -> observe
 *
 * A `Router` lives on one I/O thread and serves the exchanges of that thread's listener. What a
 * request reserves is given back in `#servePlaced`, in one place, whatever the ending.
 */
import { timingSafeEqual } from 'node:crypto';
import { Attempt, type AttemptParts, type Flight, isHeldAgainst } from './attempt.ts';
import type { Clock } from './clock.ts';
import type { FleetState, InstanceState } from './core/fleet-state.ts';
import type { Core } from './core/native.ts';
import type { PlacementView } from './core/placement-view.ts';
import { DenseSet } from './dense-set.ts';
import type { Upstream } from './dispatch/upstream.ts';
import { RequestFault, UpstreamFault } from './errors.ts';
import { explain, explainedRoute } from './explain.ts';
import type { AdminAnswer, AdminRequest } from './fleet/admin.ts';
import type { Hotspots } from './hotspots.ts';
import { ClientGone, type Exchange } from './listen/exchange.ts';
import { forwardedRequestHeaders, requestIdOf } from './listen/headers.ts';
import { objectiveOf } from './listen/objective.ts';
import { answerFault, matchRoute, type Route } from './listen/openai.ts';
import { type Journal, JournalEntry } from './observe/journal.ts';
import type { Log } from './observe/log.ts';
import { metricsType } from './observe/metrics-port.ts';
import type { ThreadStats } from './observe/thread-stats.ts';
import { endFault, isJson, isPlaced, modelOf, type PlacedRoute, placeFault } from './placing.ts';
import { type RelayOutcome, relayAnswer } from './stream/relay.ts';
import type { Ended, HeaderList, WaitEnd } from './terms.ts';
import { Waiting } from './waiting.ts';

export interface RouterOptions {
  readonly apiKey: string | null;
  readonly bodyBytesMax: number;
  /** Requests in flight on this thread above which new ones are answered 429. */
  readonly requestsInFlightMax: number | null;
  /** How long a request may wait for an instance with room. */
  readonly queueTimeoutMs: number;
  /** From the last request byte to the first token. */
  readonly firstTokenTimeoutMs: number;
  /** Adds `x-dualmap-*` fields to answers. */
  readonly explain: boolean;
}

/** What this thread knows of the world around it. */
export interface RouterParts {
  readonly core: Core;
  readonly state: FleetState;
  readonly clock: Clock;
  readonly stats: ThreadStats;
  readonly log: Log;
  /** `null`: off. */
  readonly journal: Journal | null;
  /** `null`: nothing is rebalanced. */
  readonly hotspots: Hotspots | null;
  /** Whether requests may be sent to the instance of this slot. */
  isServing(slot: number): boolean;
  /** The upstream client for an instance's URL. */
  upstreamFor(url: string): Upstream;
  /** The text of `/metrics`, from the main thread. */
  metrics(): Promise<string>;
  /** The fleet is changed, and its list made, by the main thread. */
  admin(request: AdminRequest): Promise<AdminAnswer>;
}

/** An URL, a weight and a name. */
const adminBodyBytesMax = 64 * 1024;

export class Router {
  readonly #options: RouterOptions;
  readonly #parts: RouterParts;
  readonly #apiKey: Buffer | null;
  readonly #logsRequests: boolean;
  readonly #prefilling = new DenseSet<Attempt>();
  readonly #relaying = new DenseSet<Attempt>();
  readonly #waiting: Waiting;
  readonly #attemptParts: AttemptParts;
  #urls: readonly string[] = [];
  #modelsJson = '{"object":"list","data":[]}';
  #inFlight = 0;
  #isDraining = false;
  #onIdle: (() => void) | null = null;

  constructor(options: RouterOptions, parts: RouterParts) {
    this.#options = options;
    this.#parts = parts;
    this.#attemptParts = { ...parts, prefilling: this.#prefilling, relaying: this.#relaying };
    const { core, clock, hotspots } = parts;
    this.#waiting = new Waiting(core, clock, options.queueTimeoutMs, hotspots);
    this.#logsRequests = parts.log.isLevelEnabled('debug');
    this.#apiKey = options.apiKey === null ? null : Buffer.from(`Bearer ${options.apiKey}`);
  }

  /** Serves one exchange; given to the listener. Rejects only on a broken invariant. */
  readonly serve = async (exchange: Exchange): Promise<void> => {
    const requestId = requestIdOf(exchange);
    this.#parts.stats.add('requests', 1);
    this.#inFlight += 1;
    try {
      const route = matchRoute(exchange.method, exchange.path);
      if (route instanceof RequestFault) throw route;
      if (isPlaced(route)) await this.#servePlaced(exchange, route, requestId);
      else if (route === 'explain') await this.#explain(exchange, requestId);
      else await this.#answerLocally(exchange, route, requestId);
    } catch (error) {
      if (error instanceof RequestFault) this.#refuse(exchange, error, requestId);
      else if (!(error instanceof ClientGone)) throw error;
    } finally {
      this.#inFlight -= 1;
      if (this.#inFlight === 0) this.#onIdle?.();
    }
  };

  /** From read to ended: the flow of a request that goes to an instance. */
  async #servePlaced(exchange: Exchange, route: PlacedRoute, requestId: string): Promise<void> {
    const { core, clock, stats, log, journal } = this.#parts;
    this.#admit(exchange);
    const objective = objectiveOf(exchange);
    const body = await exchange.readBody(this.#options.bodyBytesMax);
    const readMs = clock.nowMs();
    stats.add('requestBytes', body.byteLength);

    const fault =
      route === 'pass'
        ? core.placeBare(isJson(exchange) ? modelOf(body) : '', readMs)
        : core.place(body, route, readMs, objective);
    if (fault === 'queue_full') stats.countEnding('shed');
    if (fault !== null) throw placeFault(fault, core.faultParam, body);
    const isWrittenDown = journal !== null && route !== 'pass';
    const flight: Flight = {
      exchange,
      route,
      requestId,
      ticket: core.placement.ticket,
      readMs,
      isBodyHeld: false,
      promptTokens: 0,
      entry: isWrittenDown ? new JournalEntry(requestId, route, readMs, core.lastPrompt()) : null,
      request: {
        origin: '',
        method: exchange.method,
        path: exchange.query === '' ? exchange.path : `${exchange.path}?${exchange.query}`,
        headers: forwardedRequestHeaders(exchange.headers, requestId),
        body: body.byteLength === 0 ? null : body,
      },
    };
    let ended: Ended = 'failedBeforeFirstToken';
    try {
      ended = await this.#dispatch(flight);
    } finally {
      const ending = ended === 'queueTimeout' ? 'deadline' : ended;
      core.end(flight.ticket, clock.nowMs(), flight.promptTokens);
      stats.countEnding(ending);
      const nowMs = clock.nowMs();
      if (flight.entry !== null) journal?.write(flight.entry.line(ending, nowMs, Date.now()));
      const durationMs = nowMs - readMs;
      stats.observe('duration', durationMs / 1000);
      if (this.#logsRequests) log.debug({ requestId, route, ending, durationMs }, 'request ended');
    }
    const unanswered = endFault(ended);
    if (unanswered !== null) throw unanswered;
  }

  /** Sends the placed request, and again to the next instance as long as no token was seen. */
  async #dispatch(flight: Flight): Promise<Ended> {
    const { core, clock, stats } = this.#parts;
    const mayRetryStatus = core.placement.other >= 0;
    const first = core.placement.isWaiting
      ? await this.#queue(flight, mayRetryStatus)
      : this.#send(flight, mayRetryStatus);
    if (!(first instanceof Attempt)) return first;
    for (let attempt = first; ; attempt = this.#send(flight, false)) {
      const outcome = await attempt.relay.outcome;
      attempt.ended(outcome);
      this.#countUsage(flight, outcome);
      if (isHeldAgainst(outcome)) core.suspect(flight.ticket, clock.nowMs());
      if (outcome.kind !== 'failedBeforeFirstToken') return outcome.kind;
      this.#logFailure(attempt, outcome, flight.requestId);
      if (outcome.fault?.code === 'first_token_timeout') return 'deadline';
      if (!core.retry(flight.ticket, clock.nowMs())) return outcome.kind;
      stats.add('retries', 1);
    }
  }

  /** Waits until an instance has room; then it is sent there at once. */
  async #queue(flight: Flight, mayRetryStatus: boolean): Promise<Attempt | WaitEnd> {
    const { core, stats } = this.#parts;
    const end = await this.#waiting.wait(flight.ticket, flight.exchange, () => {
      stats.observe('queued', core.placement.queuedMs / 1000);
      return this.#send(flight, mayRetryStatus);
    });
    if (!(end instanceof Attempt)) stats.add('unsent', 1);
    return end;
  }

  /** One attempt at the instance that the core has just reserved. */
  #send(flight: Flight, mayRetryStatus: boolean): Attempt {
    const { placement } = this.#parts.core;
    const url = this.#urls[placement.chosen]!;
    const added = this.#addedHeaders(url, flight.requestId, placement);
    const deadlineMs = flight.readMs + this.#options.firstTokenTimeoutMs;
    const attempt = new Attempt(this.#attemptParts, flight, added, deadlineMs, mayRetryStatus);
    this.#prefilling.add(attempt);
    flight.entry?.sent(placement, this.#urls);
    flight.request.origin = url;
    const upstream = this.#parts.upstreamFor(url);
    attempt.relay = relayAnswer(upstream, flight.request, flight.exchange, attempt);
    return attempt;
  }

  #countUsage(flight: Flight, outcome: RelayOutcome): void {
    if (outcome.kind !== 'completed' || outcome.usage === null) return;
    if (flight.entry !== null) flight.entry.usage = outcome.usage;
    const { stats } = this.#parts;
    flight.promptTokens = outcome.usage.promptTokens;
    stats.add('promptTokens', outcome.usage.promptTokens);
    stats.add('completionTokens', outcome.usage.completionTokens);
    stats.add('cachedTokens', outcome.usage.cachedTokens ?? 0);
  }

  #admit(exchange: Exchange): void {
    this.#authorize(exchange);
    if (this.#isDraining) {
      this.#parts.stats.countEnding('drained');
      throw new RequestFault('draining', 'the router is shutting down', { retryAfterSeconds: 1 });
    }
    const { requestsInFlightMax } = this.#options;
    if (requestsInFlightMax !== null && this.#inFlight > requestsInFlightMax) {
      this.#parts.stats.countEnding('shed');
      throw new RequestFault('overloaded', 'too many requests in flight', { retryAfterSeconds: 1 });
    }
  }

  #authorize(exchange: Exchange): void {
    if (this.#apiKey === null) return;
    if (isSameSecret(exchange.header('authorization'), this.#apiKey)) return;
    throw new RequestFault('unauthorized', 'the API key is missing or wrong');
  }

  /** What would become of this body; nothing is reserved, counted or sent. */
  async #explain(exchange: Exchange, requestId: string): Promise<void> {
    this.#authorize(exchange);
    const body = await exchange.readBody(this.#options.bodyBytesMax);
    const { core, state, clock } = this.#parts;
    const route = explainedRoute(exchange.query);
    const text = explain({ core, state, urls: this.#urls }, body, route, clock.nowMs());
    exchange.releaseBody();
    this.#answer(exchange, 200, 'application/json', text, requestId);
  }

  async #answerLocally(exchange: Exchange, route: Route, requestId: string): Promise<void> {
    let status = 200;
    let type = 'application/json';
    let text = '{"status":"ok"}';
    if (route === 'models') {
      this.#authorize(exchange);
      text = this.#modelsJson;
    } else if (route === 'fleet' || route === 'instance') {
      this.#authorize(exchange);
      ({ status, text } = await this.#administer(exchange));
    } else if (route === 'readiness' && (this.#isDraining || !this.#hasServing())) {
      status = 503;
      text = `{"status":"${this.#isDraining ? 'draining' : 'no instance'}"}`;
    } else if (route === 'metrics') {
      type = metricsType;
      text = await this.#parts.metrics();
    }
    this.#answer(exchange, status, type, text, requestId);
  }

  #answer(exchange: Exchange, status: number, type: string, text: string, requestId: string): void {
    if (exchange.gone) return;
    exchange.cork(() => {
      exchange.head(status, ['content-type', type, 'x-request-id', requestId]);
      exchange.end(exchange.method === 'HEAD' ? undefined : text);
    });
    this.#parts.stats.countStatus(status);
  }

  async #administer(exchange: Exchange): Promise<{ status: number; text: string }> {
    const { method, path } = exchange;
    // Asked for before anything is awaited: a body that nobody wants is dropped.
    const body = method === 'POST' ? await exchange.readBody(adminBodyBytesMax) : null;
    const text = body === null ? '' : Buffer.from(body).toString('utf8');
    const answer = await this.#parts.admin({ method, path, body: text });
    if ('code' in answer) throw new RequestFault(answer.code, answer.message, answer);
    return answer;
  }

  #refuse(exchange: Exchange, fault: RequestFault, requestId: string): void {
    if (exchange.gone) return;
    this.#parts.stats.countStatus(fault.status);
    answerFault(exchange, fault, requestId);
  }

  #hasServing(): boolean {
    return this.#urls.some((_url, slot) => this.#parts.isServing(slot));
  }

  #addedHeaders(url: string, requestId: string, placement: PlacementView): HeaderList {
    const list = ['x-request-id', requestId];
    if (!this.#options.explain) return list;
    const candidates = [placement.first, placement.second]
      .filter((slot) => slot >= 0)
      .map((slot) => this.#urls[slot]!);
    list.push('x-dualmap-instance', url);
    list.push('x-dualmap-candidates', candidates.join(', '));
    list.push('x-dualmap-reason', placement.reason);
    list.push('x-dualmap-cached-tokens', String(placement.cachedTokens));
    list.push('x-dualmap-estimated-ttft-ms', placement.ttftEstimateMs.toFixed(1));
    list.push('x-dualmap-queue-ms', placement.queuedMs.toFixed(1));
    return list;
  }

  #logFailure(attempt: Attempt, outcome: RelayOutcome, requestId: string): void {
    if (outcome.kind !== 'failedBeforeFirstToken') return;
    const { fault, status } = outcome;
    const cause = fault === null ? `answered ${status}` : `${fault.code}: ${fault.message}`;
    const instance = this.#urls[attempt.slot];
    this.#parts.log.warn({ instance, requestId, cause }, 'failed before the first token');
  }

  /** What the main thread says of the fleet. `urls` by slot. */
  setFleet(urls: readonly string[], modelsJson: string): void {
    this.#urls = urls;
    this.#modelsJson = modelsJson;
  }

  /**
   * An instance joined, serves, drains, died, recovered or left: its state word said so before this
   * was called. Whatever waits for room must be looked at again.
   */
  instanceChanged(slot: number, state: InstanceState): void {
    this.#parts.log.debug({ instance: this.#urls[slot], state }, 'an instance has changed');
    this.#lookAtQueues();
  }

  /** A dead instance: whatever waits for a first token from it goes elsewhere. */
  instanceLost(slot: number): void {
    // Also what it had claimed just before: nobody would tell that later.
    this.#waiting.readClaims();
    const fault = new UpstreamFault('instance_lost', 'the instance is dead, or had to leave');
    for (const attempt of this.#prefilling.snapshot()) {
      if (attempt.slot === slot) attempt.relay.abort(fault);
    }
    this.#lookAtQueues();
  }

  /** A leaving instance has had its time: what has a first token from it ends, too. */
  instanceOverdue(slot: number): void {
    this.instanceLost(slot);
    const fault = new UpstreamFault('instance_lost', 'the instance left before the answer was out');
    for (const attempt of this.#relaying.snapshot()) {
      if (attempt.slot === slot) attempt.relay.abort(fault);
    }
  }

  /** Called every few tens of milliseconds: deadlines. */
  sweep(): void {
    const nowMs = this.#parts.clock.nowMs();
    this.#waiting.sweep(nowMs);
    for (const attempt of this.#prefilling.snapshot()) {
      if (nowMs < attempt.deadlineMs) continue;
      attempt.relay.abort(new UpstreamFault('first_token_timeout', 'no first token in time'));
    }
  }

  #lookAtQueues(): void {
    this.#parts.core.fleetChanged(this.#parts.clock.nowMs());
  }

  close(): void {
    this.#waiting.close();
  }

  /** Refuses new requests from now on; resolves when none is in flight. */
  drain(): Promise<void> {
    this.#isDraining = true;
    if (this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  get inFlight(): number {
    return this.#inFlight;
  }
}

function isSameSecret(given: string | undefined, expected: Buffer): boolean {
  const bytes = Buffer.from(given ?? '', 'latin1');
  return bytes.byteLength === expected.byteLength && timingSafeEqual(bytes, expected);
}
