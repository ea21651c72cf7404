import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream';
import { ApiError, badRequest, notFound } from './api-error.ts';
import { userOf } from './api-users.ts';
import { isObject } from './merge.ts';
import type { ApiObject, ObjectStore } from './object-store.ts';
import type { ResourceType } from './resource-types.ts';

const PROXY_PATH = /^\/api\/v1\/namespaces\/([^/]+)\/(pods|services)\/([^/]+)\/proxy(\/[^?]*)?(\?.*)?$/;
/** `[http:]name[:port]`; a port of a Service may be its name. */
const TARGET = /^(?:(https?):)?([a-z0-9.-]+?)(?::([a-z0-9-]*))?$/;

interface Address {
  readonly host: string;
  readonly port: number;
}

/** The proxy subresource of pods and Services: what an API server passes on to them, as it comes. */
export class PodProxy {
  readonly #store: ObjectStore;
  readonly #types: readonly ResourceType[];
  readonly #denied: ReadonlySet<string>;

  constructor(store: ObjectStore, types: readonly ResourceType[], denied: ReadonlySet<string>) {
    this.#store = store;
    this.#types = types;
    this.#denied = denied;
  }

  /** Gives false where the path is none of a proxy. Throws ApiError 400, 401, 403, 404, 503. */
  serve(request: IncomingMessage, response: ServerResponse): boolean {
    const [, namespace, kind = '', encoded, path = '/', query = ''] = PROXY_PATH.exec(request.url ?? '') ?? [];
    if (namespace === undefined || encoded === undefined) return false;
    userOf(request.headers.authorization);
    if (this.#denied.has(`get ${kind}/proxy`)) {
      throw new ApiError(403, 'Forbidden', `${kind} is forbidden: User cannot get resource "${kind}/proxy"`);
    }
    const [, scheme = 'http', name, port] = TARGET.exec(decodeURIComponent(encoded)) ?? [];
    if (name === undefined || scheme !== 'http') throw badRequest(`invalid ${kind} request "${encoded}"`);
    const address = kind === 'pods' ? this.#pod(namespace, name, port) : this.#service(namespace, name, port);
    forward(request, response, address, path + query);
    return true;
  }

  #pod(namespace: string, name: string, port: string | undefined): Address {
    const pod = this.#get('Pod', namespace, name);
    if (pod === undefined) throw notFound('pods', name);
    const host = isObject(pod.status) ? pod.status.podIP : undefined;
    if (typeof host !== 'string') throw new ApiError(503, 'ServiceUnavailable', `address not allowed or not known`);
    return { host, port: Number(port ?? firstPort(pod) ?? 80) };
  }

  #service(namespace: string, name: string, wanted: string | undefined): Address {
    const service = this.#get('Service', namespace, name);
    if (service === undefined) throw notFound('services', name);
    const ports = isObject(service.spec) ? objects(service.spec.ports) : [];
    const port =
      wanted === undefined ? ports[0] : ports.find((one) => one.name === wanted || String(one.port) === wanted);
    const address = this.#endpoint(namespace, name, port);
    if (address !== undefined) return address;
    throw new ApiError(503, 'ServiceUnavailable', `no endpoints available for service "${name}"`);
  }

  #endpoint(namespace: string, name: string, port: Record<string, unknown> | undefined): Address | undefined {
    for (const subset of objects(this.#get('Endpoints', namespace, name)?.subsets)) {
      const found = objects(subset.ports).find((one) => one.name === port?.name);
      const [address] = objects(subset.addresses);
      if (address !== undefined && found !== undefined) return { host: String(address.ip), port: Number(found.port) };
    }
    return undefined;
  }

  #get(kind: string, namespace: string, name: string): ApiObject | undefined {
    const type = this.#types.find((one) => one.kind === kind);
    return type === undefined ? undefined : this.#store.get(type, namespace, name);
  }
}

/** An API server has read the caller's own token, and gives it to nobody. */
function forward(request: IncomingMessage, response: ServerResponse, { host, port }: Address, path: string): void {
  const { authorization: _authorization, connection: _connection, ...headers } = request.headers;
  const sent = httpRequest({ host, port, path, method: request.method, headers, agent: false });
  sent.on('response', (answer) => {
    const { connection: _hop, 'transfer-encoding': _coding, ...fields } = answer.headers;
    response.writeHead(answer.statusCode ?? 502, fields);
    response.flushHeaders();
    pipeline(answer, response, () => {});
  });
  sent.on('error', (error) => {
    if (response.headersSent) return response.destroy();
    const known = new ApiError(503, 'ServiceUnavailable', `error trying to reach service: ${error.message}`);
    response.writeHead(known.code, { 'content-type': 'application/json' });
    response.end(JSON.stringify(known.toStatus()));
  });
  response.on('close', () => sent.destroy());
  pipeline(request, sent, () => {});
}

function firstPort(pod: ApiObject): unknown {
  const containers = isObject(pod.spec) ? objects(pod.spec.containers) : [];
  return containers.flatMap((container) => objects(container.ports))[0]?.containerPort;
}

function objects(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}
