import { existsSync } from 'node:fs';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import type { Log } from '../log.ts';
import { Turns } from '../turns.ts';
import { type Credentials, inClusterAccess, type ServerAccess } from './credentials.ts';
import { kubeconfigAccess } from './kubeconfig.ts';
import { ListReader } from './list-reader.ts';
import { readLines, readStart, readText } from './response-body.ts';
import {
  type ApiRequest,
  type ApiStream,
  type KubernetesApi,
  KubernetesError,
  type KubernetesObject,
  type ListMetadata,
  type ListRequest,
} from './types.ts';

const SERVICE_ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';
const DEFAULT_TIMEOUT_MS = 10_000;
/** An API server sends a watch's head at once, but one that has just started fills its caches first. */
const STREAM_OPEN_TIMEOUT_MS = 30_000;
const STREAM_KEEP_ALIVE_MS = 30_000;
/** A page of 500 objects seldom takes a tenth of it. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;
const MAX_ERROR_BYTES = 64 * 1024;

type Agent = HttpAgent | HttpsAgent | false;

/**
 * The API server that the environment names: the pod's own, with its service account, where KUBERNETES_SERVICE_HOST and the
 * token are there and KUBECONFIG is not; else the kubeconfig's of KUBECONFIG or ~/.kube/config. Opens no connection.
 * Throws an Error that names what is missing.
 */
export function loadKubernetesApi(options: {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
}): HttpKubernetesApi {
  const { env, log } = options;
  const access = findAccess(env);
  log.info({ server: access.server.href }, 'Kubernetes API server');
  return new HttpKubernetesApi(access);
}

