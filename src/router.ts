/**
 * One request, top to bottom:
 *
 *   listen -> parse -> key -> candidates -> choose -> dispatch -> stream -> observe
 *
 * A `Router` lives on one I/O thread and serves the exchanges of that thread's listener. What a
 * request reserves is given back in `#servePlaced`, in one place, whatever the ending.
 */
import { timingSafeEqual } from 'node:crypto';
import { Attempt, type AttemptParts, type Flight, isHeldAgainst } from './attempt.ts';
import type { Clock } from './clock.ts';
import type { InstanceState } from './core/fleet-state.ts';
import type { Core, PlacementView } from './core/native.ts';
import { DenseSet } from './dense-set.ts';
import type { Upstream } from './dispatch/upstream.ts';
import { RequestFault, UpstreamFault } from './errors.ts';
import type { AdminAnswer, AdminRequest } from './fleet/admin.ts';
import { ClientGone, type Exchange } from './listen/exchange.ts';
import { forwardedRequestHeaders, requestIdOf } from './listen/headers.ts';
import { answerFault, matchRoute, type Route } from './listen/openai.ts';
import type { Log } from './observe/log.ts';
import { metricsType } from './observe/metrics-port.ts';
import type { ThreadStats } from './observe/thread-stats.ts';
import { isJson, isPlaced, modelOf, type PlacedRoute, placeFault } from './placing.ts';
import { type RelayOutcome, relayAnswer } from './stream/relay.ts';
import type { Ending, HeaderList } from './terms.ts';

export interface RouterOptions {
  readonly apiKey: string | null;
  readonly bodyBytesMax: number;
  /** Requests in flight on this thread above which new ones are answered 429. */
  readonly requestsInFlightMax: number | null;
  /** From the last request byte to the first token. */
  readonly firstTokenTimeoutMs: number;
  /** Adds `x-dualmap-*` fields to answers. */
  readonly explain: boolean;
}

/** What this thread knows of the world around it. */
export interface RouterParts {
  readonly core: Core;
  readonly clock: Clock;
  readonly stats: ThreadStats;
  readonly log: Log;
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
  readonly #waiting = new DenseSet<Attempt>();
  readonly #relaying = new DenseSet<Attempt>();
  readonly #attemptParts: AttemptParts;
  #urls: readonly string[] = [];
  #modelsJson = '{"object":"list","data":[]}';
  #inFlight = 0;
  #isDraining = false;
  #onIdle: (() => void) | null = null;

