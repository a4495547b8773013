import { RequestFault } from '../errors.ts';
import type { HeaderList } from '../terms.ts';
import type { Exchange } from './exchange.ts';

/**
 * The face to OpenAI's clients: which paths exist, and the shape of an error. Pure but for
 * `answerFault`; any thread that listens. Must never let a path through that an engine could read
 * as one of its control routes.
 */

/** What a request is. `pass`: handed to a serving instance as it is. */
export type Route =
  | 'chat'
  | 'completion'
  | 'embedding'
  | 'models'
  | 'health'
  | 'readiness'
  | 'metrics'
  | 'explain'
  | 'pass';

const routes = new Map<string, Route>([
  ['/v1/chat/completions', 'chat'],
  ['/v1/completions', 'completion'],
  ['/v1/embeddings', 'embedding'],
  ['/v1/models', 'models'],
  ['/health', 'health'],
  ['/liveness', 'health'],
  ['/readiness', 'readiness'],
  ['/metrics', 'metrics'],
  ['/debug/explain', 'explain'],
  ['/tokenize', 'pass'],
  ['/detokenize', 'pass'],
]);

const methodsPassed = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const methodsRead = ['GET', 'HEAD'];
const methodsPrompt = ['POST'];

/**
 * Segments of plain letters only, none empty, none of dots alone: what is left has one reading in
 * every server, so a control route cannot hide behind `%2f`, `//`, `/../`, `;` or `\`.
 */
const strictPath = /^\/v1(?:\/(?!\.+(?:\/|$))[A-Za-z0-9._-]+)+$/;

/** Steering an engine, under any prefix below /v1; the names as vLLM, SGLang and others use them. */
const controlSegments = new Set([
  'abort',
  'abort_request',
  'abort_requests',
  'admin',
  'collective_rpc',
  'configure_logging',
  'continue_generation',
  'flush_cache',
  'freeze_gc',
  'get_server_info',
  'is_paused',
  'is_sleeping',
  'load',
  'pause',
  'pause_generation',
  'release_memory_occupation',
  'resume',
  'resume_memory_occupation',
  'scale_elastic_ep',
  'server_info',
  'set_internal_state',
  'shutdown',
  'sleep',
  'slow_down',
  'start_profile',
  'stop_profile',
  'unload',
  'wake_up',
]);
const controlPattern = /lora_adapter|^loras?$|weights|^reset_|_profile$|^profile/;

/** Answers 405 with the methods that would do. */
class MethodFault extends RequestFault {
  private readonly allowed: readonly string[];

  constructor(method: string, path: string, allowed: readonly string[]) {
    super('method_not_allowed', `${method} is not served on ${path}`);
    this.allowed = allowed;
  }

  override headers(): HeaderList {
    return [...super.headers(), 'allow', this.allowed.join(', ')];
  }
}

/** The route of a request, or the fault (404, 405) that answers it. `path` as sent, no query. */
export function matchRoute(method: string, path: string): Route | RequestFault {
  const route = routes.get(path) ?? passedRoute(path);
  if (route === null) {
    return new RequestFault('unknown_route', 'the router does not serve this path');
  }
  const allowed = methodsOf(route);
  return allowed.includes(method) ? route : new MethodFault(method, path, allowed);
}

function passedRoute(path: string): Route | null {
  if (!strictPath.test(path)) return null;
  for (const segment of path.toLowerCase().split('/')) {
    if (controlSegments.has(segment) || controlPattern.test(segment)) return null;
  }
  return 'pass';
}

function methodsOf(route: Route): readonly string[] {
  switch (route) {
    case 'chat':
    case 'completion':
    case 'embedding':
    case 'explain':
      return methodsPrompt;
    case 'models':
    case 'health':
    case 'readiness':
    case 'metrics':
      return methodsRead;
    case 'pass':
      return methodsPassed;
  }
}

/** Answers a fault in OpenAI's shape, with `x-request-id`. */
export function answerFault(exchange: Exchange, fault: RequestFault, requestId: string): void {
  exchange.cork(() => {
    exchange.head(fault.status, [...fault.headers(), 'x-request-id', requestId]);
    exchange.end(fault.toJson());
  });
}
