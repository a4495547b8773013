import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RequestFault } from '../../src/errors.ts';
import type { Exchange } from '../../src/listen/exchange.ts';
import { answerFault, matchRoute } from '../../src/listen/openai.ts';

const code = (method: string, path: string): string => {
  const route = matchRoute(method, path);
  return route instanceof RequestFault ? route.code : route;
};

describe('matchRoute', () => {
  it.each([
    ['POST', '/v1/chat/completions', 'chat'],
    ['POST', '/v1/completions', 'completion'],
    ['POST', '/v1/embeddings', 'embedding'],
    ['GET', '/v1/models', 'models'],
    ['HEAD', '/v1/models', 'models'],
    ['GET', '/health', 'health'],
    ['GET', '/liveness', 'health'],
    ['GET', '/readiness', 'readiness'],
    ['GET', '/metrics', 'metrics'],
    ['GET', '/workers', 'fleet'],
    ['POST', '/workers', 'fleet'],
    ['GET', '/workers/0123456789abcdef', 'instance'],
    ['DELETE', '/workers/0123456789abcdef', 'instance'],
    ['POST', '/tokenize', 'pass'],
    ['POST', '/detokenize', 'pass'],
    ['POST', '/v1/responses', 'pass'],
    ['GET', '/v1/responses/resp_68af4030', 'pass'],
    ['POST', '/v1/audio/transcriptions', 'pass'],
    ['GET', '/v1/models/meta-llama/Llama-3.1-8B', 'pass'],
    ['DELETE', '/v1/files/file-abc', 'pass'],
    ['PUT', '/v1/x', 'pass'],
    ['PATCH', '/v1/x', 'pass'],
    ['OPTIONS', '/v1/x', 'pass'],
  ])('%s %s is %s', (method, path, route) => {
    expect(matchRoute(method, path)).toBe(route);
  });

  it.each([
    ['GET', '/v1/chat/completions', 'POST'],
    ['DELETE', '/v1/completions', 'POST'],
    ['PUT', '/v1/embeddings', 'POST'],
    ['POST', '/v1/models', 'GET, HEAD'],
    ['POST', '/health', 'GET, HEAD'],
    ['DELETE', '/metrics', 'GET, HEAD'],
    ['DELETE', '/workers', 'GET, HEAD, POST'],
    ['POST', '/workers/0123456789abcdef', 'GET, HEAD, DELETE'],
    ['TRACE', '/v1/x', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
    ['get', '/health', 'GET, HEAD'],
    ['BREW', '/tokenize', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
  ])('%s %s is 405, allow %s', (method, path, allow) => {
    const fault = matchRoute(method, path) as RequestFault;
    expect(fault.status).toBe(405);
    const headers = fault.headers();
    expect(headers[headers.indexOf('allow') + 1]).toBe(allow);
    expect(headers).toContain('application/json');
  });

  const control = [
    'abort_request',
    'collective_rpc',
    'flush_cache',
    'get_weights_by_name',
    'init_weights_update_group',
    'is_sleeping',
    'load_lora_adapter',
    'loras',
    'pause',
    'release_memory_occupation',
    'reset_mm_cache',
    'reset_prefix_cache',
    'resume',
    'scale_elastic_ep',
    'server_info',
    'sleep',
    'start_profile',
    'stop_profile',
    'unload_lora_adapter',
    'update_weights',
    'update_weights_from_disk',
    'wake_up',
  ];
  const prefixes = ['/', '/v1/', '/V1/', '/v1/x/', '/tokenize/', '/v1/models/../', '/v1//'];

  it.each(control)('%s is not reachable, wherever and however it is written', (name) => {
    const spellings = [
      name,
      name.toUpperCase(),
      `${name}/`,
      `${name}/x`,
      `./${name}`,
      `x/../${name}`,
      `${name};a=b`,
      `${name}%00`,
      `${name}\0`,
      `${name}%3Fx`,
      `%${name.charCodeAt(0).toString(16)}${name.slice(1)}`,
      `%25${name.charCodeAt(0).toString(16)}${name.slice(1)}`,
      `..%2f${name}`,
      `..%5c${name}`,
      `..\\${name}`,
      `${name}#`,
      ` ${name}`,
      `${name} `,
      `${name}\t`,
      `${name}\r\n`,
      `${name}\n`,
    ];
    const reachable: string[] = [];
    for (const path of prefixes.flatMap((prefix) => spellings.map((text) => prefix + text))) {
      if (code('GET', path) !== 'unknown_route' || code('POST', path) !== 'unknown_route') {
        reachable.push(path);
      }
    }
    expect(reachable).toEqual([]);
  });

  it.each([
    '',
    '/',
    '*',
    '/v1',
    '/v1/',
    '/v2/chat/completions',
    '/v1/chat/completions/',
    '/v1/chat//completions',
    '//v1/chat/completions',
    '/./v1/chat/completions',
    '/v1/./chat/completions',
    '/v1/chat/../chat/completions',
    '/v1/...',
    '/v1/x/.',
    '/v1/x/..',
    '/v1/Chat/Completions%20',
    '/v1/ä',
    '/v1/\u212a',
    '/health/',
    '/Health',
    '/tokenize/x',
    '/tokenizer_info',
    '/generate',
    'http://x/v1/models',
    'v1/models',
  ])('%j is unknown', (path) => {
    for (const method of ['GET', 'POST', 'TRACE']) expect(code(method, path)).toBe('unknown_route');
  });

  it('passes only what every server reads in one way', () => {
    const piece = fc.oneof(
      fc.string({ maxLength: 6, unit: 'binary' }),
      fc.constantFrom(
        '.',
        '..',
        '/',
        '\\',
        '%2e',
        '%2F',
        ';',
        '?',
        'sleep',
        'loras',
        'a',
        '~',
        '\0',
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        const path = `/v1/${pieces.join('')}`;
        if (matchRoute('DELETE', path) !== 'pass') return;
        // The strictest reader we know agrees, and no segment steers an engine.
        expect(new URL(path, 'http://x').pathname).toBe(path);
        expect(decodeURIComponent(path)).toBe(path);
        expect(path).not.toMatch(/[^\w./-]|\/\/|\/$/);
        expect(path.split('/')).not.toContain('sleep');
        expect(path.split('/')).not.toContain('loras');
      }),
      { numRuns: 500 },
    );
  });

  it('takes a long path in linear time', () => {
    const start = performance.now();
    expect(code('GET', `/v1${'/..a'.repeat(20_000)}!`)).toBe('unknown_route');
    expect(code('GET', `/v1/${'.'.repeat(100_000)}`)).toBe('unknown_route');
    expect(performance.now() - start).toBeLessThan(1_000);
  });
});

describe('answerFault', () => {
  it('has the shape of OpenAI, the id, and what belongs to the fault', () => {
    const calls: unknown[] = [];
    const exchange = {
      cork: (body: () => void) => body(),
      head: (...args: unknown[]) => calls.push(args),
      end: (text: string) => calls.push(JSON.parse(text)),
    } as unknown as Exchange;
    const fault = new RequestFault('overloaded', 'later', { retryAfterSeconds: 2 });
    answerFault(exchange, fault, 'id-1');
    expect(calls).toEqual([
      [429, ['content-type', 'application/json', 'retry-after', '2', 'x-request-id', 'id-1']],
      { error: { message: 'later', type: 'rate_limit_error', param: null, code: 'overloaded' } },
    ]);
  });
});
