import { readFileSync, writeFileSync } from 'node:fs';
import { fillBlocks } from './docs.ts';

/** `node dist/config/readme.js README.md`: makes the blocks of a document anew, in place. */

for (const path of process.argv.slice(2)) {
  writeFileSync(path, fillBlocks(readFileSync(path, 'utf8')));
}
