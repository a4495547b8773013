/**
 * The flags of `dualmap bench`. What they mean is checked by the commands' own modules, which are
 * loaded only when they run.
 */
import { Command } from 'commander';

export function benchCommand(): Command {
  const bench = new Command('bench').description('measure the router against its budgets');
  bench.addCommand(overhead());
  bench.addCommand(decide());
  return bench;
}

function overhead(): Command {
  return new Command('overhead')
    .description('the cost of a proxied request and chunk beside nginx and HAProxy')
    .option('--rounds <N>', 'rounds in turn; the table shows their medians (default: 3)')
    .option('--seconds <S>', 'length of one measurement (default: 5)')
    .option('--only <CELLS>', 'names of cells, with commas; see bench/README.md (default: all)')
    .option('--quick', 'every kind of load once, for a moment: a smoke test, not a measurement')
    .option(
      '--router-command <COMMAND>',
      'another router, with %PORT%, %UPSTREAM% (URLs) and, to measure two, %THREADS%',
    )
    .option('--json <FILE>', 'write the result; the chart goes beside it, as .svg')
    .action(async (given) => {
      const { overheadCommand } = await import('./overhead/command.ts');
      process.exitCode = await overheadCommand(given);
    });
}

function decide(): Command {
  return new Command('decide')
    .description('the speed of one decision, and of the stages it is made of')
    .option('--instances <N>', 'instances of the fleet (default: 64)')
    .option('--seconds <S>', 'length of one measurement (default: 2)')
    .option('--rounds <N>', 'rounds of what is compared (default: 3)')
    .option('--only <STAGES>', 'names of stages, with commas (default: all)')
    .option('--json <FILE>', 'write the result')
    .action(async (given) => {
      const { decideCommand } = await import('./decide.ts');
      process.exitCode = await decideCommand(given);
    });
}
