/**
 * A router that runs until it is told to stop: SIGTERM or SIGINT drains, a second one ends at once.
 * An uncaught error ends the process, as in an I/O thread. Main thread.
 */
import type { Config } from './config/config.ts';
import { exitNow } from './core/native.ts';
import { endOnUncaughtError } from './observe/crash.ts';
import { createLog } from './observe/log.ts';
import { startRouter } from './serve.ts';

/** Exit code of a process ended by its second signal: 128 + SIGTERM. */
const endedAtOnce = 143;

/** Resolves when the router was told to stop and every request has ended. */
export async function serveUntilTold(
  config: Config,
  onListening: (url: string) => void,
): Promise<void> {
  const { logLevel: level, logJson: json } = config;
  endOnUncaughtError(createLog({ level, json, thread: 'main' }));
  const told = new Promise<void>((resolve) => {
    let signals = 0;
    const stop = () => {
      signals += 1;
      if (signals > 1) exitNow(endedAtOnce);
      resolve();
    };
    process.on('SIGTERM', stop).on('SIGINT', stop);
  });
  const router = await startRouter(config);
  onListening(router.url);
  await told;
  await router.close();
}
