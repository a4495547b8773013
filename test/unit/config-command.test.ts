import { Command } from 'commander';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { checkCommand, configCommand } from '../../src/config/command-line.ts';
import type { Config } from '../../src/config/config.ts';
import { blocks, fillBlocks } from '../../src/config/docs.ts';
import { defineCommand } from '../../src/config/flags.ts';
import { fieldsOf, options } from '../../src/config/options.ts';
import { requestFaults, upstreamFaults } from '../../src/errors.ts';

afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

/** Runs `dualmap ARGUMENTS` with the given commands; what it wrote comes back. */
async function run(commands: Command[], argv: string[]) {
  const out = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const err = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const program = new Command('dualmap');
  for (const command of commands) program.addCommand(command);
  await program.parseAsync(argv, { from: 'user' });
  const text = (spy: typeof out) => spy.mock.calls.map(([line]) => line).join('');
  return { out: text(out), err: text(err), exitCode: process.exitCode };
}

describe('commands', () => {
  it('a good configuration reaches the command', async () => {
    let seen: Config | null = null;
    const command = configCommand('serve', (config) => {
      seen = config;
    });
    const result = await run([command], ['serve', '--worker-urls', 'http://a', '--port', '81']);
    expect(seen).toMatchObject({ port: 81, instances: [{ url: 'http://a' }] });
    expect(result).toEqual({ out: '', err: '', exitCode: undefined });
  });

  it('a faulty one never does: every fault on its line, exit code 2', async () => {
    const never = vi.fn();
    const result = await run([configCommand('serve', never)], ['serve', '--port', 'x', '--pol']);
    expect(never).not.toHaveBeenCalled();
    expect(result.exitCode).toBe(2);
    expect(result.err.trimEnd().split('\n')).toEqual([
      'dualmap serve: --pol: unknown option; did you mean policy?',
      'dualmap serve: --port: "x" is refused; expected a whole number from 0 to 65,535',
      expect.stringMatching(/^dualmap serve: no instance is configured/),
    ]);
  });

  it('check says what it found', async () => {
    const good = await run([checkCommand()], ['check', '--worker-urls', 'http://a,http://b']);
    expect(good).toEqual({ out: 'no fault: 2 instances\n', err: '', exitCode: undefined });
    const none = await run([checkCommand()], ['check']);
    expect(none.exitCode).toBe(2);
  });

  it('a command fails as its action does', async () => {
    const command = configCommand('serve', () => Promise.reject(new Error('port in use')));
    await expect(run([command], ['serve', '--worker-urls', 'http://a'])).rejects.toThrow('in use');
  });

  it('help names every option with its default and its variable', () => {
    const help = defineCommand('serve').helpInformation().replace(/\s+/g, ' ');
    for (const field of fieldsOf('serve')) expect(help).toContain(`--${options[field].name} `);
    expect(help).toContain('(ms; default 5000; DUALMAP_SLO_TTFT_MS)');
    expect(help).toContain('--explain [on|off]');
  });
});

describe('blocks of the README', () => {
  const empty = Object.keys(blocks)
    .map((name) => `<!-- ${name}: anything -->\nstale text\n<!-- end of ${name} -->`)
    .join('\nbetween\n');

  it('are made anew and leave the rest alone', () => {
    const filled = fillBlocks(`before $& $1\n${empty}\nafter\n`);
    expect(filled).toMatch(/^before \$& \$1\n/);
    expect(filled.match(/^(between|after)$/gm)).toHaveLength(3);
    expect(filled).not.toContain('stale text');
    expect(fillBlocks(filled)).toBe(filled);
  });

  it('have a row for every option and every fault', () => {
    const filled = fillBlocks(empty);
    for (const { name } of Object.values(options)) expect(filled).toContain(`| \`--${name}\` |`);
    for (const code of Object.keys({ ...requestFaults, ...upstreamFaults })) {
      expect(filled).toContain(`| \`${code}\` |`);
    }
    const cells = filled.split('\n').filter((line) => line.startsWith('|'));
    for (const line of cells) expect(line).not.toMatch(/undefined|null|NaN|\[object/);
  });

  it('must be there', () => {
    expect(() => fillBlocks('nothing')).toThrow('no block "options"');
  });
});
