import { addon } from '../../src/core/native.ts';
import { createNativeUpstream } from '../../src/dispatch/native.ts';
import { createUndiciUpstream } from '../../src/dispatch/undici.ts';
import type { Upstream, UpstreamOptions } from '../../src/dispatch/upstream.ts';

/**
 * Whom the law of upstreams (`test/conformance/upstream-*.test.ts`) holds for. What one does
 * otherwise than the rest is stated in its row and tested as stated.
 */
export interface Implementation {
  readonly name: string;
  readonly create: (options: UpstreamOptions) => Upstream;
  /** What becomes of a `100 Continue` that the request did not ask for. */
  readonly continueUnasked: 'swallowed' | 'garbage';
  /** Shapes that are no HTTP/1.1 and are taken all the same, because they shift no boundary. */
  readonly takes: ReadonlySet<string>;
  /** Serves `https:` origins, with HTTP/2 where the instance offers it. */
  readonly speaksTls: boolean;
}

export const implementations: readonly Implementation[] = [
  {
    name: 'native',
    create: (options) => createNativeUpstream(addon, options),
    continueUnasked: 'swallowed',
    takes: new Set(),
    speaksTls: false,
  },
  {
    name: 'undici',
    create: createUndiciUpstream,
    continueUnasked: 'garbage',
    takes: new Set(['version 2.0', 'status 600', 'chunked from HTTP/1.0', 'empty lines first']),
    speaksTls: true,
  },
];
