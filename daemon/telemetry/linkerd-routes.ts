import type { AdminRoute } from '../../lib/admin-server.ts';
import { METRICS_CONTENT_TYPE } from '../../lib/metrics.ts';
import type { DaemonConfig } from '../config.ts';
import { METRICS_JSON, ofKind, PING } from '../telemetry-config.ts';
import { LinkerdAdmin, type LinkerdAdminOptions } from './linkerd-admin.ts';

/**
 * linkerd 1.x's admin paths: `/admin/ping` and `/admin/metrics.json` always, as there, and what telemeters `io.l5d.prometheus`
 * ask for.
 */
export function linkerdRoutes(config: DaemonConfig, options: Omit<LinkerdAdminOptions, 'routers'>): AdminRoute[] {
  const routers = config.routers.map(({ label, role, servers: [first] }) => {
    return { label, role, server: `${first?.ip}/${first?.port}` };
  });
  const admin = new LinkerdAdmin({ ...options, routers });
  return [
    { path: PING, access: 'probe', handle: (_request, reply) => reply.text('pong') },
    {
      path: METRICS_JSON,
      access: 'metrics',
      handle: async ({ query }, reply) => {
        const json = await admin.json(query);
        if (json === undefined) reply.text(`there is nothing below ${query.get('q')}\n`, 404);
        else reply.send(json, 'application/json');
      },
    },
    ...ofKind(config.telemetry, 'io.l5d.prometheus').map(
      ({ path, prefix }): AdminRoute => ({
        path,
        access: 'metrics',
        handle: async (_request, reply) => reply.send(await admin.prometheus(prefix), METRICS_CONTENT_TYPE),
      }),
    ),
  ];
}
