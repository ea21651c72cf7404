/**
 * The mixed traffic of the soak, and the applications that it is meant for, in one process: started with the daemon's port, the
 * applications' two ports and how many requests a second; takes SoakOrders, and answers 'counts' with a SoakCount. Ends with its
 * parent.
 */
import { Agent, createServer, type RequestOptions, request, type Server } from 'node:http';
import type { Socket } from 'node:net';

/** How many requests of each kind have been made, and how many ended otherwise than they should. */
export type SoakCount = Readonly<Record<string, { readonly done: number; readonly wrong: number }>>;

/** To begin with the requests, or to say what became of them so far. */
export type SoakOrder = 'begin' | 'counts';

const [port = 0, steadyPort = 0, flakyPort = 0, perSecond = 0] = process.argv.slice(2).map(Number);
const TICK_MS = 10;
/** The second application is there for so long, and then away for as long. */
const FLAKY_MS = 10_000;
const ANSWER_LATER_MS = 50;
const SMALL = Buffer.alloc(64, 'x');
const LARGE = Buffer.alloc(256 * 1024, 'x');
const POSTED = Buffer.alloc(16 * 1024, 'y');

/** Ends well with true. */
type Kind = (end: (well: boolean) => void) => void;

const agent = new Agent({ keepAlive: true, maxSockets: 200 });
const counts: Record<string, { done: number; wrong: number }> = {};

/** In a hundred requests, how many are of which kind. */
const MIX: readonly (readonly [number, string, Kind])[] = [
  [55, 'keep-alive', (end) => ask({ agent, path: 'http://web/' }, undefined, end)],
  [10, 'connection per request', (end) => ask({ agent: false, path: 'http://web/' }, undefined, end)],
  [12, 'body', (end) => ask({ agent, path: 'http://web/', method: 'POST' }, POSTED, end)],
  [5, 'large answer', (end) => ask({ agent, path: 'http://web/large' }, undefined, end)],
  [6, 'failing pod', (end) => ask({ agent, path: 'http://flaky/' }, undefined, end)],
  [3, 'answer cut off', (end) => ask({ agent, path: 'http://web/cut' }, undefined, (well) => end(!well))],
  [3, 'no such name', (end) => ask({ agent, path: 'http://nobody/' }, undefined, (well) => end(!well))],
  [2, 'aborted while waiting', (end) => abort('http://web/later', end)],
  [2, 'aborted while reading', (end) => abort('http://web/large', end)],
  [2, 'upgrade', upgrade],
];

function ask(options: RequestOptions, body: Buffer | undefined, end: (well: boolean) => void): void {
  const asked = request({ host: '127.0.0.1', port, ...options }, (response) => {
    response.resume();
    response.on('close', () => end(response.complete && response.statusCode === 200));
  });
  asked.on('error', () => end(false));
  asked.end(body);
}

function abort(path: string, end: (well: boolean) => void): void {
  const asked = request({ host: '127.0.0.1', port, path, agent: false });
  asked.on('error', () => {});
  asked.on('response', (response) => {
    response.on('error', () => {});
    response.once('data', () => asked.destroy());
  });
  asked.on('close', () => end(true));
  setTimeout(() => asked.destroy(), ANSWER_LATER_MS / 2);
  asked.end();
}

function upgrade(end: (well: boolean) => void): void {
  const headers = { Connection: 'Upgrade', Upgrade: 'echo' };
  const asked = request({ host: '127.0.0.1', port, path: 'http://web/', agent: false, headers });
  asked.on('error', () => end(false));
  asked.on('upgrade', (_response, socket) => {
    let echoed = false;
    socket.on('error', () => {});
    socket.once('data', () => {
      echoed = true;
      socket.end();
    });
    socket.on('close', () => end(echoed));
    socket.write('ping');
  });
  asked.end();
}

function application(): Server {
  const server = createServer({ keepAliveTimeout: 20_000 }, (incoming, response) => {
    incoming.resume();
    incoming.on('error', () => {});
    if (incoming.url === '/cut') {
      response.writeHead(200, { 'Content-Length': 2 * SMALL.length });
      response.write(SMALL, () => response.destroy());
    } else if (incoming.url === '/later') {
      setTimeout(() => response.end(SMALL), ANSWER_LATER_MS);
    } else {
      response.end(incoming.url === '/large' ? LARGE : SMALL);
    }
  });
  return server.on('upgrade', (_request, socket: Socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.pipe(socket);
  });
}

function comeAndGo(): void {
  const server = application().listen(flakyPort, '127.0.0.1');
  setTimeout(() => {
    server.close();
    server.closeAllConnections();
    setTimeout(comeAndGo, FLAKY_MS);
  }, FLAKY_MS);
}

const KINDS = MIX.flatMap(([share, name, kind]) => Array.from({ length: share }, () => [name, kind] as const));

function sendOne(): void {
  const [name, kind] = KINDS[Math.floor(Math.random() * KINDS.length)] ?? ['', () => {}];
  counts[name] ??= { done: 0, wrong: 0 };
  const count = counts[name];
  let ended = false;
  kind((well) => {
    if (ended) return;
    ended = true;
    count.done += 1;
    if (!well) count.wrong += 1;
  });
}

function begin(): void {
  const startedAt = performance.now();
  let sent = 0;
  setInterval(() => {
    const due = Math.floor(((performance.now() - startedAt) * perSecond) / 1_000);
    for (; sent < due; sent += 1) sendOne();
  }, TICK_MS);
}

application().listen(steadyPort, '127.0.0.1');
comeAndGo();
process.on('message', (message: SoakOrder) => {
  if (message === 'begin') begin();
  else process.send?.(counts);
});
process.on('disconnect', () => process.exit());
