import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { HttpKubernetesApi } from '../../lib/kubernetes/client.ts';
import { trimPod } from '../../lib/kubernetes/pod.ts';
import { readLines, readStart, readText } from '../../lib/kubernetes/response-body.ts';
import { KubernetesError } from '../../lib/kubernetes/types.ts';
import { CommandError, messageOf } from '../host.ts';
import { MESH_NAMESPACE } from '../settings.ts';
import { cleanLines } from '../view/text.ts';
import { getObject } from './connection.ts';
import { readEvents, type ServerEvent } from './event-stream.ts';
import { inParallel } from './in-parallel.ts';
import { listAll } from './list-all.ts';
import { ViewerToken } from './viewer-token.ts';

/** An answer, its body unread. */
export interface Passed {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
}

/** A process of the mesh, and where it is asked. */
export interface MeshPod {
  readonly name: string;
  readonly node: string;
  readonly ready: boolean;
}

/** Of a node that could not be asked. */
export interface Unreachable {
  readonly node: string;
  readonly why: string;
}

/** What several nodes said. */
export interface Answers {
  readonly answers: readonly { readonly pod: MeshPod; readonly value: unknown }[];
  readonly unreachable: readonly Unreachable[];
}

/** Large meshes have hundreds of nodes: enough at once to be quick, and few enough for an API server. */
const AT_ONCE = 16;
const TIMEOUT_MS = 10_000;
/** Daemons write to their streams at least every 10 s. */
const SILENCE_MS = 35_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_ERROR_BYTES = 65_536;
const DEFAULT_PORTS = { daemon: 9990, webhook: 8080 };

type Component = keyof typeof DEFAULT_PORTS;

/** A node did not give what it was asked for; the message says why, and what to do. */
export class UnreachableError extends Error {
  /** Whether it may answer if asked again. */
  readonly passing: boolean;

  constructor(message: string, passing: boolean) {
    super(message);
    this.name = 'UnreachableError';
    this.passing = passing;
  }
}

/** The admin ports of a mesh's daemons, or of its webhooks, through the API server (pods/proxy). */
export class MeshPods {
  /** By the names of their nodes. */
  readonly pods: readonly MeshPod[];
  readonly #api: HttpKubernetesApi;
  readonly #token: ViewerToken;
  readonly #port: number;
  readonly #component: Component;

  private constructor(
    api: HttpKubernetesApi,
    component: Component,
    token: ViewerToken,
    port: number,
    pods: readonly MeshPod[],
  ) {
    this.#api = api;
    this.#component = component;
    this.#token = token;
    this.#port = port;
    this.pods = pods;
  }

  /** Looks for them in the cluster. `now` is ms since 1970. Throws CommandError where there are none, or they may not be listed. */
  static async find(api: HttpKubernetesApi, component: Component, now: () => number): Promise<MeshPods> {
    const token = new ViewerToken(api, now);
    const port = component === 'daemon' ? await adminPort(api) : DEFAULT_PORTS[component];
    return new MeshPods(api, component, token, port, await findPods(api, component));
  }

