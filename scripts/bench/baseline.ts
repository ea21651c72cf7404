/** What the daemon is compared with: `http-proxy` or plain `node:http` with an Agent, forwarding to one port. */
import { Agent, createServer, request } from 'node:http';
import httpProxy from 'http-proxy';

const [kind, listenPort, upstreamPort] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxFreeSockets: 1024 });
const target = { host: '127.0.0.1', port: Number(upstreamPort), agent };

const proxy = httpProxy.createProxyServer({ agent });
proxy.on('error', () => {});
const server =
  kind === 'http-proxy'
    ? createServer((incoming, answer) => proxy.web(incoming, answer, { target: `http://127.0.0.1:${upstreamPort}` }))
    : createServer((incoming, answer) => {
        const { method, headers } = incoming;
        const path = new URL(incoming.url ?? '/', 'http://x').pathname;
        const forwarded = request({ ...target, method, headers, path }, (response) => {
          answer.writeHead(response.statusCode ?? 502, response.headers);
          response.pipe(answer);
        });
        forwarded.on('error', () => answer.destroy());
        incoming.pipe(forwarded);
      });
server.listen(Number(listenPort), '127.0.0.1');
