import { Agent, type IncomingMessage, request } from 'node:http';
import type { DaemonAddress } from './daemon-list.ts';
import type { ViewerToken } from './viewer-token.ts';

const MAX_BYTES = 8 * 1024 * 1024;
const MAX_ERROR_CHARS = 300;
const OPEN_TIMEOUT_MS = 3_000;

/** A daemon's answer, read whole. */
export interface DaemonAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** Asks daemons' admin ports. Believes nothing of what comes: answers are limited in time and size. */
export class DaemonClient {
  readonly #token: ViewerToken;
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 1, timeout: 30_000 });

  constructor(token: ViewerToken) {
    this.#token = token;
  }

  /** What a daemon is sent: who asks, and nothing of whoever looks. */
  async headers(): Promise<Record<string, string>> {
    const token = await this.#token.get();
    return token === undefined ? {} : { 'nodemesh-authorization': `Bearer ${token}` };
  }

  /** Reads an answer of any status. Rejects with an Error whose text says what is wrong. */
  async get(daemon: DaemonAddress, path: string, timeoutMs: number, signal?: AbortSignal): Promise<DaemonAnswer> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const both = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
    try {
      const response = await this.#send(daemon, path, both, this.#agent);
      const body = await readAtMost(response, MAX_BYTES);
      return { status: response.statusCode ?? 0, type: String(response.headers['content-type'] ?? ''), body };
    } catch (error) {
      if (deadline.aborted) throw new Error(`no whole answer within ${timeoutMs / 1_000} s`, { cause: error });
      throw new Error(wordsOf(error), { cause: error });
    }
  }

  /** A JSON answer of status 200. Rejects with an Error whose text says what is wrong, and what to do about a refusal. */
  async json(daemon: DaemonAddress, path: string, timeoutMs: number): Promise<unknown> {
    const { status, body } = await this.get(daemon, path, timeoutMs);
    if (status !== 200) throw new Error(this.#refusal(status, body));
    try {
      return JSON.parse(body);
    } catch {
      throw new Error(
        `what answers there is no daemon of this version: ${JSON.stringify(body.slice(0, 80))} is no JSON`,
      );
    }
  }

  /** An open stream of events. Rejects as `json` does. */
  async stream(daemon: DaemonAddress, path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const opening = new AbortController();
    const timer = setTimeout(() => opening.abort(), OPEN_TIMEOUT_MS);
    try {
      const response = await this.#send(daemon, path, AbortSignal.any([signal, opening.signal]), false);
      if (response.statusCode === 200) {
        signal.addEventListener('abort', () => response.destroy(), { once: true });
        return response;
      }
      throw new Error(this.#refusal(response.statusCode ?? 0, await readAtMost(response, 64 * 1024)));
    } catch (error) {
      if (opening.signal.aborted) throw new Error(`no answer within ${OPEN_TIMEOUT_MS / 1_000} s`, { cause: error });
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #refusal(status: number, body: string): string {
    const said = body.trim().slice(0, MAX_ERROR_CHARS);
    const { failure } = this.#token;
    if (status !== 401 || failure === undefined) return `answered ${status}: ${said}`;
    return `it takes a token, and the API server gave none for ServiceAccount nodemesh-viewer (${failure}): apply the manifests of this version`;
  }

  async #send(
    { ip, port }: DaemonAddress,
    path: string,
    signal: AbortSignal,
    agent: Agent | false,
  ): Promise<IncomingMessage> {
    const headers = await this.headers();
    return new Promise((resolve, reject) => {
      const sent = request({ host: ip, port, path, headers, signal, agent });
      sent.on('response', (response) => {
        response.on('error', () => {}); // its reader may not have begun
        resolve(response);
      });
      sent.on('error', reject);
      sent.end();
    });
  }
}

async function readAtMost(response: IncomingMessage, bytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > bytes) {
      response.destroy();
      throw new Error(`its answer is longer than ${bytes / 1024 / 1024} MiB`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function wordsOf(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED')
    return 'nothing listens there: does the daemon run? kubectl -n nodemesh get pods -o wide';
  return message || code || String(error);
}