function findAccess(env: Readonly<Record<string, string | undefined>>): ServerAccess {
  const { KUBECONFIG = '', KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443', HOME } = env;
  if (KUBECONFIG !== '') return kubeconfigAccess(KUBECONFIG);
  const token = `${SERVICE_ACCOUNT_DIRECTORY}/token`;
  if (host !== '' && existsSync(token)) {
    const server = new URL(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`);
    return inClusterAccess(server, SERVICE_ACCOUNT_DIRECTORY, () => performance.now());
  }
  const file = HOME === undefined ? undefined : join(HOME, '.kube', 'config');
  if (file !== undefined && existsSync(file)) return kubeconfigAccess(file);
  const inCluster =
    host === ''
      ? 'KUBERNETES_SERVICE_HOST is not set, so this is no pod'
      : `there is no ${token}: does the pod have automountServiceAccountToken: false?`;
  throw new Error(
    `no Kubernetes API server is configured: KUBECONFIG is not set, there is no ${file ?? '~/.kube/config'}, and ${inCluster}`,
  );
}

/** The API over HTTP/1.1: requests over kept connections, each stream over one of its own. */
export class HttpKubernetesApi implements KubernetesApi {
  readonly server: string;
  readonly #access: ServerAccess;
  readonly #agent: HttpAgent | HttpsAgent;

  constructor(access: ServerAccess) {
    this.#access = access;
    this.server = access.server.href.replace(/\/$/, '');
    this.#agent =
      access.server.protocol === 'https:' ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true });
  }

  async request(request: ApiRequest): Promise<unknown> {
    const { call, status, value } = await this.#answered(request, (response) => readText(response, MAX_BODY_BYTES));
    return parseJson(call, status, value);
  }

  async list(request: ListRequest, take: (object: KubernetesObject) => void): Promise<ListMetadata> {
    const reader = new ListReader((text) =>
      take(parseJson(`GET ${this.server}${request.path}`, 200, text) as KubernetesObject),
    );
    const { call, status } = await this.#answered({ ...request, method: 'GET' }, async (response) => {
      const turns = new Turns();
      for await (const bytes of response as AsyncIterable<Buffer>) {
        reader.push(bytes);
        await turns.end();
      }
    });
    let metadata: ListMetadata | undefined;
    try {
      metadata = reader.end();
    } catch (error) {
      throw notJson(call, status, reader.start, error);
    }
    if (metadata !== undefined) return metadata;
    throw new KubernetesError(status, 'NotAList', `${call}: the answer is no list; is this an API server?`);
  }

  /** Reads an answer of success; any other is thrown. */
  async #answered<T>(
    request: ApiRequest,
    read: (response: IncomingMessage) => Promise<T>,
  ): Promise<{ readonly call: string; readonly status: number; readonly value: T }> {
    const { method, path, timeoutMs = DEFAULT_TIMEOUT_MS } = request;
    const deadline = AbortSignal.timeout(timeoutMs);
    const signal = request.signal === undefined ? deadline : AbortSignal.any([request.signal, deadline]);
    const call = `${method} ${this.server}${path}`;
    try {
      const response = await this.#authenticated(request, this.#agent, signal);
      const status = response.statusCode ?? 0;
      if (isSuccess(status)) return { call, status, value: await read(response) };
      throw refusal(call, status, (await readStart(response, MAX_ERROR_BYTES)).text);
    } catch (error) {
      if (error instanceof KubernetesError) throw error;
      if (deadline.aborted) throw noAnswer(call, 'Timeout', `no answer within ${timeoutMs} ms`, error);
      if (request.signal?.aborted === true) throw noAnswer(call, 'Aborted', 'given up by the caller', error);
      throw noAnswer(call, 'Unreachable', causeOf(error), error);
    }
  }

  /**
   * A GET with fields of its own, for what is behind the server (pods/proxy): gives the answer whatever its status is, its body
   * unread. `signal` ends the body too. Throws KubernetesError with status 0 where there is no answer.
   */
  async open(path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<IncomingMessage> {
    try {
      const response = await this.#authenticated({ method: 'GET', path }, this.#agent, signal, headers);
      response.on('error', () => {}); // it may break before it is read
      return response;
    } catch (error) {
      const why = causeOf(signal.aborted ? signal.reason : error);
      throw noAnswer(`GET ${this.server}${path}`, signal.aborted ? 'Aborted' : 'Unreachable', why, error);
    }
  }

  async stream(path: string, signal: AbortSignal): Promise<ApiStream> {
    const call = `GET ${this.server}${path}`;
    const opening = new AbortController();
    const timer = setTimeout(
      () => opening.abort(new Error(`no answer within ${STREAM_OPEN_TIMEOUT_MS} ms`)),
      STREAM_OPEN_TIMEOUT_MS,
    );
    try {
      const response = await this.#authenticated(
        { method: 'GET', path },
        false,
        AbortSignal.any([signal, opening.signal]),
      );
      // Its reader may not have begun when the connection breaks.
      response.on('error', () => {});
      const status = response.statusCode ?? 0;
      if (status === 200) return new ResponseStream(response, call, signal);
      const { text } = await readStart(response, MAX_ERROR_BYTES);
      return { status, errorBody: text, lines: nothing(), close: () => {} };
    } catch (error) {
      if (signal.aborted) throw noAnswer(call, 'Aborted', 'given up by the caller', error);
      throw noAnswer(call, 'Unreachable', causeOf(opening.signal.aborted ? opening.signal.reason : error), error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A 401 is asked again with renewed credentials, once: a token may have been replaced since it was read. */
  async #authenticated(
    request: ApiRequest,
    agent: Agent,
    signal: AbortSignal,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<IncomingMessage> {
    const send = async (renew: boolean) =>
      this.#send(request, agent, await orAborted(this.#access.credentials(renew), signal), signal, headers);
    const response = await send(false);
    if (response.statusCode !== 401) return response;
    response.resume();
    return send(true);
  }

  #send(
    request: ApiRequest,
    agent: Agent,
    credentials: Credentials,
    signal: AbortSignal,
    headers: Readonly<Record<string, string>>,
  ): Promise<IncomingMessage> {
    const { server } = this.#access;
    const { method, path, body, contentType = 'application/json' } = request;
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const sent = (server.protocol === 'https:' ? httpsRequest : httpRequest)({
        ...credentials.tls,
        host: server.hostname.replace(/^\[|\]$/g, ''),
        port: server.port === '' ? (server.protocol === 'https:' ? 443 : 80) : server.port,
        method,
        path: `${server.pathname.replace(/\/$/, '')}${path}`,
        headers: {
          host: server.host,
          accept: 'application/json',
          'user-agent': 'nodemesh',
          ...headers,
          ...(text === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
          ...credentials.headers,
        },
        agent: credentials.proxy ?? agent,
        signal,
      });
      if (agent === false) sent.setSocketKeepAlive(true, STREAM_KEEP_ALIVE_MS);
      sent.on('response', resolve);
      sent.on('error', (error: NodeJS.ErrnoException) => {
        // The server closed a kept connection just as it was used: what only reads is asked again over a new one.
        const stale = sent.reusedSocket && method === 'GET' && error.code === 'ECONNRESET';
        if (stale && agent !== false) resolve(this.#send(request, false, credentials, signal, headers));
        else reject(error);
      });
      sent.end(text);
    });
  }
}

/** An open watch. Its lines end quietly where its reader ends them; a connection that breaks is a KubernetesError. */
class ResponseStream implements ApiStream {
  readonly status = 200;
  readonly lines: AsyncIterable<string>;
  readonly #response: IncomingMessage;
  #closed = false;

  constructor(response: IncomingMessage, call: string, signal: AbortSignal) {
    this.#response = response;
    this.lines = this.#read(call, signal);
  }

  close(): void {
    this.#closed = true;
    this.#response.destroy();
  }

  async *#read(call: string, signal: AbortSignal): AsyncGenerator<string> {
    try {
      yield* readLines(this.#response as AsyncIterable<Buffer>);
    } catch (error) {
      if (this.#closed || signal.aborted) return;
      throw noAnswer(call, 'Unreachable', `the stream broke off: ${causeOf(error)}`, error);
    }
  }
}

async function* nothing(): AsyncGenerator<string> {}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

function noAnswer(call: string, reason: string, why: string, cause: unknown): KubernetesError {
  return new KubernetesError(0, reason, `${call}: ${why}`, cause);
}

/** Takes the body of an answer that is not 2xx: a Status object, or some proxy's text. */
function refusal(call: string, status: number, body: string): KubernetesError {
  let said: { reason?: string; message?: string } = {};
  try {
    said = (JSON.parse(body) ?? {}) as typeof said;
  } catch {
    said = { message: body.trim().slice(0, 200) };
  }
  const { reason = '', message = '' } = said;
  const words = [String(status), reason, message === '' ? '' : `(${message})`].filter((word) => word !== '');
  return new KubernetesError(status, reason, `${call}: ${words.join(' ')}`);
}

function parseJson(call: string, status: number, text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch (error) {
    throw notJson(call, status, text.slice(0, 100), error);
  }
}

function notJson(call: string, status: number, start: string, cause: unknown): KubernetesError {
  return new KubernetesError(
    status,
    'NotJson',
    `${call}: the answer is not JSON but ${JSON.stringify(start)}; is this an API server?`,
    cause,
  );
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // A host with several addresses fails as an AggregateError without a message of its own.
  const { message, code } = error as NodeJS.ErrnoException;
  return message || code || error.name;
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const give = () => reject(signal.reason as Error);
    if (signal.aborted) give();
    signal.addEventListener('abort', give, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', give));
  });
}
