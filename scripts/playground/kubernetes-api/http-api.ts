import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApiError } from './api-error.ts';
import type { ApiAnswer, ApiRequests, WatchCall } from './api-requests.ts';
import type { ObjectStore, WatchEvent } from './object-store.ts';
import type { PodProxy } from './pod-proxy.ts';
import { WatchSession } from './watch-session.ts';

/** etcd's own limit on the size of a request. */
const MAX_BODY_BYTES = 3 * 1024 * 1024;

interface OpenWatch {
  readonly session: WatchSession;
  readonly response: ServerResponse;
}

/** Carries the API's requests and watches over node:http. */
export class HttpApi {
  readonly #store: ObjectStore;
  readonly #requests: ApiRequests;
  readonly #proxy: PodProxy;
  readonly #bookmarkMs: number;
  readonly #watches = new Set<OpenWatch>();
  /** API servers tell a watcher that it is too old in either way. */
  expiryToldBy: 'event' | 'status' = 'event';

  constructor(store: ObjectStore, requests: ApiRequests, proxy: PodProxy, bookmarkMs: number) {
    this.#store = store;
    this.#proxy = proxy;
    this.#requests = requests;
    this.#bookmarkMs = bookmarkMs;
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/' } = request;
    try {
      if (this.#proxy.serve(request, response)) return;
      const body = await readBody(request);
      if (body === undefined) throw new ApiError(413, 'RequestEntityTooLarge', `limit is ${MAX_BODY_BYTES} bytes`);
      const { authorization, 'content-type': contentType = 'application/json' } = request.headers;
      const watch = this.#requests.watchOf({ method, url, authorization });
      if (watch !== undefined) return this.#openWatch(watch, response);
      send(response, await this.#requests.answer({ method, url, contentType, body, authorization }));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      send(response, { status: error.code, body: error.toStatus() });
    }
  }

  closeWatches(): void {
    for (const { response } of this.#watches) response.destroy();
  }

  silenceWatches(): void {
    for (const { session } of this.#watches) session.silent = true;
  }

  /** Throws ApiError 410 where that is told by the HTTP status. */
  #openWatch(watch: WatchCall, response: ServerResponse): void {
    const write = (event: WatchEvent) => response.write(`${JSON.stringify(event)}\n`);
    let session: WatchSession;
    try {
      session = new WatchSession(this.#store, { ...watch, send: write });
    } catch (error) {
      if (!(error instanceof ApiError) || this.expiryToldBy === 'status') throw error;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify({ type: 'ERROR', object: error.toStatus() })}\n`);
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    session.start();
    const open = { session, response };
    this.#watches.add(open);
    const bookmarks = watch.bookmarks ? setInterval(() => session.bookmark(), this.#bookmarkMs) : undefined;
    const end = setTimeout(() => {
      // An API server sends a last bookmark shortly before it ends a watch, so that the next one begins there.
      if (watch.bookmarks) session.bookmark();
      if (!session.silent) response.end();
    }, watch.timeoutSeconds * 1_000);
    response.on('close', () => {
      this.#watches.delete(open);
      session.end();
      clearInterval(bookmarks);
      clearTimeout(end);
    });
  }
}

/** undefined where the body is larger than the API takes. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  return bytes > MAX_BODY_BYTES ? undefined : Buffer.concat(chunks).toString();
}

function send(response: ServerResponse, { status, body }: ApiAnswer): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const type = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
