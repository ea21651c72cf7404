/** What the daemon is compared with: `http-proxy`, or `node:http` that asks by its own Agent or by undici; to one port. */
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  request,
} from 'node:http';
import httpProxy from 'http-proxy';
import { Pool } from 'undici';

const [kind, listenPort, upstreamPort] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxFreeSockets: 1024 });
const target = { host: '127.0.0.1', port: Number(upstreamPort), agent };

const origin = `http://127.0.0.1:${upstreamPort}`;
const pool = new Pool(origin, { connections: 1024 });
const proxy = httpProxy.createProxyServer({ agent });
proxy.on('error', () => {});

const PROXIES: Record<string, RequestListener> = {
  'http-proxy': (incoming, answer) => proxy.web(incoming, answer, { target: origin }),
  node: (incoming, answer) => {
    const forwarded = request({ ...target, ...forwardable(incoming) }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    forwarded.on('error', () => answer.destroy());
    incoming.pipe(forwarded);
  },
  undici: (incoming, answer) => {
    const body = incoming.method === 'GET' ? null : incoming;
    pool
      .stream({ ...forwardable(incoming), body }, ({ statusCode, headers }) => answer.writeHead(statusCode, headers))
      .catch(() => answer.destroy());
  },
};

function forwardable({ method = 'GET', headers, url = '/' }: IncomingMessage): {
  method: string;
  headers: IncomingHttpHeaders;
  path: string;
} {
  delete headers.connection; // of this connection only (RFC 9110 §7.6.1)
  delete headers['proxy-connection'];
  return { method, headers, path: new URL(url, 'http://x').pathname };
}

createServer(PROXIES[kind ?? '']).listen(Number(listenPort), '127.0.0.1');
