import type { ServerResponse } from 'node:http';
import util from 'node:util';
import type HttpProxy from 'http-proxy';
import type { AccessClass } from '../admin-access.ts';
import type { AdminReply, AdminRequest, AdminRoute } from '../admin-server.ts';
import type { DaemonClient } from './daemon-client.ts';
import type { DaemonAddress } from './daemon-list.ts';
import { addressText } from './mesh-daemons.ts';

/** What may be asked of a daemon through the control plane. */
const PATHS: Readonly<Record<string, AccessClass>> = {
  stats: 'diagnostics',
  resolve: 'diagnostics',
  endpoints: 'diagnostics',
  peers: 'diagnostics',
  config: 'diagnostics',
  tap: 'tap',
  requests: 'tap',
};
/** Taps send something every ten seconds. */
const SILENCE_MS = 25_000;
const PASSED_ON = new Set(['content-type', 'content-length', 'transfer-encoding', 'connection', 'x-accel-buffering']);
const FORMS = `/nodes/<node>/<path>, with one of these paths: ${Object.keys(PATHS).join(', ')}`;

/**
 * `/nodes/<node>/<path>` of the control plane: passes a GET on to that daemon's admin port. The viewer's own fields, his token
 * and cookies among them, stay here; of the daemon's answer only what describes its body goes on.
 */
export class NodeProxy {
  readonly #client: DaemonClient;
  readonly #list: () => Promise<readonly DaemonAddress[]>;
  #proxy: HttpProxy | undefined;

  constructor(client: DaemonClient, list: () => Promise<readonly DaemonAddress[]>) {
    this.#client = client;
    this.#list = list;
  }

  get route(): AdminRoute {
    return {
      path: '/nodes/*',
      access: (path) => accessOf(path.split('/')[3] ?? '') ?? 'diagnostics',
      handle: (request, reply) => this.#pass(request, reply),
    };
  }

  async #pass(request: AdminRequest, reply: AdminReply): Promise<void> {
    const [, , node = '', path = '', ...more] = request.path.split('/');
    if (accessOf(path) === undefined || more.length > 0) return reply.json(wrong('there is no such path', FORMS), 404);
    const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
    // Without its fields a body would be read as the next request.
    if (length !== '0' || coding !== undefined) return reply.json(wrong('a body is not passed on', 'send none'), 400);
    const daemons = await this.#list();
    const daemon = daemons.find((one) => one.node === node);
    if (daemon === undefined) {
      const known = daemons.slice(0, 50).map((one) => one.node);
      return reply.json(wrong(`there is no daemon on node "${node}"`, `nodes with one: ${known.join(', ')}`), 404);
    }
    const host = addressText(daemon);
    // In parts: http-proxy reads a text by `url.parse`, which is deprecated (DEP0169).
    const target = { protocol: 'http:', host, hostname: daemon.ip, port: String(daemon.port) };
    const headers = await this.#client.headers();
    const { raw } = request;
    raw.headers = { accept: '*/*' };
    raw.url = `/${path}?${request.query}`;
    this.#proxy ??= await makeProxy();
    const proxy = this.#proxy;
    if (request.signal.aborted) return; // nobody would end what is asked for him
    const response = reply.raw();
    await new Promise<void>((resolve) => {
      response.once('close', resolve);
      proxy.web(raw, response, { target, headers }, (error) => fail(error, daemon, response));
    });
  }
}

function accessOf(path: string): AccessClass | undefined {
  return Object.hasOwn(PATHS, path) ? PATHS[path] : undefined;
}

/** Loaded by the first who needs it. */
async function makeProxy(): Promise<HttpProxy> {
  const { default: httpProxy } = await withoutExtend(() => import('http-proxy'));
  // `toProxy`: the path goes on as it is.
  const proxy = httpProxy.createProxyServer({ toProxy: true, changeOrigin: true, proxyTimeout: SILENCE_MS });
  // http-proxy itself waits for an 'aborted' that Node does not tell of a request that was read whole.
  proxy.on('proxyReq', (sent, _request, response) => response.once('close', () => sent.destroy()));
  proxy.on('proxyRes', (answer) => {
    for (const name of Object.keys(answer.headers)) if (!PASSED_ON.has(name)) delete answer.headers[name];
    answer.statusMessage = '';
  });
  return proxy;
}

/** http-proxy 1.18 takes `util._extend` as it is loaded, which Node warns of (DEP0060); what Node names in its stead does the same. */
async function withoutExtend<T>(load: () => Promise<T>): Promise<T> {
  const replaced = Object.getOwnPropertyDescriptor(util, '_extend');
  Object.defineProperty(util, '_extend', { value: Object.assign, configurable: true });
  try {
    return await load();
  } finally {
    if (replaced === undefined) Reflect.deleteProperty(util, '_extend');
    else Object.defineProperty(util, '_extend', replaced);
  }
}

function fail(error: Error, daemon: DaemonAddress, response: ServerResponse): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const { code = '', message } = error as NodeJS.ErrnoException;
  const late = code === 'ECONNRESET' || code === 'ETIMEDOUT';
  const what = `the daemon of ${daemon.node} (${addressText(daemon)}) did not answer: ${message}`;
  const todo = 'see whether it runs: kubectl -n nodemesh get pods -o wide';
  response.writeHead(late ? 504 : 502, { 'content-type': 'application/json' });
  response.end(JSON.stringify(wrong(what, todo)));
}

function wrong(error: string, todo: string): { readonly error: string; readonly todo: string } {
  return { error, todo };
}
