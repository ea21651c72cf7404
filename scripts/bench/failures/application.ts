/**
 * A pod of the failure cases, in a process of its own: started with its address, its port and its name; tells its parent 'ready'
 * when it listens, and at its end what it was asked (Seen). Answers with its name, in the way that `POST /behaviour` last said; `GET /seen` tells what it was asked.
 * At SIGTERM it finishes what it has read and closes connections as they become idle, unless it was told to die at once.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

/** What is told with `POST /behaviour`, as JSON; what is left out is as it was at the beginning. */
export interface Behaviour {
  readonly latencyMs?: number;
  /** The part of the requests that is answered 503, after `failureMs` in place of `latencyMs`. */
  readonly failureRate?: number;
  readonly failureMs?: number;
  /** Ends at SIGTERM at once, whatever is under way. */
  readonly abrupt?: boolean;
}

/** The requests that have come, in their order: when (ms since 1970), and their `request-id`. */
export type Seen = readonly (readonly [atMs: number, id: string])[];

const [ip = '', port = '', name = ''] = process.argv.slice(2);
const CLOSE_IDLE_MS = 10;

let behaviour: Behaviour = {};
const seen: (readonly [number, string])[] = [];

const server = createServer({ keepAliveTimeout: 30_000 }, (request, response) => {
  if (request.url === '/behaviour') learn(request, response);
  else if (request.url === '/seen') response.end(JSON.stringify(seen));
  else answer(request, response);
});

function learn(request: IncomingMessage, response: ServerResponse): void {
  let text = '';
  request.on('data', (piece: Buffer) => {
    text += piece.toString();
  });
  request.on('end', () => {
    behaviour = JSON.parse(text) as Behaviour;
    response.end();
  });
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  seen.push([Date.now(), String(request.headers['request-id'])]);
  const { latencyMs = 0, failureRate = 0, failureMs = latencyMs } = behaviour;
  const fails = Math.random() < failureRate;
  const end = () => response.writeHead(fails ? 503 : 200, { pod: name }).end(name);
  request.resume();
  request.on('error', () => {});
  request.on('end', () => {
    const waitMs = fails ? failureMs : latencyMs;
    if (waitMs === 0) end();
    else setTimeout(end, waitMs);
  });
}

process.on('SIGTERM', () => {
  if (behaviour.abrupt === true) process.exit();
  server.close(() => process.send?.(seen, () => process.exit()));
  setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_MS);
});
process.on('disconnect', () => process.exit());
server.listen(Number(port), ip, () => process.send?.('ready'));
