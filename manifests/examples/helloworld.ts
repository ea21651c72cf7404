/**
 * The example application, a Node port of linkerd's `helloworld`: one HTTP server that greets, and that calls another one
 * first where it has a target. It knows nothing of a mesh: like any program that honours `http_proxy`, it follows the
 * environment that its pod was given. (It speaks to the proxy itself, and not through Node's own `proxyEnv`, for one
 * reason: that one cannot say from which local address to connect, and in the playground all pods share one network.)
 *
 *     node helloworld.js -addr=10.0.0.1:7778 -text=world                    GET / → world (10.0.0.1)
 *     node helloworld.js -addr=10.0.0.2:7777 -text=Hello -target=world      GET / → Hello (10.0.0.2) world (10.0.0.1)!!
 *
 * `GET /healthz` answers 200 for as long as the pod should get traffic. SIGTERM: unhealthy and every answer closes its
 * connection; after DRAIN_MS it stops accepting, finishes what it has and exits 0.
 */
import {
  Agent,
  createServer,
  type IncomingMessage,
  type RequestOptions,
  request,
  type ServerResponse,
} from 'node:http';

const DRAIN_MS = 3000; // Endpoints and everything that watches them hear of the deletion in this time
const TARGET_TIMEOUT_MS = 10_000;

const flags = readFlags(process.argv.slice(2));
const address = flags.get('addr') ?? ':7777';
const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, ''); // an IPv6 POD_IP comes without brackets
const port = Number(address.slice(address.lastIndexOf(':') + 1));
const text = flags.get('text') ?? 'world';
const target = flags.get('target');
const podIp = process.env.POD_IP || host || 'unknown';
const proxy = process.env.http_proxy ? new URL(process.env.http_proxy) : undefined;
const withoutProxy = (process.env.no_proxy ?? '').split(',');
const agent = new Agent({ keepAlive: true });

let draining = false;
const server = createServer((incoming, answer) => {
  if (incoming.url === '/healthz') return send(answer, draining ? 503 : 200, draining ? 'draining' : 'ok');
  if (target === undefined) return send(answer, 200, `${text} (${podIp})`);
  call(target, incoming).then(
    (greeting) => send(answer, 200, `${text} (${podIp}) ${greeting}!!`),
    (error: Error) => send(answer, 502, `${text} (${podIp}) got no greeting from ${target}: ${error.message}`),
  );
});
server.on('error', (error) => {
  console.error(`helloworld cannot listen on ${address}: ${error.message}`);
  process.exit(1);
});
server.listen(port, host || undefined, () => console.log(`${text} listens on ${address}`));

process.on('SIGTERM', () => {
  if (draining) return;
  draining = true;
  setTimeout(() => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  }, DRAIN_MS);
});
process.on('SIGINT', () => process.exit(0));

/** `-name=value` and `--name=value`, as Go's flag package reads them. Anything else ends the process with status 2. */
function readFlags(args: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    args.map((argument) => {
      const [, name = '', value = ''] = /^--?(addr|text|target)=(.*)$/.exec(argument) ?? [];
      if (name === '') {
        console.error(`helloworld: ${argument}: give -addr=IP:PORT, -text=WORD and, to call another one, -target=HOST`);
        process.exit(2);
      }
      return [name, value];
    }),
  );
}

/** GETs `http://<name>/` and gives its body; rejects for any status but 200. A caller that leaves ends the call. */
function call(name: string, caller: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request(requestOptions(new URL(`http://${name}/`)), (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        const body = Buffer.concat(chunks).toString().trimEnd();
        if (answer.statusCode === 200) resolve(body);
        else reject(new Error(`status ${answer.statusCode}: ${body}`));
      });
    });
    call.on('timeout', () => call.destroy(new Error(`no answer in ${TARGET_TIMEOUT_MS / 1000} s`)));
    call.on('error', reject);
    caller.socket.once('close', () => call.destroy());
    call.end();
  });
}

/** How to ask for `url`: of its own host, or in absolute-form of the proxy (RFC 9112 section 3.2.2). */
function requestOptions(url: URL): RequestOptions {
  const via = withoutProxy.includes(url.hostname) ? undefined : proxy;
  const next = via ?? url;
  const credentials = `${decodeURIComponent(via?.username ?? '')}:${decodeURIComponent(via?.password ?? '')}`;
  return {
    agent,
    timeout: TARGET_TIMEOUT_MS,
    host: next.hostname.replace(/^\[|\]$/g, ''),
    port: next.port || 80,
    path: via ? url.href : url.pathname,
    headers: {
      host: url.host,
      ...(credentials === ':' ? {} : { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` }),
    },
    ...(process.env.POD_IP ? { localAddress: process.env.POD_IP } : {}),
  };
}

function send(answer: ServerResponse, status: number, body: string): void {
  answer.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body) + 1,
    ...(draining ? { connection: 'close' } : {}),
  });
  answer.end(`${body}\n`);
}
