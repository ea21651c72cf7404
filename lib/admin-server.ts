import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { AccessClass, AdminAccess } from './admin-access.ts';
import type { Log } from './log.ts';
import { METRICS_CONTENT_TYPE } from './metrics.ts';
import type { Readiness } from './readiness.ts';

export interface AdminRequest {
  /** As it was asked for, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Aborted when the client goes, when the answer has been sent, and when the server stops. */
  readonly signal: AbortSignal;
  /** For what passes the request on. */
  readonly raw: IncomingMessage;
}

/** One of these is called, once. */
export interface AdminReply {
  json(value: unknown, status?: number): void;
  /** Text for people; ends its line itself. */
  text(text: string, status?: number): void;
  /** `type`: the media type. `headers` go over those that every answer has. */
  send(body: string | Buffer, type: string, headers?: Readonly<Record<string, string>>): void;
  /**
   * Begins server-sent events, which go on until the request's signal is aborted. What it gives writes text to the client
   * (use `formatEvent`), and tells false where the client reads too slowly or has gone: nothing of that text is sent then.
   */
  events(): (text: string) => boolean;
  /** The answer as the request's own connection takes it, for what passes one on. */
  raw(): ServerResponse;
}

/** Something that an admin server answers to GET. */
export interface AdminRoute {
  /** Such as `/stats`; one that ends in `/*` is all below it. */
  readonly path: string;
  /** By the path that was asked for, where it is not the same for all of them. */
  readonly access: AccessClass | ((path: string) => AccessClass);
  /** May settle before the answer has ended. What it throws is logged, and answered with 500. */
  handle(request: AdminRequest, reply: AdminReply): void | Promise<void>;
}

export interface AdminServerOptions {
  readonly ip: string;
  readonly port: number;
  readonly readiness: Readiness;
  /** Prometheus text; must come within a scrape's patience, and never rejects. */
  readonly metrics: { render(): string | Promise<string> };
  /** What else there is to know of a process, ready or not, one thing a line: below what `/readyz` says. */
  readonly notes?: readonly string[] | undefined;
  readonly access: AdminAccess;
  /** What there is beside `/livez`, `/readyz` and `/metrics`. */
  readonly routes?: readonly AdminRoute[];
  readonly log: Log;
}

export interface AdminServer {
  readonly address: { readonly ip: string; readonly port: number };
  close(): Promise<void>;
}

/** Answers are the cluster's inner matters: no browser guesses their type, keeps them, frames them or shows them to other sites. */
const HEADERS = {
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
};
/**
 * What the console's page may do: run, show and ask what comes from where it came from, and nothing else. Styles are set by the
 * DOM's own API, which this lets (CSP 3, section 8.3: `style-src` is about markup).
 */
export const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/**
 * Serves what Kubernetes and Prometheus ask of a process: `/livez` (200 while the event loop turns), `/readyz` (200, or 503
 * with one line for each thing that is waited for) and `/metrics` (Prometheus text, version 0.0.4); and `routes`. Only GET;
 * 401, 403 and 503 are `access`'s. Rejects with the system's error where the port cannot be had.
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const { access, log } = options;
  const routes = [...standardRoutes(options), ...(options.routes ?? [])];
  const stopping = new AbortController();
  const server = fastify({ logger: false, forceCloseConnections: true, exposeHeadRoutes: false });
  for (const route of routes) {
    server.get(route.path, (request, reply) =>
      answer({ route, access, log, stopping: stopping.signal }, request, reply),
    );
  }
  refuseOthers(server, routes);
  await server.listen({ port: options.port, host: options.ip });
  const bound = server.server.address() as AddressInfo;
  const address = { ip: bound.address, port: bound.port };
  log.info({ ...address }, 'admin server listens');
  return {
    address,
    close: () => {
      stopping.abort();
      return server.close();
    },
  };
}

/** One of server-sent events (WHATWG HTML, "Server-sent events"). `data` may have several lines. */
export function formatEvent(name: string, data: string): string {
  const lines = data.split(/\r\n?|\n/).map((line) => `data: ${line}\n`); // no other character ends one
  return `event: ${name}\n${lines.join('')}\n`;
}

