import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type FastifyError, fastify } from 'fastify';
import type { Log } from '../lib/log.ts';
import {
  type AdmissionAnswer,
  type AdmissionRequest,
  formatReview,
  parseReview,
  ReviewError,
} from './admission-review.ts';
import { asRecord, asText } from './pod-view.ts';

/** A review holds up to two objects of at most 3 MiB each and some more (controller-runtime's arithmetic). */
const MAX_BODY_BYTES = 7 * 1024 * 1024;
/** Of all reviews that are being answered: in memory a body takes several times its length, and the pod has a limit. */
const MAX_BODIES_BYTES = 32 * 1024 * 1024;
/** Longer than an API server keeps an idle connection (90 s), so that it is never we who close one under its request. */
const KEEP_ALIVE_MS = 120_000;
/** For one request to arrive in; API servers give up on a webhook after at most 30 s. */
const REQUEST_TIMEOUT_MS = 10_000;
const HANDSHAKE_TIMEOUT_MS = 5_000;
/** How long an answer that is under way when the server closes may take. */
const CLOSE_TIMEOUT_MS = 2_000;
/** Kubernetes API servers have spoken TLS 1.2 since long before any that nodemesh serves. */
const MIN_TLS_VERSION = 'TLSv1.2';

/**
 * One path for each entry of the MutatingWebhookConfiguration, so that a review says which selector the API server has
 * already matched: labelled namespaces, and pods elsewhere, where their own annotation must ask.
 */
const ENTRY_OF_PATH: ReadonlyMap<string, Entry> = new Map([
  ['/mutate', 'labelledNamespaces'],
  ['/mutate/pods', 'otherNamespaces'],
]);

export type Entry = 'labelledNamespaces' | 'otherNamespaces';

export interface ServingCertificate {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

export interface AdmissionServerOptions {
  /** Undefined: every address of the machine. */
  readonly ip: string | undefined;
  readonly port: number;
  /** Answers one review. What it throws becomes HTTP 500, so that failurePolicy decides. */
  readonly answer: (request: AdmissionRequest, entry: Entry) => Promise<AdmissionAnswer>;
  /** Told of every patch: how many bytes it has. */
  readonly onPatch: (bytes: number) => void;
  /** Told of every request that was not answered with a review: the status that it got, and its operation where it says one. */
  readonly onError: (status: number, operation: string) => void;
  readonly log: Log;
}

export interface AdmissionServer {
  readonly address: { readonly ip: string; readonly port: number };
  /** Serves new connections with this certificate; open ones keep theirs. Throws where key and certificate do not fit. */
  setCertificate(certificate: ServingCertificate): void;
  /** From now on every answer closes its connection, so that the API server's next request goes elsewhere. */
  drain(): void;
  /** Stops listening, finishes what is being answered, closes every connection. */
  close(): Promise<void>;
}

/**
 * Serves `POST /mutate` and `POST /mutate/pods` over TLS. It listens at once; until setCertificate was called, every handshake fails.
 * What is no review is answered with 400, 405, 413 or 415, and with 503 what would take too much memory beside what is being
 * answered; the texts never repeat any of the request.
 * Rejects with the system's error where the port cannot be had.
 */
export async function startAdmissionServer(options: AdmissionServerOptions): Promise<AdmissionServer> {
  const { answer, onPatch, onError, log } = options;
  let draining = false;
  const app = fastify<HttpsServer>({
    https: { minVersion: MIN_TLS_VERSION, handshakeTimeout: HANDSHAKE_TIMEOUT_MS },
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
  });

  // JSON.parse makes own properties of keys such as "__proto__", which are legal here; only known keys are ever read.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, JSON.parse(body as string));
    } catch {
      done(new ReviewError('the body is not JSON'));
    }
  });

  let bodies = 0;
  app.addHook('onRequest', async (request, reply) => {
    if (!ENTRY_OF_PATH.has(pathOf(request.url))) {
      return refuse(404, `nothing is here; reviews are answered at POST ${[...ENTRY_OF_PATH.keys()].join(' and ')}`);
    }
    if (request.method !== 'POST') {
      reply.header('allow', 'POST');
      return refuse(405, 'only POST is answered here');
    }
    const length = Math.min(Number(request.headers['content-length'] ?? MAX_BODY_BYTES), MAX_BODY_BYTES);
    if (bodies + length > MAX_BODIES_BYTES) return refuse(503, 'too many large reviews are being answered');
    bodies += length;
    reply.raw.once('close', () => {
      bodies -= length;
    });
    function refuse(status: number, error: string) {
      onError(status, '');
      return reply.code(status).send({ error });
    }
  });
  app.addHook('onSend', async (_request, reply) => {
    if (draining) reply.header('connection', 'close');
  });
  for (const [path, entry] of ENTRY_OF_PATH) {
    app.post(path, async (request, reply) => {
      const review = parseReview(request.body);
      const formatted = formatReview(review, await answer(review, entry));
      const { patch } = formatted.response;
      if (patch !== undefined) onPatch(Buffer.byteLength(patch, 'base64'));
      return reply.type('application/json').send(JSON.stringify(formatted));
    });
  }
  app.setErrorHandler((error: FastifyError | ReviewError, request, reply) => {
    const status = error instanceof ReviewError ? 400 : (error.statusCode ?? 500);
    onError(status, asText(asRecord(asRecord(request.body)?.request)?.operation) ?? '');
    if (status >= 500) log.error({ err: error }, 'a review could not be answered; failurePolicy decides');
    return reply.code(status).send({ error: errorText(error, status) });
  });

  await app.listen({ port: options.port, host: options.ip ?? everyAddress() });
  const { address: ip, port } = app.server.address() as AddressInfo;
  const address = { ip, port };
  log.info(address, 'webhook listens');
  return {
    address,
    setCertificate: ({ cert, key }) => app.server.setSecureContext({ cert, key, minVersion: MIN_TLS_VERSION }),
    drain: () => {
      draining = true;
    },
    close: async () => {
      const timer = setTimeout(() => app.server.closeAllConnections(), CLOSE_TIMEOUT_MS);
      await app.close();
      clearTimeout(timer);
    },
  };
}

function pathOf(url: string): string {
  const end = url.indexOf('?');
  return end < 0 ? url : url.slice(0, end);
}

/** Errors of the library carry parts of the request in their messages; these texts do not. */
function errorText(error: Error, status: number): string {
  if (error instanceof ReviewError) return error.message;
  if (status === 413) return `the body is larger than ${MAX_BODY_BYTES} bytes`;
  if (status === 415) return 'the content type is not application/json';
  if (status < 500) return 'the request is not understood';
  return 'internal error; see the log of this pod';
}

/** The address that stands for all: the wildcard of IPv6, which takes IPv4 too, wherever the machine has IPv6. */
export function everyAddress(): string {
  const interfaces = Object.values(networkInterfaces()).flat();
  return interfaces.some((one) => one?.family === 'IPv6') ? '::' : '0.0.0.0';
}
