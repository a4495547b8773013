import type { Check, RepositoryFile } from './repository.ts';
import { matchingLines, withoutComments } from './repository.ts';

const isOwnCode = ({ path }: RepositoryFile) =>
  /^(src|native|bench)\/.*\.(ts|mjs|cc|h)$/.test(path);

/** Other names of an instance. A worker is a thread of Node, a node is a vertex of a tree. */
const otherNames =
  /\bbackends?\b|\b(worker|node|pod|backend)(Url|Urls|Id|Ids|Count|Weight|Load|State|Health|Address|Host|List)\b|\b(inference|engine) (worker|node|pod)s?\b/i;
/** The outside words: flags, routes and header fields that users know from other routers. */
const outsideWords = /--worker-urls|worker-urls|\/workers|WORKER_URLS/g;

export const instanceIsTheWord: Check = (files) =>
  files
    .filter(isOwnCode)
    .flatMap(({ path, content }) =>
      matchingLines(
        { path, content: content.replace(outsideWords, '') },
        otherNames,
        'an inference server is called instance',
      ),
    );

export const nothingLeftToDo: Check = (files) =>
  files
    .filter(({ path }) => /\.(ts|mjs|cc|h|md|sh|txt)$|\.ci\/run$/.test(path))
    .filter(({ path }) => !path.startsWith('test/house/'))
    .flatMap((file) => matchingLines(file, /\b(TODO|FIXME|XXX|HACK)\b/, 'is unfinished'));

const isTypeScript = ({ path }: RepositoryFile) => /\.(ts|mjs)$/.test(path);
const isHouse = ({ path }: RepositoryFile) => path.startsWith('test/house/');

/** `||` takes 0, '' and false for missing; `??` does not. */
export const noOrDefaults: Check = (files) =>
  files
    .filter((file) => isTypeScript(file) && !isHouse(file))
    .flatMap(({ path, content }) =>
      matchingLines(
        { path, content: withoutComments(content) },
        /\|\|=?\s*(['"`]|-?\d|\[\]|\{|null\b|undefined\b|process\.env|new\s)/,
        'write a default with ??',
      ),
    );

export const noSilentCatch: Check = (files) =>
  files
    .filter((file) => isTypeScript(file) && !isHouse(file))
    .flatMap(({ path, content }) =>
      [
        ...withoutComments(content).matchAll(
          /\bcatch\s*(\([^)]*\))?\s*\{\s*\}|\.catch\(\(\w*\) => \{\s*\}\)/g,
        ),
      ].map(() => `${path}: an empty catch hides a fault`),
    );

/** Hosts are spelt here as a pattern, because this file is read too. */
const registryHost =
  /\b(registry|mirrors?|deb|security|archive|pypi|files|crates|static)\.[a-z-]+\.(org|com|io|net|dev)\b|\b(npm|pypi)(js|mirror)?\.(org|com)\b/;

export const noRegistryHosts: Check = (files) =>
  files.flatMap((file) => matchingLines(file, registryHost, 'names a host of a package registry'));

const machinePath = /(?<![\w.~}*-])\/(work|root|home|Users|workspace)\/[\w.-]/;

export const noMachinePaths: Check = (files) =>
  files
    .filter((file) => !isHouse(file))
    .flatMap((file) => matchingLines(file, machinePath, 'names a path of one machine'));
