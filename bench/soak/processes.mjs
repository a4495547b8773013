/**
 * The processes of a soak run: how they start and end, and what the kernel knows of one. Linux only
 * (/proc). Ends nothing but its own children.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { get as httpGet } from 'node:http';
import { fileURLToPath } from 'node:url';
import { Heaps } from './heaps.mjs';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const startMsMax = 20_000;
const answerMsMax = 10_000;
/** Of /proc/PID/stat, on every Linux that Node runs on. */
const ticksPerSecond = 100;

/**
 * A command of the CLI in a process of its own, whose log is kept. The run is over if it ends
 * early.
 */
export class Command {
  static #running = new Set();
  url = '';
  log = '';
  heaps = new Heaps();
  #child;
  #exit;
  #mayEnd = true;

  /** Resolves when it has printed its URL. */
  static async start(args) {
    const command = new Command(args);
    Command.#running.add(command);
    const timer = setTimeout(() => command.#child.kill('SIGKILL'), startMsMax);
    const printed = new Promise((resolve) => {
      command.#child.stdout.setEncoding('utf8').on('data', (text) => {
        command.heaps.push(text);
        const url = /http:\/\/\S+/.exec(text)?.[0];
        if (url !== undefined) resolve(url);
      });
    });
    command.url = await Promise.race([printed, command.#exit.then(() => '')]);
    clearTimeout(timer);
    if (command.url === '') throw new Error(`${args[0]} did not start: ${command.log}`);
    command.#mayEnd = false;
    return command;
  }

  /** However the run ends: nothing is left behind. */
  static killAll() {
    for (const command of Command.#running) {
      command.#mayEnd = true;
      command.#child.kill('SIGKILL');
    }
  }

  constructor(args) {
    this.#child = spawn(process.execPath, ['--trace-gc', cli, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.log += text;
    });
    this.#exit = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => {
        Command.#running.delete(this);
        if (!this.#mayEnd) {
          console.log(
            `soak: BAD: ${args[0]} ended with ${signal ?? code}: ${this.log.slice(-2_000)}`,
          );
          process.exit(1);
        }
        resolve({ code, signal });
      });
    });
  }

  get pid() {
    return this.#child.pid;
  }

  /**
   * SIGTERM, and SIGKILL for one that does not obey; resolves with its exit and how long it took.
   */
  async stop(msMax) {
    const startMs = performance.now();
    this.#mayEnd = true;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), msMax);
    const { code, signal } = await this.#exit;
    clearTimeout(timer);
    return { code, signal, tookMs: Math.round(performance.now() - startMs) };
  }
}

/** The body of an answer, on a connection of its own that is closed after it. */
export function get(url) {
  return new Promise((resolve, reject) => {
    const request = httpGet(url, { agent: false, timeout: answerMsMax }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece) => {
        text += piece;
      });
      response.on('end', () => resolve(text)).on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error(`no answer from ${url}`)));
    request.on('error', reject);
  });
}

/** Seconds of processor time since the process began. */
export function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

export function residentBytes(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)[1]) * 1024;
}

/**
 * File descriptors of a router, by what they are: connections of clients (to `port`), to instances
 * (any other port), and the rest, its listeners included.
 */
export function descriptors(pid, port) {
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
  const sockets = establishedPorts(pid);
  const counts = { all: 0, clients: 0, instances: 0, rest: 0 };
  for (const link of links) {
    // Closed since the folder was read.
    if (link === null) continue;
    counts.all += 1;
    const localPort = sockets.get(/^socket:\[(\d+)\]$/.exec(link)?.[1]);
    if (localPort === undefined) counts.rest += 1;
    else if (localPort === port) counts.clients += 1;
    else counts.instances += 1;
  }
  return counts;
}

function linkOf(path) {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

const listening = '0A';

/** Local port by inode, of TCP connections; listeners are not among them. */
function establishedPorts(pid) {
  const ports = new Map();
  for (const line of readFileSync(`/proc/${pid}/net/tcp`, 'latin1').split('\n').slice(1)) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    if (inode === undefined || state === listening) continue;
    ports.set(inode, Number.parseInt(local.split(':')[1], 16));
  }
  return ports;
}
