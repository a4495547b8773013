/**
 * Where the files of `bench overhead` lie: configurations to fill in, and programs of ours that run
 * as processes of their own. Main thread.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../environment.ts';

export const overheadFile = (name: string): string => join(packageRoot, 'bench/overhead', name);

/** The built file of a program; sources run by a test runner find it in dist/. */
export const programUrl = (name: string): string =>
  join(packageRoot, 'dist/bench/overhead', `${name}.js`);

/** Writes a configuration with its places filled in; returns its path. */
export function fillTemplate(
  name: string,
  folder: string,
  values: Readonly<Record<string, string>>,
): string {
  const template = readFileSync(overheadFile(name), 'utf8');
  const text = template.replaceAll(/%([A-Z_]+)%/g, (place, key: string) => {
    const value = values[key];
    if (value === undefined) throw new Error(`${name}: nothing to fill in for ${place}`);
    return value;
  });
  const path = join(folder, `${values.PORT ?? 'instances'}-${name}`);
  writeFileSync(path, text);
  return path;
}
