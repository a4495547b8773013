import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../support/upstream-recorder.ts';
import { RawServer } from '../support/upstream-server.ts';

/**
 * A thread or a process that ends with the native upstream in use ends as it was told to: with its
 * exit code, its connections closed, and without taking the process down.
 */

const addonPath = fileURLToPath(new URL('../../build/Release/dualmap_core.node', import.meta.url));
const answerOk = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

let server: RawServer;

beforeEach(async () => {
  server = await RawServer.start(({ head, connection }) => {
    if (head.startsWith('GET /answered')) void connection.send(answerOk);
  });
});

afterEach(() => server.stop());

/** Plain JavaScript for a thread or a process of its own. */
const threadSource = (port: number) => `
  const addon = require(${JSON.stringify(addonPath)});
  const limits = { connectTimeoutMs: 5000, firstByteTimeoutMs: -1, idleTimeoutMs: -1,
    headBytesMax: 65536, connectionsPerInstanceMax: 100, pooledMs: 60000, addressTtlMs: 30000 };
  let onEnd = () => {};
  const client = addon.createUpstream(limits, () => onEnd());
  const origin = client.addOrigin('127.0.0.1', ${port});
  const send = (path) => {
    const head = 'GET ' + path + ' HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n';
    if (client.start(origin, head, 1, null, false, false) < 0) throw new Error('not sent');
  };`;

describe('the end of an environment', () => {
  const busySource = (port: number, after: string) => `${threadSource(port)}
    onEnd = () => { send('/hanging'); onEnd = () => {}; setTimeout(() => { ${after} }, 20); };
    send('/answered');`;

  /** Answers come, and are followed by the next request, until the thread ends. */
  const loadedSource = (port: number) => `${threadSource(port)}
    onEnd = () => send('/answered');
    for (let count = 0; count < 20; count += 1) send('/answered');`;

  test.each([
    ['terminate', '', 1],
    ['process.exit', 'process.exit(3)', 3],
    ['an uncaught error', "throw new Error('on purpose')", 1],
  ])('a worker by %s', async (_name, after, code) => {
    for (let round = 0; round < 3; round += 1) {
      const before = server.requests.length;
      const worker = new Worker(busySource(server.port, after), { eval: true });
      worker.on('error', () => undefined);
      const exited = new Promise((resolve) => worker.once('exit', resolve));
      if (after === '') {
        await eventually(() => server.requests.length === before + 2, 'requests');
        void worker.terminate();
      }
      expect(await exited).toBe(code);
      await eventually(() => server.openCount === 0, 'close');
    }
  });

  test('a worker by terminate, under load', async () => {
    for (let round = 0; round < 5; round += 1) {
      const before = server.requests.length;
      const worker = new Worker(loadedSource(server.port), { eval: true });
      await eventually(() => server.requests.length > before + 100, 'requests');
      expect(await worker.terminate()).toBe(1);
      await eventually(() => server.openCount === 0, 'close');
    }
  });

  async function exitOf(source: string): Promise<number | string | null> {
    const child = spawn(process.execPath, ['-e', source], { stdio: 'ignore' });
    return new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? code));
    });
  }

  test('the process by process.exit, with a call in flight', async () => {
    expect(await exitOf(busySource(server.port, 'process.exit(3)'))).toBe(3);
  });

  test('an idle connection keeps no process alive, a call on a kept one does', async () => {
    server.answer = ({ connection }) => {
      setTimeout(() => void connection.send(answerOk), 30);
    };
    const source = `${threadSource(server.port)}
      let answers = 0;
      onEnd = () => {
        answers += 1;
        if (answers === 1) setImmediate(() => send('/answered'));
      };
      process.on('exit', () => { process.exitCode = answers; });
      send('/answered');`;
    expect(await exitOf(source)).toBe(2);
    expect(server.connections).toHaveLength(1);
  });

  test('an event keeps the process alive until it is delivered', async () => {
    const source = `${threadSource(server.port)}
      onEnd = () => { process.exitCode = 7; };
      const nowhere = client.addOrigin('a'.repeat(300), 80);
      client.start(nowhere, 'GET / HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n', 1, null, false, false);`;
    expect(await exitOf(source)).toBe(7);
  });
});
