import type { AddressInfo } from 'node:net';
import fastify from 'fastify';
import type { Log } from './log.ts';
import { METRICS_CONTENT_TYPE } from './metrics.ts';
import type { Readiness } from './readiness.ts';

export interface AdminServerOptions {
  readonly ip: string;
  readonly port: number;
  readonly readiness: Readiness;
  /** Prometheus text; must come within a scrape's patience, and never rejects. */
  readonly metrics: { render(): string | Promise<string> };
  /** What else there is to know of a process, ready or not, one thing a line: below what `/readyz` says. */
  readonly notes?: readonly string[] | undefined;
  readonly log: Log;
}

export interface AdminServer {
  readonly address: { readonly ip: string; readonly port: number };
  close(): Promise<void>;
}

/**
 * Serves what Kubernetes and Prometheus ask of a process: `/livez` (200 while the event loop turns), `/readyz` (200, or 503
 * with one line for each thing that is waited for) and `/metrics` (Prometheus text, version 0.0.4).
 * Rejects with the system's error where the port cannot be had.
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const { readiness, metrics, notes = [] } = options;
  const lines = (texts: readonly string[]) => [...texts, ...notes].map((text) => `${text}\n`).join('');
  const server = fastify({ logger: false, forceCloseConnections: true });
  server.get('/livez', (_request, reply) => reply.type('text/plain').send('ok\n'));
  server.get('/readyz', (_request, reply) => {
    const pending = readiness.pending();
    if (pending.length === 0) return reply.type('text/plain').send(lines(['ok']));
    return reply.code(503).type('text/plain').send(lines(pending));
  });
  server.get('/metrics', async (_request, reply) => reply.type(METRICS_CONTENT_TYPE).send(await metrics.render()));
  await server.listen({ port: options.port, host: options.ip });
  const bound = server.server.address() as AddressInfo;
  const address = { ip: bound.address, port: bound.port };
  options.log.info({ ...address }, 'admin server listens');
  return { address, close: () => server.close() };
}
