import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/**
 * The decisions of src/setup.mjs and native/install.mjs. What they then start (npm, a compiler) is
 * tried by every run of `npm test` on a clean clone, which begins with them. Both files are plain
 * JavaScript without types, so they come in untyped.
 */
const root = fileURLToPath(new URL('../..', import.meta.url));
const load = (path: string) => import(join(root, path));
const { nodeIsSupported, packagesAreCurrent } = await load('src/setup.mjs');
const install = await load('native/install.mjs');

let scratch = '';
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'dualmap-setup-'));
});
afterEach(() => rmSync(scratch, { recursive: true }));

function put(path: string, content = ''): void {
  mkdirSync(dirname(join(scratch, path)), { recursive: true });
  writeFileSync(join(scratch, path), content, { mode: 0o755 });
}

describe('Node', () => {
  it.each([
    ['20.19.0', true],
    ['22.0.0', true],
    ['24.21.0', true],
    ['20.18.3', false],
    ['18.20.0', false],
  ])('%s: %s', (version, supported) => {
    expect(nodeIsSupported(version, '>=20.19')).toBe(supported);
  });
});

describe('packages', () => {
  const lock = (packages: object) => ({ packages: { '': { version: '0.1.0' }, ...packages } });
  const a = { version: '1.0.0', integrity: 'sha512-a' };

  it('are current if npm recorded all of them', () => {
    expect(packagesAreCurrent(lock({ 'node_modules/a': a }), lock({ 'node_modules/a': a }))).toBe(
      true,
    );
  });

  it.each([
    ['lacks one', {}],
    ['has another version', { 'node_modules/a': { ...a, version: '1.0.1' } }],
    ['has other content', { 'node_modules/a': { ...a, integrity: 'sha512-b' } }],
  ])('are not if node_modules %s', (_, installed) => {
    expect(packagesAreCurrent(lock({ 'node_modules/a': a }), lock(installed))).toBe(false);
  });

  it('of other platforms may be missing', () => {
    const other = { 'node_modules/b-darwin': { ...a, optional: true } };
    expect(packagesAreCurrent(lock(other), lock({}))).toBe(true);
  });
});

describe('stamps', () => {
  const stamp = () => install.contentStamp(scratch, install.listFiles(scratch, 'src', /\.ts$/));

  it('change with a name, a content and a new file, and with nothing else', () => {
    put('src/a.ts', 'one');
    const first = stamp();
    put('src/a.ts', 'one');
    put('src/note.md', 'not a source');
    expect(stamp()).toBe(first);
    put('src/a.ts', 'two');
    const second = stamp();
    put('src/deep/b.ts', '');
    const third = stamp();
    rmSync(join(scratch, 'src/deep/b.ts'));
    put('src/deep/c.ts', '');
    expect(new Set([first, second, third, stamp()]).size).toBe(4);
  });

  it('do not run one file into the next', () => {
    put('src/a.ts', 'xy');
    put('src/b.ts', '');
    const first = stamp();
    put('src/a.ts', 'x');
    put('src/b.ts', 'y');
    expect(stamp()).not.toBe(first);
  });

  it('an addon is current only with the stamp of these sources', () => {
    put('native/core/a.cc', 'one');
    put('build/Release/dualmap_core.node', 'binary');
    expect(install.addonIsCurrent(scratch)).toBe(false);
    put('build/dualmap_core.stamp', install.addonStamp(scratch));
    expect(install.addonIsCurrent(scratch)).toBe(true);
    put('native/test/test.cc', 'no part of it');
    expect(install.addonIsCurrent(scratch)).toBe(true);
    put('native/core/a.cc', 'two');
    expect(install.addonIsCurrent(scratch)).toBe(false);
    put('build/dualmap_core.stamp', install.addonStamp(scratch));
    rmSync(join(scratch, 'build/Release/dualmap_core.node'));
    expect(install.addonIsCurrent(scratch)).toBe(false);
  });
});

describe('what a build needs', () => {
  const ways = () => install.buildWays(root, join(scratch, 'bin')).map((way: Way) => way.name);
  interface Way {
    readonly name: string;
  }

  it('a bare machine: everything missing is named at once, with its package', () => {
    expect(ways).toThrow(/g\+\+\n.* make\n.* cmake$/);
  });

  it('cmake-js first, node-gyp second', () => {
    for (const tool of ['g++', 'make', 'python3']) put(`bin/${tool}`);
    expect(ways()).toEqual(['node-gyp']);
    put('bin/cmake');
    expect(ways()).toEqual(['cmake-js', 'node-gyp']);
  });

  it('neither cmake nor python3', () => {
    for (const tool of ['clang++', 'make']) put(`bin/${tool}`);
    expect(ways).toThrow(/missing:\n {2}cmake or python3: apt-get install cmake$/);
  });

  it('a folder or a file that nobody may run is no tool', () => {
    mkdirSync(join(scratch, 'bin/g++'), { recursive: true });
    writeFileSync(join(scratch, 'bin/make'), '', { mode: 0o644 });
    expect(install.findCommand(['g++', 'make'], join(scratch, 'bin'))).toBeNull();
    put('more/make');
    const path = `${join(scratch, 'bin')}:${join(scratch, 'more')}`;
    expect(install.findCommand(['make'], path)).toBe(join(scratch, 'more/make'));
  });
});

it('a checkout reached by a symbolic link is set up all the same', () => {
  put('real/main.mjs');
  symlinkSync(join(scratch, 'real'), join(scratch, 'link'));
  const [node, ...argv] = process.argv;
  try {
    process.argv = [node!, join(scratch, 'link/main.mjs')];
    expect(install.isMain(`file://${join(scratch, 'real/main.mjs')}`)).toBe(true);
    expect(install.isMain(`file://${join(scratch, 'real/other.mjs')}`)).toBe(false);
  } finally {
    process.argv = [node!, ...argv];
  }
});
