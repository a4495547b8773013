import type { Check, RepositoryFile } from './repository.ts';

const linesMax = 400;
const columnsMax = 100;
const functionLinesMax = 70;

const isCode = ({ path }: RepositoryFile) => /\.(ts|mjs|cc|h)$/.test(path);

export const fileLength: Check = (files) =>
  files.filter(isCode).flatMap(({ path, content }) => {
    const lines = content.trimEnd().split('\n').length;
    return lines > linesMax ? [`${path}: ${lines} lines, ${linesMax} at most`] : [];
  });

export const lineWidth: Check = (files) =>
  files.filter(isCode).flatMap(({ path, content }) =>
    content.split('\n').flatMap((line, index) => {
      // The formatter keeps a string or a regular expression in one piece, however long it is.
      const cannotBreak = /^\s*(\/.*\/\w*[;,]?|.*(['"`]).*\2\S*|.*\S{60}.*)$/.test(line);
      const columns = [...line].length;
      if (columns <= columnsMax || cannotBreak) return [];
      return [`${path}:${index + 1}: ${columns} columns, ${columnsMax} at most`];
    }),
  );

const opening =
  /(\bfunction\b.*|=>|\))\s*(const|noexcept|override|final|: [^={}]+|-> [^{}]+|\s)*\{$/;
const notFunction =
  /^\s*(\}\s*)?(if|for|while|switch|do|else|catch|try|namespace|class|struct|union|enum)\b/;
/** A suite of tests is a list of functions, not one function. */
const suite = /\b(describe|eachFrontEnd)(\.\w+(\(.*\))?)*\(|^\s*\]\)\(/;

/**
 * Relies on the formatter: a function ends at the first line that closes at its own indentation.
 * Enough to find one that is far too long, which is all it is for.
 */
export const functionLength: Check = (files) =>
  files.filter(isCode).flatMap(({ path, content }) => {
    const lines = content.split('\n');
    return lines.flatMap((line, start) => {
      if (!opening.test(line) || notFunction.test(line) || suite.test(line)) return [];
      const indentation = /^\s*/.exec(line)![0];
      const closing = `${indentation}}`;
      const end = lines.findIndex((other, at) => at > start && other.startsWith(closing));
      const length = end - start + 1;
      if (length <= functionLinesMax) return [];
      return [`${path}:${start + 1}: a function of ${length} lines, ${functionLinesMax} at most`];
    });
  });
