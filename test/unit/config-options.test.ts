import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { commandNames } from '../../src/config/option.ts';
import { environmentName, fieldsOf, options } from '../../src/config/options.ts';

/** Generated from the table: what an option says of itself holds in every source it can come from. */

const fields = Object.keys(options) as (keyof Config)[];
const noFile = () => {
  throw new Error('no such file');
};

function withInstance(field: keyof Config): string[] {
  return field === 'instances' ? [] : ['--worker-urls', 'http://instance:8000'];
}

/** Loads with one option given by each source in turn. */
function fromEverySource(field: keyof Config, text: string) {
  const { name } = options[field];
  const argv = withInstance(field);
  // YAML strings in JSON's notation: every text can be written so, the empty one too.
  const file = { env: {}, readFile: () => `${name}: ${JSON.stringify(text)}\n` };
  const results = [
    loadConfig({ argv: [...argv, `--${name}=${text}`], env: {}, readFile: () => '' }),
    loadConfig({ argv, env: { [environmentName(name)]: text }, readFile: () => '' }),
  ];
  if (field !== 'configFile') results.push(loadConfig({ argv: [...argv, '--config=f'], ...file }));
  return results;
}

describe.each(fields)('%s', (field) => {
  const { name, kind, unit, why, secret, default: standard } = options[field];
  const parse = kind.parse as (text: string) => { value?: unknown; faults?: string[] };
  const format = kind.format as (value: unknown) => string;

  it('has a name, a unit or none, and a reason that fits a line of help', () => {
    expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(unit).toMatch(/^[a-z]*$/);
    expect(why.length).toBeGreaterThan(15);
    expect(why).not.toMatch(/[|\n]/);
  });

  it('has a default that it would take from a user', () => {
    if (field === 'instances') return;
    expect(parse(format(standard))).toEqual({ value: standard });
  });

  it.each(kind.edges.taken)('takes %j from every source', (text) => {
    for (const { config, faults } of fromEverySource(field, text)) {
      // Two options may disagree about values that are good each for itself.
      expect(faults.filter((fault) => !/backoff|max-instances/.test(fault))).toEqual([]);
      if (config !== null) expect(config[field]).toEqual(parse(text).value);
    }
    const { value } = parse(text);
    expect(parse(format(value))).toEqual({ value });
  });

  it.each(kind.edges.refused)('refuses %j from every source', (text) => {
    for (const { config, faults } of fromEverySource(field, text)) {
      expect(config).toBeNull();
      expect(faults).toHaveLength(1);
      expect(faults[0]).toMatch(new RegExp(`${name}|${environmentName(name)}`));
      if (secret === true && text !== '') expect(faults[0]).not.toContain(text);
    }
  });
});

it('no name, no variable and no field stands twice', () => {
  const names = fields.map((field) => options[field].name);
  expect(new Set(names.map(environmentName)).size).toBe(fields.length);
});

it('the table gives every command at least its listening options', () => {
  for (const command of commandNames) expect(fieldsOf(command)).toContain('port');
  expect(fieldsOf('demo')).not.toContain('instances');
});

it('the defaults alone are a configuration, once there is an instance', () => {
  const argv = ['--worker-urls', 'http://instance:8000'];
  const { config } = loadConfig({ argv, env: {}, readFile: noFile });
  for (const field of fields) {
    if (field !== 'instances') expect(config?.[field]).toBe(options[field].default);
  }
});
