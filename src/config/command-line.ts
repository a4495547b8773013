import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { Config } from './config.ts';
import { defineCommand, givenOptions } from './flags.ts';
import { resolveConfig } from './load.ts';
import type { CommandName } from './option.ts';

/**
 * Commands that start with a whole configuration (`serve`, `check`, `demo`), and the one place
 * where a faulty configuration ends the process. Main thread, at start only.
 */

/** Runs `run` with the configuration, or prints every fault and sets exit code 2. */
export function configCommand(
  name: CommandName,
  run: (config: Config) => Promise<void> | void,
): Command {
  const command = defineCommand(name);
  return command.action(async () => {
    const { config, faults } = resolveConfig({
      command: name,
      given: givenOptions(command),
      env: process.env,
      readFile: (path) => readFileSync(path, 'utf8'),
    });
    for (const fault of faults) process.stderr.write(`dualmap ${name}: ${fault}\n`);
    if (config === null) process.exitCode = 2;
    else await run(config);
  });
}

/** `dualmap check`: what `configCommand` does, and a word when there is no fault. */
export function checkCommand(): Command {
  return configCommand('check', ({ instances, configFile }) => {
    const source = configFile === null ? '' : ` (${configFile})`;
    process.stdout.write(`no fault${source}: ${instances.length} instances\n`);
  });
}
