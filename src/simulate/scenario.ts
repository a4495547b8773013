/**
 * One simulated run: a workload at a rate, one or more routers, a fleet of engines, events in order
 * of time. Pure and deterministic; one thread, any.
 */

import type { Config } from '../config/config.ts';
import { createRandom } from '../replay/random.ts';
import { coreOptions } from '../threads.ts';
import type { Engine, EngineListener } from './engine.ts';
import type { Join } from './options.ts';
import { CoreRouter, configOf, type Outlet, type Placer } from './placer.ts';
import {
  type EngineModel,
  estimatePerTokenMs,
  idleTtftOf,
  type PresetName,
  presets,
  saturationQps,
} from './presets.ts';
import { attainmentMin, type Cell, type Joined, Ledger } from './results.ts';
import { Scrapes } from './scrapes.ts';
import { SerialEngine } from './serial-engine.ts';
import { StepEngine } from './step-engine.ts';
import { backInMs } from './timeline.ts';
import { type Arrivals, arrivalsAt, type Workload } from './workload.ts';

export interface Scenario {
  readonly preset: PresetName;
  /** From the start. */
  readonly instances: number;
  /** `null`: the fleet stays as it is. */
  readonly join: Join | null;
  readonly routers: number;
  /** Policy, objective and everything else that `serve` can be told of decisions. */
  readonly config: Partial<Config>;
  /** A share of warm saturation of the fleet at the start, or requests a second. */
  readonly rate: { readonly load: number } | { readonly qps: number };
  readonly seed: number;
  readonly arrivals: Arrivals;
  /** Age of the engines' metrics as routers see them. */
  readonly viewDelayMs: number;
  /** Requests at the start that count in no figure. */
  readonly warmup: number;
}

/** Runs it to the end. */
export function runScenario(workload: Workload, scenario: Scenario): Cell {
  const { preset, instances, join, routers, seed, warmup } = scenario;
  const model: EngineModel = presets[preset];
  const fullQps = saturationQps(model, workload, instances);
  const qps = 'qps' in scenario.rate ? scenario.rate.qps : scenario.rate.load * fullQps;
  const config = configOf(scenario.config);
  const setting = {
    instances,
    instancesMax: instances + (join?.instances ?? 0),
    config: scenario.config,
    ringSeed: seed,
    perTokenMs: estimatePerTokenMs(model),
    cacheTokens: model.cacheTokens,
  };
  const arrivalsMs = arrivalsAt(workload, scenario.arrivals, seed, qps);
  const opened: CoreRouter[] = [];
  const run = new Run(workload, arrivalsMs, model, instances, (outlet) => {
    for (let at = 0; at < routers; at++) opened.push(new CoreRouter(workload, setting, outlet));
    return opened;
  });
  run.deal(seed);
  if (join !== null) {
    run.joinAfter(Math.max(1, Math.round(join.share * workload.count)), join.instances);
  }
  // One router reads only how full an engine's memory is, and serial ones do not tell.
  const hasNews = routers > 1 || model.kind === 'step';
  if (hasNews && config.metricsPollIntervalMs !== null) {
    run.scrapeEvery(config.metricsPollIntervalMs, scenario.viewDelayMs, seed);
  }
  run.toTheEnd();
  const { inputTokens, limitHitTokens } = workload;
  const warm = Math.min(warmup, workload.count - 1);
  const { ledger, joined } = run;
  const course = ledger.timeline;
  const attainment = joined === null ? null : ledger.attainmentByPart(config.sloTtftMs);
  const back =
    joined === null ? null : backInMs(attainment!, course.partMs, joined.atMs, attainmentMin);
  return {
    trace: workload.trace,
    preset,
    policy: config.policy,
    queue: coreOptions(config).queues ? 'router' : 'direct',
    routers,
    instances,
    viewDelayMs: scenario.viewDelayMs,
    load: qps / fullQps,
    qps,
    seed,
    lost: run.lost,
    ...ledger.summarize(warm, config.sloTtftMs, inputTokens, limitHitTokens),
    outOfReach: outOfReach(workload, model, warm, config.sloTtftMs),
    imbalanceCv: ledger.imbalanceCv,
    workMaxOverMean: maxOverMean(run.engines.map((engine) => engine.busyMs)),
    migrations: opened.reduce((sum, router) => sum + router.migrations, 0),
    joined,
    backInMs: back,
    timeline: { ...course, attainment },
  };
}

/** The events of a run. Tests of queueing theory give it placers and workloads of their own. */
export class Run implements EngineListener, Outlet {
  readonly ledger: Ledger;
  /** Those that are there; they may become more. */
  readonly engines: Engine[] = [];
  readonly placers: readonly Placer[];
  lost = 0;
  /** `null`: nothing has joined yet. */
  joined: Joined | null = null;
  #ended = 0;
  readonly #workload: Workload;
  readonly #model: EngineModel;
  readonly #arrivalsMs: Float64Array;
  readonly #placerOf: Uint8Array;
  #scrapes: Scrapes | null = null;
  #join: { readonly afterRequests: number; readonly instances: number } | null = null;

