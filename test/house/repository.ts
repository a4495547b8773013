import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A file of this repository, its path relative to the root and with `/`. */
export interface RepositoryFile {
  readonly path: string;
  readonly content: string;
}

/** Looks at contents alone, so that it can be shown a repository that breaks the rule. */
export type Check = (files: readonly RepositoryFile[]) => string[];

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What git ignores, and inputs of fuzzers and results, which are data and not text of ours. */
const skipped = new Set([
  '.git',
  'node_modules',
  'dist',
  'build',
  'coverage',
  'native/fuzz/corpus',
  'bench/results',
]);

function* walk(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (skipped.has(entry.name) || skipped.has(relative(root, path))) continue;
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.isFile() && !/\.(gz|png|svg|log)$/.test(entry.name)) yield path;
  }
}

export function repositoryFiles(): RepositoryFile[] {
  return [...walk(root)].map((path) => ({
    path: relative(root, path),
    content: readFileSync(path, 'utf8'),
  }));
}

export function fileAt(files: readonly RepositoryFile[], path: string): string | null {
  return files.find((file) => file.path === path)?.content ?? null;
}

/** TypeScript or C++ without comments; line breaks stay, so that line numbers do. */
export function withoutComments(content: string): string {
  const blank = (comment: string) => comment.replace(/[^\n]/g, '');
  // A `//` after a colon is part of a URL in a string.
  return content.replace(/\/\*[\s\S]*?\*\//g, blank).replace(/(?<!:)\/\/.*/g, blank);
}

/** `PATH:LINE: text` for every line that the pattern finds. */
export function matchingLines(file: RepositoryFile, pattern: RegExp, text: string): string[] {
  return file.content
    .split('\n')
    .flatMap((line, index) => (pattern.test(line) ? [`${file.path}:${index + 1}: ${text}`] : []));
}
