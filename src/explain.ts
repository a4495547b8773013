/**
 * The answer of `POST /debug/explain`: what would become of a request with this body now, and why.
 * On the I/O thread that was asked. Nothing is reserved, counted or sent, and no later decision is
 * another one because of it.
 */
import type { FleetState, Load } from './core/fleet-state.ts';
import type { Core } from './core/native.ts';
import { type CandidateView, type Explanation, explainPlacing } from './core/scan.ts';
import { modelOf, placeFault } from './placing.ts';

export interface ExplainParts {
  readonly core: Core;
  readonly state: FleetState;
  /** URLs by slot. */
  readonly urls: readonly string[];
}

export type ExplainedRoute = 'chat' | 'completion';

/** `?route=completion` or `?route=chat`; `null`: by what is in the body. */
export function explainedRoute(query: string): ExplainedRoute | null {
  const route = new URLSearchParams(query).get('route');
  return route === 'chat' || route === 'completion' ? route : null;
}

/** The answer as JSON. Throws RequestFault, the one that the request itself would be answered. */
export function explain(
  parts: ExplainParts,
  body: Uint8Array,
  given: ExplainedRoute | null,
  nowMs: number,
): string {
  let route = given ?? 'chat';
  let result = explainPlacing(parts.core, body, route, nowMs);
  if (given === null && 'fault' in result && result.fault === 'empty_prompt') {
    const other = explainPlacing(parts.core, body, 'completion', nowMs);
    // Neither messages nor a prompt: then it is the messages that are missing.
    if (!('fault' in other && other.fault === 'empty_prompt')) {
      route = 'completion';
      result = other;
    }
  }
  if ('fault' in result) throw placeFault(result.fault, result.param, body);
  return JSON.stringify(report(parts, route, modelOf(body), result, nowMs), null, 2);
}

function report(
  parts: ExplainParts,
  route: ExplainedRoute,
  model: string,
  result: Explanation,
  nowMs: number,
): object {
  const { chosen, other, key } = result;
  const candidates = other === null ? [chosen] : [chosen, other];
  return {
    route,
    model,
    prompt: { bytes: result.promptBytes, tokens: result.promptTokens, blocks: result.blocks },
    key: { level: result.level, hash: `0x${key.toString(16).padStart(16, '0')}` },
    instance: parts.urls[chosen.slot] ?? null,
    reason: result.reason,
    estimated_ttft_ms: chosen.ttftEstimateMs,
    // The one that would be chosen first.
    candidates: candidates.map((candidate) => candidateReport(parts, candidate, nowMs)),
  };
}

function candidateReport(parts: ExplainParts, candidate: CandidateView, nowMs: number): object {
  const { state, urls } = parts;
  const { slot } = candidate;
  const scraped = state.scraped(slot);
  const load = ({ requests, tokens }: Load) => ({ requests, tokens });
  return {
    instance: urls[slot] ?? null,
    state: state.state(slot),
    suspect: nowMs < state.suspectUntilMs(slot),
    cached_tokens: candidate.cachedTokens,
    uncached_tokens: candidate.uncachedTokens,
    pending_tokens: candidate.pendingTokens,
    estimated_ttft_ms: candidate.ttftEstimateMs,
    queued: load(state.load(slot, 'queued')),
    prefilling: load(state.load(slot, 'prefilling')),
    decoding: load(state.load(slot, 'decoding')),
    engine:
      scraped === null
        ? null
        : {
            waiting: scraped.waiting,
            running: scraped.running,
            kv_use: scraped.kvUse,
            age_ms: Math.round(nowMs - scraped.atMs),
          },
  };
}
