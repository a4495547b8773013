import cliProgress from 'cli-progress';
import type { Load } from './load.ts';

/**
 * The progress bar of a replay, on a terminal only. Main thread. It looks at the load now and then
 * and is never called by it.
 */

const refreshMs = 250;

/** Draws until the returned function is called. */
export function showProgress(load: Load, total: number): () => void {
  if (!process.stderr.isTTY) return () => undefined;
  const bar = new cliProgress.SingleBar({
    format: '{bar} {value}/{total} | {inFlight} in flight | {left} s left to send',
    clearOnComplete: true,
    hideCursor: true,
  });
  const read = () => ({
    inFlight: load.inFlightCount,
    left: Math.ceil(load.sendLeftMs / 1000),
  });
  bar.start(total, 0, read());
  const timer = setInterval(() => bar.update(load.settledCount, read()), refreshMs);
  return () => {
    clearInterval(timer);
    bar.stop();
  };
}
