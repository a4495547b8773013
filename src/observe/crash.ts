/**
 * Owns how a process of ours ends after an error that nobody caught: one line in the log, then at
 * once. Each I/O thread and the main thread of the command calls it once; the library does not on
 * the main thread, which is its user's.
 */
import { exitNow } from '../core/native.ts';
import type { Log } from './log.ts';

/** Exit code after an uncaught error: EX_SOFTWARE. */
const brokenInvariant = 70;

/**
 * Node's own way would unwind the I/O threads with uWebSockets.js sockets open, which aborts the
 * process.
 */
export function endOnUncaughtError(log: Log): void {
  process.on('uncaughtException', (error) => {
    try {
      // Anything can be thrown, an Error or not.
      const stack = error instanceof Error ? error.stack : String(error);
      log.fatal({ stack }, 'uncaught error, the process ends');
    } finally {
      exitNow(brokenInvariant);
    }
  });
}
