import { type EngineOptions, engineOptionFaults } from './presets.ts';
import { startEngine } from './server.ts';

/**
 * Owns `dualmap emulate`: one engine, from its start to SIGTERM or SIGINT. Main thread. Prints one
 * line with the URL once the engine listens, and nothing else on standard output.
 */

/** Resolves when the engine was told to stop and has closed. Bad options: all named, exit code 2. */
export async function runEmulate(options: EngineOptions): Promise<void> {
  const faults = engineOptionFaults(options);
  if (faults.length > 0) {
    for (const fault of faults) process.stderr.write(`dualmap emulate: ${fault}\n`);
    process.exitCode = 2;
    return;
  }
  const engine = await startEngine(options);
  const told = new Promise<void>((resolve) => {
    const stop = (): void => {
      // A second signal ends the process at once.
      process.off('SIGTERM', stop).off('SIGINT', stop);
      resolve();
    };
    process.on('SIGTERM', stop).on('SIGINT', stop);
  });
  process.stdout.write(
    `emulated engine ${options.preset}, time scale ${options.timeScale ?? 1}, on ${engine.url}\n`,
  );
  await told;
  await engine.close();
}
