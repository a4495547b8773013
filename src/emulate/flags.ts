/**
 * The flags of `dualmap emulate`. Reads text into options; `presets.ts` and `switches.ts` judge
 * them.
 */
import { Command } from 'commander';
import { type EngineName, engineNames } from './metrics.ts';
import { type PresetName, presets } from './presets.ts';
import { parseSwitches } from './switches.ts';

export function emulateCommand(): Command {
  const command = new Command('emulate')
    .description('run one emulated engine: OpenAI routes, a real prefix cache model, metrics')
    .option('--host <HOST>', 'address to listen on', '127.0.0.1')
    .option('--port <N>', 'port to listen on; 0 takes a free one', '9001')
    .option('--preset <NAME>', Object.keys(presets).join(' | '), 'paper-7b')
    .option('--engine <NAME>', `whose metrics it speaks: ${engineNames.join(' | ')}`, 'vllm')
    .option('--time-scale <K>', 'times faster than life', '1')
    .option('--model <NAME>', "the one model it serves (default: the preset's)")
    .option('--cache-blocks <N>', 'blocks of 512 tokens that its prefix cache holds')
    .option(
      '--switches <LIST>',
      'faults on purpose, for tests: fail,hang,reset,garbage,unavailable,refuseHealth,' +
        'closeKeepAlive,resetAfterEvents=N,slow=K',
    );
  return command.action(async () => {
    const given = command.opts<Record<string, string | undefined>>();
    const optional = {
      ...(given.model === undefined ? {} : { model: given.model }),
      ...(given.cacheBlocks === undefined ? {} : { cacheBlocksMax: Number(given.cacheBlocks) }),
      ...(given.switches === undefined ? {} : { switches: parseSwitches(given.switches) }),
    };
    const { runEmulate } = await import('./command.ts');
    await runEmulate({
      preset: given.preset as PresetName,
      engine: given.engine as EngineName,
      host: given.host!,
      port: Number(given.port),
      timeScale: Number(given.timeScale),
      ...optional,
    });
  });
}
