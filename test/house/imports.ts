import { posix } from 'node:path';
import type { Check, RepositoryFile } from './repository.ts';
import { withoutComments } from './repository.ts';

/** From the outside in: a module imports only from layers below its own, or from its own folder. */
const layers = [
  ['cli', 'index'],
  ['demo', 'simulate'],
  ['bench'],
  ['run'],
  ['serve', 'io-thread'],
  ['threads'],
  ['emulate', 'replay'],
  ['router'],
  ['waiting'],
  ['attempt', 'explain'],
  ['rebalancer'],
  ['placing', 'probe', 'hotspots'],
  ['listen', 'dispatch', 'stream', 'compute'],
  ['fleet'],
  ['observe'],
  ['core'],
  ['config'],
  ['errors', 'clock', 'terms', 'dense-set'],
];

/** What the stages agree on is types; a stage may name those, and nothing else, of another one. */
const contracts = ['src/listen/exchange.ts', 'src/dispatch/upstream.ts'];

const specifier =
  /\b(?:import|export)\b(\s+type\b)?[^;'"]*?\bfrom\s*'([^']+)'|\bimport\s*\(?\s*'([^']+)'|new URL\(\s*'(\.[^']+\.[jt]s)'/g;

interface Import {
  /** From the root for modules of ours, the name of a package otherwise. */
  readonly path: string;
  readonly own: boolean;
  readonly typeOnly: boolean;
}

function importsOf({ path, content }: RepositoryFile): Import[] {
  return [...withoutComments(content).matchAll(specifier)].map((match) => {
    const name = (match[2] ?? match[3] ?? match[4])!;
    const own = name.startsWith('.');
    const target = own ? posix.join(posix.dirname(path), name) : name;
    return { path: target, own, typeOnly: match[1] !== undefined };
  });
}

/** `listen` of src/listen/uws.ts, `router` of src/router.ts. */
const moduleOf = (path: string) => /^src\/([^/.]+)/.exec(path)?.[1] ?? null;
const layerOf = (module: string | null) =>
  layers.findIndex((layer) => layer.includes(module ?? ''));
const isSource = ({ path }: RepositoryFile) => /^src\/.*\.ts$/.test(path);

export const importDirection: Check = (files) =>
  files.filter(isSource).flatMap((file) => {
    const from = moduleOf(file.path);
    if (layerOf(from) < 0) return [`${file.path}: ${from} has no place in the layers`];
    return importsOf(file)
      .filter(({ own, path }) => own && moduleOf(path) !== from)
      .filter(({ path, typeOnly }) => !(typeOnly && contracts.includes(path)))
      .filter(({ path }) => !isBelow(from, moduleOf(path)))
      .map(({ path }) => `${file.path}: imports ${path}, which is not in a layer below`);
  });

function isBelow(from: string | null, to: string | null): boolean {
  // The lowest layer is words; a word may be made of others.
  const lowest = layers.length - 1;
  const [above, below] = [layerOf(from), layerOf(to)];
  return below > above || (above === lowest && below === lowest);
}

const addonLoader = 'src/core/native.ts';

export const addonLoadedOnce: Check = (files) =>
  files
    .filter((file) => isSource(file) && file.path !== addonLoader)
    .filter(({ content }) => /\bdlopen\b|dualmap_core/.test(withoutComments(content)))
    .map(({ path }) => `${path}: loads the addon; only ${addonLoader} may`);

/** Test code never ends up in the program. */
export const noTestCodeInSource: Check = (files) =>
  files.filter(isSource).flatMap((file) =>
    importsOf(file)
      .filter(({ path }) => /^(test|bench)\/|^vitest|^fast-check/.test(path))
      .map(({ path }) => `${file.path}: imports ${path}`),
  );
