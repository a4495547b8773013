import type { Check, RepositoryFile } from './repository.ts';
import { fileAt } from './repository.ts';

const sourcesIn = (content: string) => [
  ...new Set(content.match(/native\/(?!test\/|fuzz\/)[\w./-]+\.cc\b/g) ?? []),
];

/** cmake-js and node-gyp build the same addon, from every source there is. */
export const buildListsEqual: Check = (files) => {
  const lists = ['CMakeLists.txt', 'binding.gyp'];
  const onDisk = files
    .map(({ path }) => path)
    .filter((path) => /^native\/(?!test\/|fuzz\/).*\.cc$/.test(path));
  return lists.flatMap((list) => {
    const content = fileAt(files, list);
    if (content === null) return [`${list}: is missing`];
    const listed = sourcesIn(content);
    return [
      ...onDisk.filter((path) => !listed.includes(path)).map((path) => `${list}: lacks ${path}`),
      ...listed.filter((path) => !onDisk.includes(path)).map((path) => `${list}: ${path} is gone`),
    ];
  });
};

interface IncludeRule {
  readonly header: RegExp;
  readonly where: RegExp;
  readonly why: string;
}

const includeRules: readonly IncludeRule[] = [
  { header: /napi\.h|node_api\.h/, where: /^native\/addon[\w]*\.(cc|h)$/, why: 'only the addon' },
  { header: /uv\.h/, where: /^native\/(?!core\/)/, why: 'the core knows no event loop' },
  { header: /node\.h|v8\.h|nan\.h/, where: /^$/, why: 'one binary serves every Node' },
];

/** The core knows neither N-API nor libuv; the simulator and the tests run it without both. */
export const nativeIncludes: Check = (files) => {
  const native = ({ path }: RepositoryFile) => /^native\/.*\.(cc|h)$/.test(path);
  return files.filter(native).flatMap(({ path, content }) => {
    const headers = [...content.matchAll(/^\s*#\s*include\s*[<"]([^>"]+)[>"]/gm)].map((m) => m[1]!);
    return headers.flatMap((header) =>
      includeRules
        .filter((rule) => new RegExp(`(^|/)(${rule.header.source})$`).test(header))
        .filter((rule) => !rule.where.test(path))
        .map((rule) => `${path}: includes ${header}: ${rule.why}`),
    );
  });
};
