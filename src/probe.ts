/**
 * One GET of main's to an instance: health, models, metrics. Main thread. An answer that is slow or
 * too long is a failure: nobody here waits or remembers without a bound.
 */
import type { Upstream } from './dispatch/upstream.ts';
import type { Probe } from './fleet/health.ts';

/** Metrics of an engine with all their histograms are 200 KB. */
const answerBytesMax = 4 * 1024 * 1024;

/** A probe over an upstream client; its body as text. */
export function probeBy(upstream: Upstream): Probe {
  return (url, path, timeoutMs) =>
    new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      let status = 0;
      const request = { origin: url, method: 'GET', path, headers: [], body: null };
      const giveUp = (why: string) => {
        clearTimeout(timer);
        call.cancel();
        reject(new Error(`GET ${path}: ${why}`));
      };
      const call = upstream.send(request, {
        onHead: (answered) => {
          status = answered;
        },
        onData: (chunk) => {
          bytes += chunk.byteLength;
          if (bytes <= answerBytesMax) chunks.push(Buffer.from(chunk));
          else giveUp(`the answer exceeds ${answerBytesMax} bytes`);
        },
        onEnd: () => {
          clearTimeout(timer);
          resolve({ status, body: Buffer.concat(chunks).toString('utf8') });
        },
        onFault: (fault) => {
          clearTimeout(timer);
          reject(fault);
        },
      });
      const timer = setTimeout(() => giveUp(`no answer within ${timeoutMs} ms`), timeoutMs);
    });
}
