import { RequestFault } from '../errors.ts';
import type { Exchange, ExchangeHandler, ListenOptions } from './exchange.ts';
import { headBytes, requestIdOf } from './headers.ts';
import { answerFault } from './openai.ts';

/**
 * What both front ends do with a request before and around its handler. Thread of the listener.
 */

/** An exchange as its front end knows it. */
export interface ServedExchange extends Exchange {
  /** See `announcedBodyBytes`. */
  readonly announcedBytes: number | null;
}

/**
 * Serves one exchange, unless its head is refused. An error of the handler is a broken invariant:
 * the connection is closed and the error thrown again outside of any callback, where it reaches
 * `uncaughtException` and by default ends the process. It never becomes a 500.
 */
export function serve(
  exchange: ServedExchange,
  options: ListenOptions,
  handler: ExchangeHandler,
): void {
  try {
    if (refused(exchange, options)) return;
    const result = handler(exchange);
    if (result !== undefined) result.then(undefined, (error) => crash(exchange, error));
  } catch (error) {
    crash(exchange, error);
  }
}

function refused(exchange: ServedExchange, options: ListenOptions): boolean {
  // Another reader of the same bytes might see other requests in them: there is no answer to give.
  if (exchange.announcedBytes === null) {
    exchange.destroy();
    return true;
  }
  const { headerCountMax, headerBytesMax } = options;
  if (exchange.headers.length / 2 > headerCountMax || headBytes(exchange) > headerBytesMax) {
    const limits = `${headerCountMax} header fields, ${headerBytesMax} bytes`;
    const fault = new RequestFault('headers_too_large', `the request head exceeds ${limits}`);
    answerFault(exchange, fault, requestIdOf(exchange));
    return true;
  }
  return false;
}

function crash(exchange: Exchange, error: unknown): void {
  exchange.destroy();
  setImmediate(() => {
    throw error;
  });
}

/** The one error of a port that cannot be had. */
export function portUnavailable(options: Pick<ListenOptions, 'host' | 'port'>, cause?: unknown) {
  const where = `${options.host}:${options.port}`;
  const reason = cause instanceof Error ? `: ${cause.message}` : '';
  return new Error(`cannot listen on ${where}: is another process using it?${reason}`, { cause });
}