  /** `arrivalsMs` ascends, one for each row of the workload. */
  constructor(
    workload: Workload,
    arrivalsMs: Float64Array,
    model: EngineModel,
    instances: number,
    openPlacers: (outlet: Outlet) => readonly Placer[],
  ) {
    this.#workload = workload;
    this.#model = model;
    this.#arrivalsMs = arrivalsMs;
    this.ledger = new Ledger(workload.count, instances, arrivalsMs);
    this.#openEngines(instances);
    this.placers = openPlacers(this);
    this.#placerOf = new Uint8Array(workload.count);
  }

  /** Deals the requests to the routers at random; without it the first one gets them all. */
  deal(seed: number): void {
    if (this.placers.length === 1) return;
    const random = createRandom(seed ^ 0x5eed);
    this.#placerOf.forEach((_, request) => {
      this.#placerOf[request] = Math.floor(random() * this.placers.length);
    });
  }

  /** Lets every placer read the metrics of all engines now and then; they are `ageMs` old then. */
  scrapeEvery(intervalMs: number, ageMs: number, seed: number): void {
    this.#scrapes = new Scrapes(this.engines, this.placers, { intervalMs, ageMs, seed });
  }

  /** Once so many requests have arrived, so many engines more are there, for every placer at once. */
  joinAfter(afterRequests: number, instances: number): void {
    this.#join = { afterRequests, instances };
  }

  /** Until every request has ended. Of things due at one moment, arrivals come last. */
  toTheEnd(): void {
    let nowMs = 0;
    for (let next = 0; ; ) {
      const engine = this.#nextEngine();
      const placer = this.#nextPlacer();
      const arrivalMs = this.#arrivalsMs[next] ?? Number.POSITIVE_INFINITY;
      const engineMs = engine.nextMs;
      const lookMs = placer.nextLookMs;
      const nextMs = Math.min(arrivalMs, engineMs, lookMs);
      if (nextMs === Number.POSITIVE_INFINITY) break;
      if (this.#scrapes !== null && this.#scrapes.nextMs < nextMs) {
        nowMs = this.#scrapes.nextMs;
        if (engineMs === Number.POSITIVE_INFINITY) this.#scrapes.skip(nextMs);
        else this.#scrapes.advance();
      } else if (engineMs <= arrivalMs && engineMs <= lookMs) {
        nowMs = engineMs;
        engine.advance();
      } else if (lookMs <= arrivalMs) {
        nowMs = Math.max(nowMs, lookMs);
        placer.look(nowMs);
      } else {
        nowMs = arrivalMs;
        this.#arrive(next++, arrivalMs);
        if (next === this.#join?.afterRequests) this.#grow(this.#join.instances, arrivalMs);
      }
    }
    const left = this.#workload.count - this.#ended - this.lost;
    if (left > 0) throw new Error(`the simulation stands still with ${left} requests in it`);
  }

  firstToken(request: number, cachedTokens: number, nowMs: number): void {
    this.ledger.firstToken(request, cachedTokens, nowMs);
    this.#placer(request).firstToken(request, nowMs);
  }

  finished(request: number, nowMs: number): void {
    this.#ended++;
    this.#placer(request).end(request, nowMs);
  }

  refused(request: number, nowMs: number): void {
    this.lost++;
    this.ledger.refused(request);
    this.#placer(request).end(request, nowMs);
  }

  dispatch(request: number, instance: number, nowMs: number): void {
    const engine = this.engines[instance]!;
    const uncached = this.#workload.inputTokens[request]! - engine.residentTokens(request);
    this.ledger.dispatched(request, instance, uncached);
    engine.submit(request, nowMs);
  }

  turnAway(_request: number): void {
    this.lost++;
    this.ledger.turnedAway();
  }

  #arrive(request: number, nowMs: number): void {
    this.ledger.arrived(request);
    this.#placer(request).arrive(request, nowMs);
  }

  #grow(instances: number, nowMs: number): void {
    this.joined = { instances, atMs: nowMs };
    this.ledger.joined(instances);
    this.#openEngines(instances);
    for (const placer of this.placers) placer.joined?.(instances, nowMs);
  }

  #openEngines(count: number): void {
    for (let at = 0; at < count; at++) {
      this.engines.push(openEngine(this.#workload, this.#model, this));
    }
  }

  #placer(request: number): Placer {
    return this.placers[this.#placerOf[request]!]!;
  }

  #nextEngine(): Engine {
    let next = this.engines[0]!;
    for (const engine of this.engines) if (engine.nextMs < next.nextMs) next = engine;
    return next;
  }

  #nextPlacer(): Placer {
    let next = this.placers[0]!;
    for (const placer of this.placers) if (placer.nextLookMs < next.nextLookMs) next = placer;
    return next;
  }
}

function openEngine(workload: Workload, model: EngineModel, listener: EngineListener): Engine {
  return model.kind === 'step'
    ? new StepEngine(workload, model, listener)
    : new SerialEngine(workload, model, listener);
}

function maxOverMean(values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0);
  return sum === 0 ? 1 : (Math.max(...values) * values.length) / sum;
}

function outOfReach(workload: Workload, model: EngineModel, from: number, sloTtftMs: number) {
  const idleTtft = idleTtftOf(model);
  const { count, inputTokens, limitHitTokens } = workload;
  let late = 0;
  for (let row = from; row < count; row++) {
    if (idleTtft(inputTokens[row]!, limitHitTokens[row]!) > sloTtftMs) late++;
  }
  return late / (count - from);
}
