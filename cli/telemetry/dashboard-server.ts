import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import type { Passed } from '../cluster/daemons.ts';

/** Passes a GET on: gives the answer as it comes, or throws an Error whose message is for the person at the browser. */
export type PassOn = (path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<Passed>;

export interface DashboardServer {
  readonly port: number;
  close(): Promise<void>;
}

const LOOPBACK = '127.0.0.1';
/** What the console is told of the browser; cookies and credentials of other servers on this machine are none of its business. */
const PASSED = ['accept', 'accept-encoding', 'accept-language', 'if-none-match', 'last-event-id', 'range'];
/** Of one connection alone (RFC 9110, 7.6.1), and cookies, which would be those of every server on this host. */
const KEPT_BACK = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'proxy-connection', 'set-cookie'];
/** API servers put this before absolute links of the pages that pass through their proxy. */
const PROXY_PREFIX = /^\/api\/v1\/namespaces\/[^/]+\/pods\/[^/]+\/proxy(?=\/|$)/;

/**
 * Serves on 127.0.0.1 what `pass` gives. Everyone's browser reaches this port with any page that is open in it, so only this server's own pages are
 * answered: the Host must be this one (DNS rebinding), and no other site may have asked. Rejects where the port cannot be had.
 */
export async function startDashboard(port: number, pass: PassOn): Promise<DashboardServer> {
  const server = createServer((request, response) => {
    const { port: own } = server.address() as AddressInfo;
    const why = refusalOf(request.method ?? '', request.headers, own);
    if (why !== undefined) return answer(response, ...why);
    void serve(request, response, pass);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, LOOPBACK, resolve);
  });
  return { port: (server.address() as AddressInfo).port, close: () => closed(server) };
}

/** Why a request is not passed on; undefined where it is. */
export function refusalOf(
  method: string,
  headers: IncomingHttpHeaders,
  port: number,
): readonly [status: number, why: string] | undefined {
  const own = [`localhost:${port}`, `${LOOPBACK}:${port}`];
  const { host = '', origin } = headers;
  if (!own.includes(host.toLowerCase())) return [421, `this is http://${own[0]}/ and no other host`];
  if (method !== 'GET' && method !== 'HEAD') return [405, 'only GET'];
  if (origin !== undefined && origin !== `http://${host.toLowerCase()}`) return [403, 'another site asked'];
  // Of what other sites make a browser do, only a link to here that somebody follows is let in (Fetch Metadata).
  const { 'sec-fetch-site': site = 'none', 'sec-fetch-mode': mode, 'sec-fetch-dest': dest } = headers;
  const followed = mode === 'navigate' && dest === 'document';
  if (site !== 'same-origin' && site !== 'none' && !followed) return [403, 'another site asked'];
  return undefined;
}

async function serve(request: IncomingMessage, response: ServerResponse, pass: PassOn): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  try {
    const headers = Object.fromEntries(
      PASSED.flatMap((name) => {
        const value = request.headers[name];
        return typeof value === 'string' ? [[name, value]] : [];
      }),
    );
    const path = (request.url ?? '/').replace(PROXY_PREFIX, '');
    const passed = await pass(path.startsWith('/') ? path : `/${path}`, headers, gone.signal);
    const fields = Object.entries(passed.headers).filter(([name]) => !KEPT_BACK.includes(name));
    response.writeHead(passed.status || 502, Object.fromEntries(fields) as Record<string, string | string[]>);
    // Events are to be seen as they come, the head before the first of them.
    response.flushHeaders();
    if (request.method === 'HEAD') {
      passed.body.destroy();
      response.end();
    } else pipeline(passed.body, response, () => {});
  } catch (error) {
    if (!gone.signal.aborted) answer(response, 502, error instanceof Error ? error.message : String(error));
  }
}

function answer(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) return void response.destroy();
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' };
  response.writeHead(status, headers).end(`nodemesh dashboard: ${text}\n`);
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
