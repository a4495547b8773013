import { describe, expect, it } from 'vitest';
import { fillBlocks } from '../../src/config/docs.ts';
import * as documents from './documents.ts';
import * as imports from './imports.ts';
import * as native from './native.ts';
import { type Check, type RepositoryFile, repositoryFiles } from './repository.ts';
import * as sizes from './sizes.ts';
import * as words from './words.ts';

/**
 * The rules this repository keeps, each with an example that breaks it: a check that finds nothing
 * wrong with its example finds nothing at all.
 */

interface Rule {
  readonly rule: string;
  readonly check: Check;
  /** Path, content and what the check must say about it. */
  readonly broken: readonly (readonly [path: string, content: string, fault: RegExp])[];
}

const lines = (count: number) => 'x;\n'.repeat(count);

const rules: readonly Rule[] = [
  {
    rule: 'imports run one way',
    check: imports.importDirection,
    broken: [
      ['src/core/a.ts', "import { b } from '../router.ts';", /imports src\/router.ts/],
      ['src/stream/a.ts', "import type { B } from '../listen/b.ts';", /imports src\/listen/],
      ['src/stream/a.ts', "import { b } from '../listen/exchange.ts';", /imports src\/listen/],
      ['src/fleet/a.ts', "export * from '../dispatch/b.ts';", /imports src\/dispatch/],
      ['src/config/a.ts', "await import('../core/native.ts');", /imports src\/core/],
      ['src/clock.ts', "import {\n  a,\n} from './config/config.ts';", /imports src\/config/],
      ['src/helpers/a.ts', '', /helpers has no place/],
    ],
  },
  {
    rule: 'one module loads the addon',
    check: imports.addonLoadedOnce,
    broken: [
      ['src/listen/a.ts', "require('../build/Release/dualmap_core.node');", /loads the/],
      ['src/a.ts', 'process.dlopen(module, file);', /loads the/],
    ],
  },
  {
    rule: 'the program imports no test code',
    check: imports.noTestCodeInSource,
    broken: [
      ['src/a.ts', "import { it } from 'vitest';", /imports vitest/],
      ['src/a.ts', "import { it } from '../test/support/it.ts';", /imports test/],
    ],
  },
  {
    rule: 'files have 400 lines at most',
    check: sizes.fileLength,
    broken: [['src/a.ts', lines(401), /401 lines/]],
  },
  {
    rule: 'lines have 100 columns at most',
    check: sizes.lineWidth,
    broken: [['native/core/a.cc', 'int a = 1; '.repeat(10), /columns/]],
  },
  {
    rule: 'functions have 70 lines at most',
    check: sizes.functionLength,
    broken: [
      ['src/a.ts', `export function a(): void {\n${lines(69)}}\n`, /a function of 71 lines/],
      ['src/a.ts', `class A {\n  a(): void {\n${lines(70)}  }\n}\n`, /a.ts:2: a function of 72/],
      ['src/a.ts', `const a = async () => {\n${lines(70)}};\n`, /a function of 72 lines/],
      ['src/a.ts', `function a(\n  b: B,\n): C {\n${lines(70)}}\n`, /a function of 72 lines/],
      ['native/a.cc', `int a(int b) noexcept {\n${lines(70)}}\n`, /a function of 72 lines/],
    ],
  },
  {
    rule: 'an inference server is called instance',
    check: words.instanceIsTheWord,
    broken: [
      ['src/a.ts', 'const workerUrl = 1;', /a.ts:1/],
      ['src/a.ts', '// the backend that', /a.ts:1/],
      ['native/core/a.h', '// an engine node', /a.h:1/],
    ],
  },
  {
    rule: 'nothing is left to do',
    check: words.nothingLeftToDo,
    broken: [['src/a.ts', '\n// TODO: more', /a.ts:2/]],
  },
  {
    rule: 'defaults are written with ??',
    check: words.noOrDefaults,
    broken: [
      ['src/a.ts', 'const a = b || 0;', /a.ts:1/],
      ['src/a.ts', "a ||= 'b';", /a.ts:1/],
      ['src/a.ts', 'const a = b ||\n  {};'.replace('\n', ''), /a.ts:1/],
    ],
  },
  {
    rule: 'no catch is empty',
    check: words.noSilentCatch,
    broken: [
      ['src/a.ts', 'try {\n  a();\n} catch {\n  // never mind\n}', /empty catch/],
      ['test/a.ts', 'a().catch(() => {});', /empty catch/],
    ],
  },
  {
    rule: 'no host of a package registry is named',
    check: words.noRegistryHosts,
    broken: [['package-lock.json', `"resolved": "https://registry${'.'}any.org/a"`, /:1/]],
  },
  {
    rule: 'no path of one machine is named',
    check: words.noMachinePaths,
    broken: [['README.md', 'run it in /home/someone/dualmap', /README.md:1/]],
  },
  {
    rule: 'both native build lists are equal, and complete',
    check: native.buildListsEqual,
    broken: [
      ['CMakeLists.txt', 'native/addon.cc native/core/gone.cc', /gone.cc is gone/],
      ['native/core/new.cc', '', /binding.gyp: lacks native\/core\/new.cc/],
    ],
  },
  {
    rule: 'only the addon knows N-API, and the core knows no event loop',
    check: native.nativeIncludes,
    broken: [
      ['native/core/a.h', '#include <napi.h>', /includes napi.h/],
      ['native/core/a.cc', '# include "node_api.h"', /includes node_api.h/],
      ['native/core/a.cc', '#include <node/uv.h>', /includes node\/uv.h/],
      ['native/addon.cc', '#include <v8.h>', /includes v8.h/],
    ],
  },
  {
    rule: 'every option and every fault is in the README',
    check: documents.readmeIsCurrent,
    broken: [
      ['README.md', 'no block at all', /has no block "options"/],
      ['README.md', makeReadme().replace('--slo-ttft-ms', '--slo'), /out of date/],
    ],
  },
  {
    rule: 'the lock file has every package that is asked for',
    check: documents.lockIsComplete,
    broken: [
      ['package-lock.json', lockOf({ 'node_modules/a': { dependencies: { b: '1' } } }), /for b/],
      [
        'package-lock.json',
        lockOf({
          'node_modules/a': { optionalDependencies: { b: '1' } },
          'node_modules/c/node_modules/b': {},
        }),
        /node_modules\/a asks for b/,
      ],
    ],
  },
  {
    rule: 'versions are pinned',
    check: documents.versionsArePinned,
    broken: [['package.json', '{"dependencies":{"a":"^1.2.3"}}', /a is not pinned/]],
  },
];

function makeReadme(): string {
  const names = ['options', 'request-faults', 'upstream-faults'];
  return fillBlocks(names.map((name) => `<!-- ${name}: -->\n<!-- end of ${name} -->`).join('\n'));
}

function lockOf(packages: object): string {
  return JSON.stringify({ packages });
}

const repository = repositoryFiles();

function replaceFile(path: string, content: string): RepositoryFile[] {
  return [...repository.filter((file) => file.path !== path), { path, content }];
}

describe.each(rules)('$rule', ({ check, broken }) => {
  it('here', () => {
    expect(check(repository)).toEqual([]);
  });

  for (const [path, content, fault] of broken) {
    it(`finds "${fault.source}" in ${path}`, () => {
      const already = check(repository);
      const faults = check(replaceFile(path, content)).filter((one) => !already.includes(one));
      expect(faults.join('\n')).toMatch(fault);
    });
  }
});

it('the repository is read at all', () => {
  const paths = repository.map(({ path }) => path);
  expect(paths).toEqual(expect.arrayContaining(['package.json', 'src/errors.ts', '.ci/run']));
  expect(paths.filter((path) => path.startsWith('node_modules'))).toEqual([]);
});
