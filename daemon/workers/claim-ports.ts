import { createServer, type Server } from 'node:net';
import type { ServerConfig } from '../config.ts';

/**
 * Makes sure that nobody else has the ports of these servers, before several threads share them: SO_REUSEPORT would let
 * another daemon of the same user share them as well, without a word. Where the config wants just that, the port is left alone:
 * a connection that comes here would be lost. Gives one port a server, with a free one for 0; nothing is left open.
 * Rejects with the system's error, which names the address.
 */
export async function claimPorts(servers: readonly ServerConfig[]): Promise<number[]> {
  const claimed: Server[] = [];
  const ports: number[] = [];
  try {
    for (const { ip, port, reusePort } of servers) {
      if (reusePort && port !== 0) {
        ports.push(port);
        continue;
      }
      const server = createServer();
      ports.push(await listen(server, { host: ip, port }));
      claimed.push(server);
    }
  } finally {
    await Promise.all(claimed.map((server) => new Promise((resolve) => server.close(resolve))));
  }
  return ports;
}

function listen(server: Server, where: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : where.port);
    });
  });
}
