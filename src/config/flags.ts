import { Command, Option as Flag } from 'commander';
import type { Config } from './config.ts';
import { didYouMean } from './nearest.ts';
import type { CommandName } from './option.ts';
import { environmentName, fieldsOf, options } from './options.ts';

/**
 * The options of the table as flags of a command line. Reads what was given; judges nothing but
 * whether a flag exists. Main thread, at start only.
 */

const descriptions: Record<CommandName, string> = {
  serve: 'route requests to the configured instances',
  check: 'read the configuration as `serve` would and report every fault',
  demo: 'run the router and four emulated engines on this machine',
};

/** A command without an action, with a flag for every option that belongs to it. */
export function defineCommand(name: CommandName): Command {
  const command = new Command(name)
    .description(descriptions[name])
    // Refused together with all other faults, not one at a time.
    .allowUnknownOption()
    .allowExcessArguments();
  for (const field of fieldsOf(name)) command.addOption(flagOf(field));
  return command;
}

function flagOf(field: keyof Config): Flag {
  const { name, kind, why, unit, default: standard, defaultText } = options[field];
  const format = kind.format as (value: unknown) => string;
  const about = [unit, `default ${defaultText ?? format(standard)}`, environmentName(name)];
  const text = `${why} (${about.filter((part) => part !== '').join('; ')})`.replaceAll('`', '');
  const value = kind.standsAlone ? `[${kind.placeholder}]` : `<${kind.placeholder}>`;
  const flag = new Flag(`--${name} ${value}`, text);
  // Commander would end at the first flag that lacks its value, or take the next flag as one.
  flag.required = false;
  flag.optional = true;
  return flag;
}

export interface GivenOptions {
  /** Texts by the name of the option. */
  readonly values: ReadonlyMap<string, string>;
  readonly faults: readonly string[];
}

/** What a parsed command was given. */
export function givenOptions(command: Command): GivenOptions {
  const values = new Map<string, string>();
  const faults: string[] = [];
  for (const field of fieldsOf(command.name() as CommandName)) {
    const { name, kind } = options[field];
    const flag = command.options.find(({ long }) => long === `--${name}`)!;
    const value: string | string[] | true | undefined = command.getOptionValue(
      flag.attributeName(),
    );
    if (value === true && !kind.standsAlone) faults.push(`--${name}: needs a value`);
    else if (value !== undefined)
      values.set(name, value === true ? 'on' : [value].flat().join(' '));
  }
  faults.push(...unknownArguments(command));
  return { values, faults };
}

function unknownArguments(command: Command): string[] {
  const known = command.options.map((flag) => flag.name());
  const faults: string[] = [];
  // What follows an unknown flag is taken for its value: one mistake, one fault.
  let afterUnknown = false;
  for (const argument of command.args) {
    if (argument.startsWith('-')) {
      const flag = argument.replace(/=.*$/s, '');
      const hint = didYouMean(flag.replace(/^-+/, ''), known);
      faults.push(`${flag}: unknown option${hint}`);
      afterUnknown = true;
    } else {
      if (!afterUnknown) faults.push(`${argument}: unexpected argument`);
      afterUnknown = false;
    }
  }
  return faults;
}

/** The same without a program around it: `argv` without the name of the program. */
export function readArguments(name: CommandName, argv: readonly string[]): GivenOptions {
  const command = defineCommand(name).helpOption(false);
  return givenOptions(command.parse([...argv], { from: 'user' }));
}
