import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pageFiles } from '../../console/page.ts';
import { PAGE_POLICY } from '../../lib/admin-server.ts';
import type { MeshView } from '../../lib/stats/mesh-view.ts';

/** A server that speaks the console's API, and says what it is told. */
export interface FixtureServer {
  /** With the slash at its end. */
  readonly url: string;
  /** What is asked for from now on; whoever listens gets it at once. */
  show(mesh: MeshView): void;
  /** Ends a request, for those who tap. */
  tap(event: 'request' | 'dropped', data: object): void;
  /** What `/api/resolve` answers. */
  resolves(answer: object): void;
  /** From now on all of `/api` answers with this status and text, until `allow`. Streams are broken off. */
  refuse(status: number, text: string): void;
  allow(): void;
  /** Queries of the taps that were asked for, in order. */
  readonly taps: readonly string[];
  close(): Promise<void>;
}

export async function startFixtureServer(first: MeshView): Promise<FixtureServer> {
  const files = await pageFiles();
  const streams = new Set<ServerResponse>();
  const tapStreams = new Set<ServerResponse>();
  const taps: string[] = [];
  let mesh = first;
  let resolution: object = {};
  let refusal: { readonly status: number; readonly text: string } | undefined;
  const server = createServer((request, response) => {
    const { pathname, search, searchParams } = new URL(request.url ?? '/', 'http://fixture');
    if (pathname.startsWith('/api/') && refusal !== undefined) {
      response.writeHead(refusal.status, { 'content-type': 'text/plain' }).end(refusal.text);
    } else if (pathname === '/api/stream') {
      stream(response, streams).write(event('mesh', mesh));
    } else if (pathname === '/api/mesh') json(response, mesh);
    else if (pathname === '/api/tap') {
      taps.push(search);
      stream(response, tapStreams).write(': here\n\n');
    } else if (pathname === '/api/resolve') {
      const asked = { host: searchParams.get('host'), from: searchParams.get('from'), method: 'GET', path: '/' };
      json(response, { ...resolution, asked });
    } else {
      const file = files.get(pathname === '/' ? 'index.html' : pathname.replace('/assets/', ''));
      if (file === undefined) response.writeHead(404).end();
      else
        response.writeHead(200, { 'content-type': file.type, 'content-security-policy': PAGE_POLICY }).end(file.body);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const breakOff = () => {
    for (const response of [...streams, ...tapStreams]) response.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    taps,
    show(next) {
      mesh = next;
      for (const response of streams) response.write(event('mesh', mesh));
    },
    tap(name, data) {
      for (const response of tapStreams) response.write(event(name, data));
    },
    resolves(answer) {
      resolution = answer;
    },
    refuse(status, text) {
      refusal = { status, text };
      breakOff();
    },
    allow() {
      refusal = undefined;
    },
    async close() {
      breakOff();
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function stream(response: ServerResponse, open: Set<ServerResponse>): ServerResponse {
  open.add(response);
  response.on('close', () => open.delete(response));
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  return response;
}

function event(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

function json(response: ServerResponse, value: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}