  constructor(options: RouterOptions, parts: RouterParts) {
    this.#options = options;
    this.#parts = parts;
    this.#attemptParts = { ...parts, waiting: this.#waiting, relaying: this.#relaying };
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
    const { core, clock, stats, log } = this.#parts;
    this.#admit(exchange);
    const body = await exchange.readBody(this.#options.bodyBytesMax);
    const readMs = clock.nowMs();
    stats.add('requestBytes', body.byteLength);

    const fault =
      route === 'pass'
        ? core.placeBare(isJson(exchange) ? modelOf(body) : '', readMs)
        : core.place(body, route, readMs);
    if (fault !== null) throw placeFault(fault, core.faultParam, body);
    const flight: Flight = {
      exchange,
      route,
      requestId,
      ticket: core.placement.ticket,
      readMs,
      isBodyHeld: false,
      request: {
        origin: '',
        method: exchange.method,
        path: exchange.query === '' ? exchange.path : `${exchange.path}?${exchange.query}`,
        headers: forwardedRequestHeaders(exchange.headers, requestId),
        body: body.byteLength === 0 ? null : body,
      },
    };
    let ending: Ending = 'failedBeforeFirstToken';
    try {
      ending = await this.#dispatch(flight);
    } finally {
      core.end(flight.ticket);
      stats.countEnding(ending);
      const durationMs = clock.nowMs() - readMs;
      stats.observe('duration', durationMs / 1000);
      if (this.#logsRequests) log.debug({ requestId, route, ending, durationMs }, 'request ended');
    }
    if (ending === 'failedBeforeFirstToken') {
      throw new RequestFault('upstream_failed', 'every serving instance was tried and failed');
    }
    if (ending === 'deadline') {
      throw new RequestFault('first_token_timeout', 'no first token within --request-timeout-secs');
    }
  }

  /** Sends the placed request, and again to the next instance as long as no token was seen. */
  async #dispatch(flight: Flight): Promise<Ending> {
    const { core, clock, stats } = this.#parts;
    let mayRetryStatus = core.placement.other >= 0;
    while (true) {
      const attempt = this.#send(flight, mayRetryStatus);
      const outcome = await attempt.relay.outcome;
      attempt.ended(outcome);
      this.#countUsage(outcome);
      if (isHeldAgainst(outcome)) core.suspect(flight.ticket, clock.nowMs());
      if (outcome.kind !== 'failedBeforeFirstToken') return outcome.kind;
      this.#logFailure(attempt, outcome, flight.requestId);
      if (outcome.fault?.code === 'first_token_timeout') return 'deadline';
      if (!core.retry(flight.ticket, clock.nowMs())) return outcome.kind;
      stats.add('retries', 1);
      mayRetryStatus = false;
    }
  }

  /** One attempt at the instance that the core has just reserved. */
  #send(flight: Flight, mayRetryStatus: boolean): Attempt {
    const { placement } = this.#parts.core;
    const url = this.#urls[placement.chosen]!;
    const added = this.#addedHeaders(url, flight.requestId, placement);
    const deadlineMs = flight.readMs + this.#options.firstTokenTimeoutMs;
    const attempt = new Attempt(this.#attemptParts, flight, added, deadlineMs, mayRetryStatus);
    this.#waiting.add(attempt);
    flight.request.origin = url;
    const upstream = this.#parts.upstreamFor(url);
    attempt.relay = relayAnswer(upstream, flight.request, flight.exchange, attempt);
    return attempt;
  }

  #countUsage(outcome: RelayOutcome): void {
    if (outcome.kind !== 'completed' || outcome.usage === null) return;
    const { stats } = this.#parts;
    stats.add('promptTokens', outcome.usage.promptTokens);
    stats.add('completionTokens', outcome.usage.completionTokens);
    stats.add('cachedTokens', outcome.usage.cachedTokens ?? 0);
  }

  #checkKey(exchange: Exchange): void {
    if (this.#apiKey !== null && !isSameSecret(exchange.header('authorization'), this.#apiKey)) {
      throw new RequestFault('unauthorized', 'the API key is missing or wrong');
    }
  }

  #admit(exchange: Exchange): void {
    this.#checkKey(exchange);
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

  async #answerLocally(exchange: Exchange, route: Route, requestId: string): Promise<void> {
    let status = 200;
    let type = 'application/json';
    let text = '{"status":"ok"}';
    if (route === 'models') {
      this.#checkKey(exchange);
      text = this.#modelsJson;
    } else if (route === 'fleet' || route === 'instance') {
      this.#checkKey(exchange);
      ({ status, text } = await this.#administer(exchange));
    } else if (route === 'readiness' && (this.#isDraining || !this.#hasServing())) {
      status = 503;
      text = `{"status":"${this.#isDraining ? 'draining' : 'no instance'}"}`;
    } else if (route === 'metrics') {
      type = metricsType;
      text = await this.#parts.metrics();
    }
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
  }

  /** A dead instance: whatever waits for a first token from it goes elsewhere. */
  instanceLost(slot: number): void {
    const fault = new UpstreamFault('instance_lost', 'the instance is dead, or had to leave');
    for (const attempt of this.#waiting.snapshot()) {
      if (attempt.slot === slot) attempt.relay.abort(fault);
    }
  }

  /** A leaving instance has had its time: what has a first token from it ends, too. */
  instanceOverdue(slot: number): void {
    this.instanceLost(slot);
    const fault = new UpstreamFault('instance_lost', 'the instance left before the answer was out');
    for (const attempt of this.#relaying.snapshot()) {
      if (attempt.slot === slot) attempt.relay.abort(fault);
    }
  }

  /** Called every few tens of milliseconds: deadlines, and prefills whose estimated time has come. */
  sweep(): void {
    const nowMs = this.#parts.clock.nowMs();
    this.#parts.core.endDuePrefills(nowMs);
    for (const attempt of this.#waiting.snapshot()) {
      if (nowMs < attempt.deadlineMs) continue;
      attempt.relay.abort(new UpstreamFault('first_token_timeout', 'no first token in time'));
    }
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
