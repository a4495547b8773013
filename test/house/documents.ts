import { blocks, fillBlocks } from '../../src/config/docs.ts';
import type { Check } from './repository.ts';
import { fileAt } from './repository.ts';

/** Every option and every fault is in the README, as the tables of the code have it. */
export const readmeIsCurrent: Check = (files) => {
  const readme = fileAt(files, 'README.md');
  if (readme === null) return ['README.md: is missing'];
  const lacking = Object.keys(blocks).filter((name) => !readme.includes(`<!-- end of ${name} -->`));
  if (lacking.length > 0) return lacking.map((name) => `README.md: has no block "${name}"`);
  return fillBlocks(readme) === readme ? [] : ['README.md: is out of date; npm run docs'];
};

interface Lock {
  readonly packages: Readonly<
    Record<
      string,
      {
        readonly dependencies?: Readonly<Record<string, string>>;
        readonly optionalDependencies?: Readonly<Record<string, string>>;
      }
    >
  >;
}

/** `npm ci` refuses a lock file that lacks a package another one asks for, optional or not. */
export const lockIsComplete: Check = (files) => {
  const content = fileAt(files, 'package-lock.json');
  if (content === null) return ['package-lock.json: is missing'];
  const { packages } = JSON.parse(content) as Lock;
  return Object.entries(packages).flatMap(([path, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies })
      .filter((name) => !foldersAbove(path).some((at) => `${at}node_modules/${name}` in packages))
      .map((name) => `package-lock.json: ${path} asks for ${name}, which is not in there`),
  );
};

/** Where Node looks for a package from inside another one: `a/node_modules/b/`, `a/`, ``. */
function foldersAbove(path: string): string[] {
  const parts = path.split(/(?=node_modules\/)/);
  const inner = parts.map((_, index) => parts.slice(0, index).join(''));
  return path === '' ? [''] : [...inner, `${path}/`];
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

export const versionsArePinned: Check = (files) => {
  const manifest = JSON.parse(fileAt(files, 'package.json') ?? '{}') as Manifest;
  return Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })
    .filter(([, version]) => !/^(npm:.+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
    .map(([name, version]) => `package.json: ${name} is not pinned: ${version}`);
};
