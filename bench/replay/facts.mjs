/** Under what a run was made. Files go by their names: where they lie is nobody's affair. */
import { basename, isAbsolute } from 'node:path';
import { runFacts } from '../../dist/bench/environment.js';

export function factsOf(program, folder = 'bench/replay') {
  const words = process.argv.slice(2).map((word) => {
    const named = isAbsolute(word) ? basename(word) : word;
    return named === '' || /[\s;]/.test(named) ? `'${named}'` : named;
  });
  return { ...runFacts([], {}), command: [`node ${folder}/${program}`, ...words].join(' ') };
}