function standardRoutes({ readiness, metrics, notes = [] }: AdminServerOptions): AdminRoute[] {
  const lines = (texts: readonly string[]) => [...texts, ...notes].map((text) => `${text}\n`).join('');
  return [
    { path: '/livez', access: 'probe', handle: (_request, reply) => reply.text('ok\n') },
    {
      path: '/readyz',
      access: 'probe',
      handle: (_request, reply) => {
        const pending = readiness.pending();
        if (pending.length === 0) reply.text(lines(['ok']));
        else reply.text(lines(pending), 503);
      },
    },
    {
      path: '/metrics',
      access: 'metrics',
      handle: async (_request, reply) => reply.send(await metrics.render(), METRICS_CONTENT_TYPE),
    },
  ];
}

interface Serving {
  readonly route: AdminRoute;
  readonly access: AdminAccess;
  readonly log: Log;
  readonly stopping: AbortSignal;
}

async function answer({ route, access, log, stopping }: Serving, request: FastifyRequest, reply: FastifyReply) {
  const { raw, headers } = request;
  const [path = '/', query = ''] = request.url.split(/\?(.*)/s);
  const ofPath = typeof route.access === 'string' ? route.access : route.access(path);
  reply.headers(ofPath === 'page' ? { ...HEADERS, 'content-security-policy': PAGE_POLICY } : HEADERS);
  const refusal = await access.refusal(ofPath, headers);
  if (refusal !== undefined) {
    if (refusal.status === 401) reply.header('www-authenticate', 'Bearer');
    return reply.code(refusal.status).type('text/plain; charset=utf-8').send(refusal.text);
  }
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  if (reply.raw.destroyed) gone.abort();
  const signal = AbortSignal.any([gone.signal, stopping]);
  try {
    await route.handle({ path, query: new URLSearchParams(query), headers, signal, raw }, replyOf(reply, signal));
  } catch (error) {
    log.error({ err: error, path }, 'admin server: a request could not be answered');
    if (!reply.raw.headersSent && !reply.sent) {
      return reply
        .code(500)
        .type('text/plain; charset=utf-8')
        .send(`this failed; the log of ${log.bindings().name} says why\n`);
    }
    reply.raw.destroy();
  }
  return reply;
}

function replyOf(reply: FastifyReply, signal: AbortSignal): AdminReply {
  const take = (): ServerResponse => {
    reply.hijack();
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) reply.raw.setHeader(name, value);
    }
    return reply.raw;
  };
  return {
    json: (value, status = 200) => void reply.code(status).type('application/json').send(JSON.stringify(value)),
    text: (text, status = 200) => void reply.code(status).type('text/plain; charset=utf-8').send(text),
    send: (body, type, headers = {}) => void reply.headers(headers).type(type).send(body),
    events: () => writeEvents(take(), signal),
    raw: take,
  };
}

function writeEvents(response: ServerResponse, signal: AbortSignal): (text: string) => boolean {
  // Proxies on the way are not to collect events before they pass them on (nginx's word for it).
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
  response.flushHeaders();
  signal.addEventListener('abort', () => response.end(), { once: true });
  if (signal.aborted) response.end();
  return (text) => {
    if (signal.aborted || response.writableNeedDrain) return false;
    response.write(text);
    return true;
  };
}

function refuseOthers(server: FastifyInstance, routes: readonly AdminRoute[]): void {
  const known = routes.map(({ path }) => `${path}\n`).join('');
  server.setNotFoundHandler({}, (request, reply) => {
    reply.headers(HEADERS).type('text/plain; charset=utf-8');
    if (request.method === 'GET') return reply.code(404).send(`there is no such path here; there are:\n${known}`);
    return reply.code(405).header('allow', 'GET').send('only GET is answered here: nothing can be changed\n');
  });
}