  /** As it is now, with the same token. */
  async again(): Promise<MeshPods> {
    const pods = await findPods(this.#api, this.#component);
    return new MeshPods(this.#api, this.#component, this.#token, this.#port, pods);
  }

  /** Gets what they are asked with. Throws CommandError. */
  async ready(): Promise<void> {
    await this.#token.headers();
  }

  /** The daemon of a node. Throws CommandError where there is none. */
  of(node: string): MeshPod {
    const pods = this.pods.filter((pod) => pod.node === node);
    const pod = pods.find(({ ready }) => ready) ?? pods[0];
    if (pod !== undefined) return pod;
    throw new CommandError(
      `there is no daemon on node ${node}; kubectl -n ${MESH_NAMESPACE} get pods -o wide shows where they are`,
    );
  }

  /** Asks the same of all of them, or of those of one node; none keeps the others from answering. Throws CommandError without a token. */
  async askAll(path: string, signal?: AbortSignal, pods = this.pods): Promise<Answers> {
    await this.ready();
    const answers: { pod: MeshPod; value: unknown }[] = [];
    const unreachable: Unreachable[] = [];
    await inParallel(AT_ONCE, pods, async (pod) => {
      try {
        answers.push({ pod, value: await this.ask(pod, path, signal) });
      } catch (error) {
        unreachable.push({ node: pod.node, why: messageOf(error) });
      }
    });
    return { answers, unreachable: unreachable.sort((a, b) => (a.node < b.node ? -1 : 1)) };
  }

  /** Asks a pod that answers, ready ones first. Throws CommandError where none does. */
  async askAny(path: string, signal?: AbortSignal): Promise<unknown> {
    let last: unknown;
    for (const pod of this.pods.toSorted((a, b) => Number(b.ready) - Number(a.ready)).slice(0, 3)) {
      try {
        return await this.ask(pod, path, signal);
      } catch (error) {
        if (!(error instanceof UnreachableError)) throw error;
        last = error;
      }
    }
    throw new CommandError(messageOf(last));
  }

  /** Asks the daemon of a node. Throws CommandError where there is none, or it does not answer. */
  async askOf(node: string, path: string): Promise<unknown> {
    try {
      return await this.ask(this.of(node), path);
    } catch (error) {
      throw error instanceof UnreachableError ? new CommandError(error.message) : error;
    }
  }

  /** JSON of a pod's admin port. Throws UnreachableError, and CommandError without a token. */
  async ask(pod: MeshPod, path: string, signal?: AbortSignal): Promise<unknown> {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    const either = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
    const response = await this.#opened(pod, path, either);
    try {
      return JSON.parse(await readText(response, MAX_ANSWER_BYTES));
    } catch (error) {
      throw new UnreachableError(`${where(pod)} answered ${path} with what is no JSON: ${messageOf(error)}`, false);
    }
  }

  /** Server-sent events of a pod's admin port, until the signal is aborted. Throws as `ask` does, and where the stream breaks off. */
  async *events(pod: MeshPod, path: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
    const silence = new AbortController();
    const giveUp = () => silence.abort(new Error('nothing was heard of it any more'));
    let timer = setTimeout(giveUp, TIMEOUT_MS);
    try {
      const response = await this.#opened(pod, path, AbortSignal.any([signal, silence.signal]));
      clearTimeout(timer);
      timer = setTimeout(giveUp, SILENCE_MS);
      yield* readEvents(heard(readLines(response as AsyncIterable<Buffer>), timer));
      if (!signal.aborted) throw new Error('it ended');
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof UnreachableError || error instanceof CommandError) throw error;
      const why = silence.signal.aborted ? silence.signal.reason : error;
      throw new UnreachableError(`the stream of ${where(pod)} broke off: ${messageOf(why)}`, true);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A pod's answer to a GET as it comes, whatever it is. Throws where the API server answers in its place, and as `ask` does. */
  async pass(pod: MeshPod, path: string, signal: AbortSignal, headers: object): Promise<Passed> {
    const response = await this.#open(pod, path, signal, headers);
    const { statusCode: status = 0, headers: fields } = response;
    const isJson = fields['content-type']?.startsWith('application/json') === true;
    if (status < 400 || !isJson || fields['content-encoding'] !== undefined) {
      return { status, headers: fields, body: response };
    }
    const { text } = await readStart(response, MAX_ERROR_BYTES);
    if (statusMessage(text) !== undefined) throw refusal(pod, path, status, text);
    const { 'content-length': _length, ...others } = fields;
    return { status, headers: others, body: Readable.from([text]) };
  }

  /** Throws KubernetesError, and CommandError without a token. */
  async #open(pod: MeshPod, path: string, signal: AbortSignal, headers: object = {}): Promise<IncomingMessage> {
    const proxy = `/api/v1/namespaces/${MESH_NAMESPACE}/pods/${encodeURIComponent(pod.name)}:${this.#port}/proxy`;
    return this.#api.open(`${proxy}${path}`, { ...headers, ...(await this.#token.headers()) }, signal);
  }

  async #opened(pod: MeshPod, path: string, signal: AbortSignal): Promise<IncomingMessage> {
    let response: IncomingMessage;
    try {
      response = await this.#open(pod, path, signal);
    } catch (error) {
      if (!(error instanceof KubernetesError)) throw error;
      throw new UnreachableError(`${where(pod)} could not be asked: ${error.message}`, true);
    }
    if (response.statusCode === 200) return response;
    const { text } = await readStart(response, MAX_ERROR_BYTES).catch(() => ({ text: '' }));
    throw refusal(pod, path, response.statusCode ?? 0, text);
  }
}

async function* heard(lines: AsyncIterable<string>, timer: NodeJS.Timeout): AsyncGenerator<string> {
  for await (const line of lines) {
    timer.refresh();
    yield line;
  }
}

/** Takes an answer that is not 200: the API server's, a Status object, or the pod's own. */
export function refusal(pod: MeshPod, path: string, status: number, body: string): UnreachableError {
  const said = statusMessage(body);
  if (said === undefined) {
    const [what = path] = path.split('?');
    // Admin ports name the paths that they have, and older ones say it in Fastify's words.
    if (status === 404 && (body.includes('\n/livez\n') || body.includes('"Route GET:'))) {
      return new UnreachableError(
        `${where(pod)} knows no ${what}: it is older than this command; update the mesh's image`,
        false,
      );
    }
    return new UnreachableError(`${where(pod)} answered ${what} with ${status}: ${cleanLines(body)}`, status >= 500);
  }
  if (status === 403) {
    const rule = "{apiGroups: [''], resources: [pods/proxy], verbs: [get]}";
    return new UnreachableError(
      `you may not reach pods of namespace ${MESH_NAMESPACE} through the API server (${cleanLines(said)}); ask for the rule ${rule} there`,
      false,
    );
  }
  if (status === 404) return new UnreachableError(`${where(pod)} is gone`, true);
  const state = pod.ready ? 'does not answer the API server' : 'is not ready';
  return new UnreachableError(
    `${where(pod)} ${state}: ${cleanLines(said)}; kubectl -n ${MESH_NAMESPACE} describe pod ${pod.name}`,
    true,
  );
}

function where({ name, node }: MeshPod): string {
  return `pod ${MESH_NAMESPACE}/${name} on node ${node}`;
}

function statusMessage(body: string): string | undefined {
  try {
    const { kind, message = '' } = (JSON.parse(body) ?? {}) as { kind?: string; message?: string };
    return kind === 'Status' ? message : undefined;
  } catch {
    return undefined;
  }
}

/** Of the daemons' Service; the manifests' own where that cannot be read. */
async function adminPort(api: HttpKubernetesApi): Promise<number> {
  const path = `/api/v1/namespaces/${MESH_NAMESPACE}/services/nodemesh-daemon`;
  const service = await getObject(api, path).catch(() => undefined);
  const { spec } = (service ?? {}) as {
    spec?: { ports?: readonly { name?: string; port: number; targetPort?: number | string }[] };
  };
  const admin = spec?.ports?.find(({ name }) => name === 'admin');
  const port = typeof admin?.targetPort === 'number' ? admin.targetPort : admin?.port;
  return port ?? DEFAULT_PORTS.daemon;
}

async function findPods(api: HttpKubernetesApi, component: Component): Promise<MeshPod[]> {
  const selector = encodeURIComponent(`app.kubernetes.io/name=nodemesh,app.kubernetes.io/component=${component}`);
  const path = `/api/v1/namespaces/${MESH_NAMESPACE}/pods?labelSelector=${selector}`;
  const pods = await listAll(api, path, (object) => {
    const { name, nodeName, ready, terminating, phase } = trimPod(object);
    if (nodeName === undefined || terminating || phase === 'Succeeded' || phase === 'Failed') return undefined;
    return { name, node: nodeName, ready };
  }).catch((error: unknown) => {
    throw new CommandError(`the ${component}s could not be looked for: ${messageOf(error)}`);
  });
  if (pods.length > 0) return pods.sort((a, b) => (a.node < b.node ? -1 : 1));
  throw new CommandError(
    `no ${component} runs in namespace ${MESH_NAMESPACE}: is the mesh installed? nodemesh check tells what is missing`,
  );
}
