/**
 * What placing a request needs to know of its body beyond the scan of the core, and what a client
 * is told when it cannot be placed. Pure; off the path of requests placed by their prompt.
 */
import type { PlaceFault } from './core/native.ts';
import { RequestFault } from './errors.ts';
import type { Exchange } from './listen/exchange.ts';
import type { Route } from './listen/openai.ts';
import type { Ended } from './terms.ts';

/** The routes whose requests go to an instance. */
export type PlacedRoute = Extract<Route, 'chat' | 'completion' | 'embedding' | 'pass'>;

export function isPlaced(route: Route): route is PlacedRoute {
  return route === 'chat' || route === 'completion' || route === 'embedding' || route === 'pass';
}

/** `param`: the field that the core found at fault; empty if it is none. */
export function placeFault(code: PlaceFault, param: string, body: Uint8Array): RequestFault {
  const where = param === '' ? 'the request body' : `\`${param}\``;
  switch (code) {
    case 'invalid_json':
      return new RequestFault(code, 'the request body is not valid JSON');
    case 'invalid_type':
      return new RequestFault(code, `${where} has the wrong type`, { param });
    case 'empty_prompt':
      return new RequestFault(code, `${where} is missing or empty`, { param });
    case 'too_deep':
      return new RequestFault(code, `${where} is nested too deeply`, { param });
    case 'model_not_found': {
      const model = JSON.stringify(modelOf(body));
      return new RequestFault(code, `no instance serves the model ${model}`, { param: 'model' });
    }
    case 'queue_full':
      return new RequestFault(code, 'too many requests wait for an instance (--queue-size)', {
        retryAfterSeconds: 1,
      });
    case 'no_instance':
      return new RequestFault(code, 'no instance serves at the moment', { retryAfterSeconds: 1 });
  }
}

/** What a client is told of a request that ended without an answer; `null` if it had one. */
export function endFault(ended: Ended): RequestFault | null {
  const later = { retryAfterSeconds: 1 };
  switch (ended) {
    case 'failedBeforeFirstToken':
      return new RequestFault('upstream_failed', 'every serving instance was tried and failed');
    case 'deadline':
      return new RequestFault(
        'first_token_timeout',
        'no first token within --request-timeout-secs',
      );
    case 'queueTimeout':
      return new RequestFault(
        'queue_timeout',
        'no instance had room within --queue-timeout-secs',
        later,
      );
    case 'shed':
      return new RequestFault(
        'shed',
        'the first token cannot come within the objective any more (--late-policy shed)',
        later,
      );
    default:
      return null;
  }
}

/** The `model` of a JSON body; empty if it names none. What else the body holds is the engine's. */
export function modelOf(body: Uint8Array): string {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    const model =
      typeof value === 'object' && value !== null && 'model' in value ? value.model : '';
    return typeof model === 'string' ? model : '';
  } catch {
    // Not JSON: it names no model.
    return '';
  }
}

export function isJson(exchange: Exchange): boolean {
  return exchange.header('content-type')?.includes('json') ?? false;
}
