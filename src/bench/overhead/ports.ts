/**
 * Free ports on the loopback interface. Main thread.
 */
import { createServer } from 'node:net';

/** Ports that nobody listens on at this moment, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listen));
  return Promise.all(
    servers.map(
      ({ server, port }) =>
        new Promise<number>((resolve) => {
          server.close(() => resolve(port));
        }),
    ),
  );
}

function listen(): Promise<{ server: ReturnType<typeof createServer>; port: number }> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject).listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('not a TCP port');
      resolve({ server, port: address.port });
    });
  });
}
