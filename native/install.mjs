/**
 * Puts the native addon at build/Release/dualmap_core.node. npm runs this file as the package's
 * `install` script; src/setup.mjs calls it before every start. Order: what is there already, if it
 * was made from these sources; a prebuilt binary, if it loads; cmake-js; node-gyp; otherwise a
 * message that names what is missing. Plain JavaScript and Node's own modules only, because nothing
 * is compiled or checked before it. It never fetches anything.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const projectRoot = dirname(dirname(fileURLToPath(import.meta.url)));

/** Packages whose files are compiled into the addon. */
const compiledIn = ['@nozbe/simdjson', 'xxhash-addon', 'node-addon-api', 'node-api-headers'];

/** A reason to stop that the user can act on: printed without a stack. */
export class SetupFault extends Error {}

/** Files below `folder` whose names match, as paths relative to `root`, in a stable order. */
export function listFiles(root, folder, pattern) {
  const found = [];
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...listFiles(root, path, pattern));
    else if (pattern.test(entry.name)) found.push(path);
  }
  return found.sort();
}

/** One hash over names and contents: the same stamp means the same input. */
export function contentStamp(root, paths, extra = '') {
  const hash = createHash('sha256').update(extra);
  for (const path of paths) {
    const bytes = existsSync(join(root, path)) ? readFileSync(join(root, path)) : 'absent';
    hash.update(`\n${path} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest('hex');
}

/** The stamp of what the addon is made of. The native tests and fuzzers are no part of it. */
export function addonStamp(root = projectRoot) {
  const sources = listFiles(root, 'native', /\.(cc|h)$/).filter(
    (path) => !/^native\/(test|fuzz)\//.test(path),
  );
  const versions = compiledIn.map((name) => `node_modules/${name}/package.json`);
  const lists = ['CMakeLists.txt', 'binding.gyp'];
  return contentStamp(
    root,
    [...lists, ...versions, ...sources],
    `${process.platform} ${process.arch}`,
  );
}

function paths(root) {
  return {
    addon: join(root, 'build/Release/dualmap_core.node'),
    stamp: join(root, 'build/dualmap_core.stamp'),
    prebuilt: join(root, `prebuilds/${process.platform}-${process.arch}/dualmap_core.node`),
  };
}

export function addonIsCurrent(root = projectRoot) {
  const { addon, stamp } = paths(root);
  if (!existsSync(addon) || !existsSync(stamp)) return false;
  return readFileSync(stamp, 'utf8') === addonStamp(root);
}

/** Tried in a process of its own: a binary for another C library may end the process it enters. */
function loads(file) {
  const script = 'process.dlopen({ exports: {} }, process.argv[1])';
  return spawnSync(process.execPath, ['-e', script, file], { stdio: 'ignore' }).status === 0;
}

export function findCommand(names, pathList = process.env.PATH ?? '') {
  for (const name of names) {
    for (const folder of pathList.split(delimiter)) {
      const file = join(folder, name);
      try {
        accessSync(file, constants.X_OK);
        if (statSync(file).isFile()) return file;
      } catch (error) {
        if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes(error.code)) throw error;
      }
    }
  }
  return null;
}

/** The folder whose include/node holds Node's own headers; node-gyp would download them. */
function nodeHeadersPrefix() {
  const prefixes = [dirname(dirname(process.execPath)), '/usr', '/usr/local'];
  return prefixes.find((prefix) => existsSync(join(prefix, 'include/node/uv.h'))) ?? null;
}

/** node-gyp of this project, or the one npm carries and names in the environment. */
function nodeGypScript(root) {
  const local = join(root, 'node_modules/node-gyp/bin/node-gyp.js');
  if (existsSync(local)) return local;
  const carried = process.env.npm_config_node_gyp ?? '';
  return existsSync(carried) ? carried : null;
}

/** The ways to build that this machine has, best first, or a `SetupFault` that lists the gaps. */
export function buildWays(root = projectRoot, pathList = process.env.PATH ?? '') {
  const has = (...names) => findCommand(names, pathList) !== null;
  const missing = [];
  if (!has('c++', 'g++', 'clang++')) missing.push('a C++20 compiler: apt-get install g++');
  if (!has('make')) missing.push('make: apt-get install make');
  const headers = nodeHeadersPrefix();
  if (headers === null) {
    missing.push(
      "Node's headers (uv.h): apt-get install libnode-dev, or Node from its own archive",
    );
  }
  const cores = String(availableParallelism());
  const ways = [];
  if (has('cmake')) {
    const script = createRequire(join(root, 'package.json')).resolve('cmake-js/bin/cmake-js');
    ways.push({
      name: 'cmake-js',
      args: [script, 'compile', '--prefer-make', '--parallel', cores],
    });
  }
  const gyp = nodeGypScript(root);
  if (gyp !== null && has('python3')) {
    const args = [gyp, 'rebuild', '--jobs', cores, `--nodedir=${headers}`];
    ways.push({ name: 'node-gyp', args });
  }
  if (ways.length === 0) missing.push('cmake or python3: apt-get install cmake');
  if (missing.length > 0) {
    throw new SetupFault(`cannot build the native addon; missing:\n  ${missing.join('\n  ')}`);
  }
  return ways;
}

function compile(root, wanted) {
  const way = buildWays(root).find(({ name }) => wanted === null || name === wanted);
  if (way === undefined) throw new SetupFault(`${wanted} cannot run here`);
  console.log(`building the native addon with ${way.name}, about 15 s on two cores ...`);
  // CMakeLists.txt and binding.gyp ask `node` for paths: it must be the one that runs this.
  const env = {
    ...process.env,
    PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`,
  };
  const options = { cwd: root, env, encoding: 'utf8', maxBuffer: 1 << 28 };
  const build = spawnSync(process.execPath, way.args, options);
  if (build.status === 0) return;
  process.stderr.write(`${build.stdout}${build.stderr}`);
  throw new SetupFault(`${way.name} failed (${build.error?.message ?? `exit ${build.status}`})`);
}

/**
 * Makes the addon whatever is there. `wanted` forces one way: 'cmake-js' or 'node-gyp'. The stamp
 * goes first and comes back last, so that a build broken off half-way never counts as current.
 */
export function buildAddon(root = projectRoot, wanted = null) {
  const { addon, stamp, prebuilt } = paths(root);
  rmSync(stamp, { force: true });
  if (wanted === null && existsSync(prebuilt) && loads(prebuilt)) {
    mkdirSync(dirname(addon), { recursive: true });
    cpSync(prebuilt, addon);
  } else {
    compile(root, wanted);
    if (!loads(addon)) throw new SetupFault(`the addon was built but does not load: ${addon}`);
  }
  writeFileSync(stamp, addonStamp(root));
}

/** Whether `node` was started with this module, also by way of a symbolic link. */
export function isMain(moduleUrl) {
  const script = process.argv[1];
  return script !== undefined && realpathSync(script) === fileURLToPath(moduleUrl);
}

/** Prints a fault the user can act on and ends the process; anything else keeps its stack. */
export function exitWithFault(error) {
  if (!(error instanceof SetupFault)) throw error;
  console.error(`dualmap: ${error.message}`);
  process.exit(1);
}

if (isMain(import.meta.url)) {
  const wanted = process.argv[2] ?? null;
  try {
    if (wanted !== null || !addonIsCurrent()) buildAddon(projectRoot, wanted);
  } catch (error) {
    exitWithFault(error);
  }
}
