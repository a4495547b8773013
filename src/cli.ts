#!/usr/bin/env node
/**
 * The command `dualmap`: names the commands and hands over to their modules, each loaded only when
 * its command runs. Nothing is computed here. Exit codes: 0 done, 1 failed, 2 a fault in what was
 * given.
 */
import { Command } from 'commander';
import { benchCommand } from './bench/command.ts';
import { checkCommand, configCommand } from './config/command-line.ts';
import { emulateCommand } from './emulate/flags.ts';
import { replayOptionRows } from './replay/options.ts';
import { simulateOptionRows } from './simulate/options.ts';

const program = new Command('dualmap').description(
  'A router for LLM inference fleets: cache reuse and load balance together.',
);

program.addCommand(
  configCommand('serve', async (config) => {
    const { serveUntilTold } = await import('./run.ts');
    await serveUntilTold(config, (url) => {
      process.stdout.write(`dualmap serves on ${url}\n`);
    });
  }),
);
program.addCommand(
  configCommand('demo', async (config) => {
    const { runDemo } = await import('./demo.ts');
    await runDemo(config);
  }),
);
program.addCommand(checkCommand());
program.addCommand(emulateCommand());
program.addCommand(replay());
program.addCommand(simulate());
program.addCommand(benchCommand());

const faultyOptions = 2;

/** `dualmap replay`, with a flag for every row of its table. */
function replay(): Command {
  const command = new Command('replay').description(
    'send the requests of a trace to a live router, in open loop',
  );
  for (const { flag, help } of replayOptionRows) command.option(flag, help);
  return command.action(async () => {
    const { replayCommand } = await import('./replay/command.ts');
    process.exitCode = await replayCommand(command.opts());
  });
}

/** `dualmap simulate`, with a flag for every row of its table. */
function simulate(): Command {
  const command = new Command('simulate').description(
    'run a trace through policies on a simulated fleet, to compare them',
  );
  for (const { flag, help } of simulateOptionRows) command.option(flag, help);
  return command.action(async () => {
    const { simulateCommand } = await import('./simulate/command.ts');
    process.exitCode = await simulateCommand(command.opts());
  });
}

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`dualmap: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof RangeError ? faultyOptions : 1;
}
