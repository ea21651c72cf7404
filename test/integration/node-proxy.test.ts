import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { AdminAccess } from '../../lib/admin-access.ts';
import { startAdminServer } from '../../lib/admin-server.ts';
import { DaemonClient } from '../../lib/console/daemon-client.ts';
import type { DaemonAddress } from '../../lib/console/daemon-list.ts';
import { NodeProxy } from '../../lib/console/node-proxy.ts';
import type { ViewerToken } from '../../lib/console/viewer-token.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { Readiness } from '../../lib/readiness.ts';

test('nothing is asked of a daemon for a viewer who goes while the daemons are looked for', async (t) => {
  let connections = 0;
  const daemon = createServer((_request, answer) => answer.end('{}')).listen(0, '127.0.0.1');
  daemon.on('connection', () => (connections += 1));
  await once(daemon, 'listening');
  const address = { node: 'a', ip: '127.0.0.1', port: (daemon.address() as AddressInfo).port };
  const client = new DaemonClient({ get: async () => undefined, failure: undefined } as unknown as ViewerToken);
  const lists: ((list: readonly DaemonAddress[]) => void)[] = [];
  const gone = Promise.withResolvers<void>();
  const proxy = new NodeProxy(client, () =>
    lists.length === 0 ? new Promise((resolve) => lists.push(resolve)) : Promise.resolve([address]),
  );
  const { route } = proxy;
  const server = await startAdminServer({
    ip: '127.0.0.1',
    port: 0,
    readiness: new Readiness(),
    metrics: { render: () => '' },
    access: new AdminAccess({
      modes: { metrics: 'open', diagnostics: 'token', tap: 'token' },
      ip: '127.0.0.1',
      review: undefined,
      metrics: new MetricsRegistry(),
    }),
    routes: [
      {
        ...route,
        handle: (incoming, reply) => {
          incoming.signal.addEventListener('abort', () => gone.resolve());
          return route.handle(incoming, reply);
        },
      },
    ],
    log: createLog('test', 'silent'),
  });
  t.after(async () => {
    daemon.closeAllConnections();
    daemon.close();
    client.close();
    await server.close();
  });
  const url = `http://127.0.0.1:${server.address.port}/nodes/a`;
  const viewer = request(`${url}/tap`).end();
  viewer.on('error', () => {});
  while (lists.length === 0) await new Promise(setImmediate);
  viewer.destroy();
  await gone.promise;
  lists[0]?.([address]);
  assert.equal(await (await fetch(`${url}/stats`)).text(), '{}');
  assert.equal(connections, 1);
});
