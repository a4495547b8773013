/**
 * Makes a clean clone runnable: `npm start` and `npm test` run this first. It installs the packages
 * of the lock file, builds the native addon and compiles the TypeScript; each step only if what it
 * would make is missing or was made from something else, so that a later run costs some
 * milliseconds. Plain JavaScript and Node's own modules only: it runs before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  addonIsCurrent,
  buildAddon,
  contentStamp,
  exitWithFault,
  isMain,
  listFiles,
  SetupFault,
} from '../native/install.mjs';

const projectRoot = dirname(dirname(fileURLToPath(import.meta.url)));

/** Versions that `engines` in package.json admits: `>=major.minor`. */
export function nodeIsSupported(version, engines) {
  const wanted = engines
    .match(/>=\s*(\d+)\.(\d+)/)
    .slice(1)
    .map(Number);
  const [major, minor] = version.split('.').map(Number);
  return major > wanted[0] || (major === wanted[0] && minor >= wanted[1]);
}

/**
 * Whether node_modules holds what the lock file asks for, by the record npm keeps in there itself.
 * Optional packages may be missing: most of them are for other platforms.
 */
export function packagesAreCurrent(lock, installed) {
  return Object.entries(lock.packages).every(([path, wanted]) => {
    if (path === '') return true;
    const found = installed.packages[path];
    if (found === undefined) return wanted.optional === true;
    return found.version === wanted.version && found.integrity === wanted.integrity;
  });
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

function installPackages(root) {
  const record = join(root, 'node_modules/.package-lock.json');
  const lock = readJson(join(root, 'package-lock.json'));
  if (existsSync(record) && packagesAreCurrent(lock, readJson(record))) return;
  console.log('installing the packages of package-lock.json ...');
  // No script of a package needs to run: what they build they also carry. Ours runs as a step here.
  const args = ['ci', '--ignore-scripts', '--include=dev', '--no-audit', '--no-fund'];
  const npm = process.env.npm_execpath;
  const [command, ...first] = npm === undefined ? ['npm'] : [process.execPath, npm];
  const run = spawnSync(command, [...first, ...args], { cwd: root, stdio: 'inherit' });
  if (run.status !== 0) throw new SetupFault(`npm ci failed (${run.error?.message ?? run.status})`);
}

function compileTypeScript(root) {
  const stampFile = join(root, 'dist/.stamp');
  const sources = listFiles(root, 'src', /\.ts$/);
  const made = ['tsconfig.json', 'node_modules/typescript/package.json', ...sources];
  const stamp = contentStamp(root, made);
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  console.log('compiling TypeScript ...');
  rmSync(stampFile, { force: true });
  const args = [join(root, 'node_modules/typescript/bin/tsc'), '-p', root];
  const run = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (run.status !== 0) throw new SetupFault('the TypeScript compiler found errors');
  writeFileSync(stampFile, stamp);
}

export function setUp(root = projectRoot) {
  const { engines } = readJson(join(root, 'package.json'));
  if (!nodeIsSupported(process.versions.node, engines.node)) {
    throw new SetupFault(`Node ${engines.node} is needed, this is ${process.versions.node}`);
  }
  installPackages(root);
  if (!addonIsCurrent(root)) buildAddon(root);
  compileTypeScript(root);
}

if (isMain(import.meta.url)) {
  try {
    setUp();
  } catch (error) {
    exitWithFault(error);
  }
}
