/**
 * CPU of the upstream clients alone: native and undici in turn, in one process, against a fake
 * instance in another. Unary requests with a body in a closed loop on kept-alive connections, and
 * chunks of streamed answers on a 5 ms beat. Prints microseconds of this process, user and system.
 *
 *   node src/setup.mjs && taskset -c 0 node bench/micro/upstream.mjs [--requests N]
 *     [--connections N] [--streams N] [--body-bytes N] [--rounds N] [--instance-cpu N]
 *
 * The instance moves itself to --instance-cpu, which should be another one.
 */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    instance: { type: 'boolean', default: false },
    requests: { type: 'string', default: '20000' },
    connections: { type: 'string', default: '64' },
    streams: { type: 'string', default: '200' },
    'body-bytes': { type: 'string', default: '4096' },
    rounds: { type: 'string', default: '3' },
    'instance-cpu': { type: 'string', default: '1' },
  },
});
const requestCount = Number(values.requests);
const connectionCount = Number(values.connections);
const streamCount = Number(values.streams);
const bodyBytes = Number(values['body-bytes']);
const chunksPerStream = 100;

/** Answers requests for /stream with chunks, all others at once. */
function serveInstance() {
  const content = JSON.stringify({ id: 'chatcmpl-1', content: 'hello world '.repeat(20) });
  const fields = `content-type: application/json\r\ncontent-length: ${content.length}\r\n`;
  const answer = `HTTP/1.1 200 OK\r\n${fields}\r\n${content}`;
  const event = `data: ${JSON.stringify({ id: 'chatcmpl-1', delta: 'x'.repeat(150) })}\n\n`;
  const chunk = `${event.length.toString(16)}\r\n${event}\r\n`;
  const head =
    'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
  const streams = new Map();
  setInterval(() => {
    for (const [socket, left] of streams) {
      if (left > 0) socket.write(chunk);
      else socket.write('0\r\n\r\n');
      if (left > 0) streams.set(socket, left - 1);
      else streams.delete(socket);
    }
  }, 5);
  const server = createServer({ noDelay: true }, (socket) => {
    let missing = 0;
    let target = '';
    socket.on('error', () => socket.destroy()).on('close', () => streams.delete(socket));
    socket.on('data', (bytes) => {
      if (missing === 0) {
        const text = bytes.latin1Slice(0, Math.min(bytes.length, 1024));
        target = text.slice(5, text.indexOf(' HTTP'));
        missing = text.indexOf('\r\n\r\n') + 4 + Number(/content-length: (\d+)/.exec(text)[1]);
      }
      missing -= bytes.length;
      if (missing > 0) return;
      missing = 0;
      if (target === '/stream') {
        socket.write(head);
        streams.set(socket, chunksPerStream);
      } else {
        socket.write(answer);
      }
    });
  });
  server.listen(0, '127.0.0.1', () => process.send(server.address().port));
}

/** Keeps so many requests in flight until so many were answered. Returns CPU in microseconds. */
function run(upstream, origin, path, inFlight, total) {
  const body = Buffer.alloc(bodyBytes, '{"model":"m"} ');
  const headers = ['content-type', 'application/json', 'x-request-id', 'abcdef', 'accept', '*/*'];
  const request = { origin, method: 'POST', path, headers, body };
  let started = 0;
  let ended = 0;
  let chunks = 0;
  return new Promise((resolve, reject) => {
    const begin = process.cpuUsage();
    const handler = {
      onHead: () => undefined,
      onData: () => {
        chunks += 1;
      },
      onEnd: () => {
        ended += 1;
        if (started < total) send();
        if (ended < total) return;
        const { user, system } = process.cpuUsage(begin);
        resolve({ cpuUs: user + system, chunks });
      },
      onFault: reject,
    };
    const send = () => {
      started += 1;
      upstream.send(request, handler);
    };
    for (let index = 0; index < Math.min(inFlight, total); index += 1) send();
  });
}

async function measure() {
  const { addon } = await import('../../dist/core/native.js');
  const { createNativeUpstream } = await import('../../dist/dispatch/native.js');
  const { createUndiciUpstream } = await import('../../dist/dispatch/undici.js');
  const { upstreamDefaults } = await import('../../dist/dispatch/upstream.js');
  const self = fileURLToPath(import.meta.url);
  const pinned = ['-c', values['instance-cpu'], process.execPath, self, '--instance'];
  const instance = spawn('taskset', pinned, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const port = await new Promise((resolve) => instance.once('message', resolve));
  const origin = `http://127.0.0.1:${port}`;
  const upstreams = {
    native: createNativeUpstream(addon, upstreamDefaults),
    undici: createUndiciUpstream(upstreamDefaults),
  };
  try {
    for (const one of Object.values(upstreams)) await run(one, origin, '/', connectionCount, 5_000);
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      for (const [name, one] of Object.entries(upstreams)) {
        const unary = await run(one, origin, '/', connectionCount, requestCount);
        const sse = await run(one, origin, '/stream', streamCount, streamCount * 4);
        const perRequest = (unary.cpuUs / requestCount).toFixed(1);
        const perChunk = (sse.cpuUs / (streamCount * 4 * chunksPerStream)).toFixed(2);
        console.log(`${round} ${name}: ${perRequest} us a request, ${perChunk} us a chunk`);
      }
    }
  } finally {
    await Promise.all(Object.values(upstreams).map((one) => one.close()));
    instance.kill();
  }
}

if (values.instance) serveInstance();
else await measure();
