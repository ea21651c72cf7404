import { badRequest, invalid } from './api-error.ts';
import { isObject } from './merge.ts';
import type { ApiMetadata, ApiObject } from './object-store.ts';
import { apiVersionOf, type ResourcePath } from './resource-types.ts';

const DNS_SUBDOMAIN = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;
/** RBAC's names may hold anything that fits in one path segment. */
const PATH_SEGMENT = /^[^/%]+$/;
const NAME_SUFFIX_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

/** A timestamp as the API writes it: RFC 3339 in whole seconds. */
export function apiTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}

/**
 * Takes a body that was sent to a path; gives it as an object of that type. Throws ApiError 400 where it is none or
 * contradicts the path.
 */
export function objectFrom(body: unknown, path: ResourcePath): ApiObject {
  const { type, version, namespace } = path;
  const apiVersion = apiVersionOf(type.group, version);
  if (!isObject(body)) throw badRequest('the body is not a JSON object');
  const { metadata = {} } = body;
  if (!isObject(metadata)) throw badRequest('metadata is not an object');
  if ((body.kind ?? type.kind) !== type.kind || (body.apiVersion ?? apiVersion) !== apiVersion) {
    const sent = `${body.apiVersion}, Kind=${body.kind}`;
    throw badRequest(`the object provided is ${sent}, and the path is for ${apiVersion}, Kind=${type.kind}`);
  }
  const sentNamespace = metadata.namespace ?? namespace;
  if (type.namespaced && sentNamespace !== namespace) {
    throw badRequest(`the namespace of the object (${sentNamespace}) does not match the request's (${namespace})`);
  }
  return { ...body, apiVersion, kind: type.kind, metadata: metadata as ApiMetadata };
}

/** What an API server fills in before it asks the webhooks, as far as anything here reads it. */
export function withDefaults(object: ApiObject): ApiObject {
  if (object.kind !== 'Pod' || !isObject(object.spec)) return object;
  return {
    ...object,
    spec: {
      serviceAccountName: 'default',
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      ...object.spec,
    },
  };
}

/** The status that a new object has, whatever its creator wrote there. */
export function initialStatus(object: ApiObject): unknown {
  if (object.kind === 'Pod') return { phase: 'Pending' };
  if (object.kind === 'Namespace') return { phase: 'Active' };
  return object.kind === 'Node' ? (object.status ?? {}) : {};
}

/** Labels that every Namespace gets (Kubernetes 1.21), so that selectors can name it. */
export function namespaceLabels(object: ApiObject): ApiMetadata['labels'] {
  const { name, labels } = object.metadata;
  return object.kind === 'Namespace' ? { ...labels, 'kubernetes.io/metadata.name': name } : labels;
}

/** The object's name, made from generateName where it has none. Throws ApiError 422 for names that Kubernetes refuses. */
export function nameOf({ kind, metadata }: ApiObject, random: () => number): string {
  const { name, generateName } = metadata;
  const letter = () => NAME_SUFFIX_LETTERS[Math.floor(random() * NAME_SUFFIX_LETTERS.length)];
  const chosen =
    name || (generateName === undefined ? '' : `${generateName}${Array.from({ length: 5 }, letter).join('')}`);
  if (chosen === '')
    throw invalid(`${kind} is invalid: metadata.name: Required value: name or generateName is required`);
  const rule = /Role/.test(kind) ? PATH_SEGMENT : DNS_SUBDOMAIN;
  if (!rule.test(chosen) || chosen.length > 253) {
    throw invalid(`${kind} "${chosen}" is invalid: metadata.name: Invalid value: not a lowercase RFC 1123 subdomain`);
  }
  return chosen;
}

/** Gives ClusterIPs of 10.96.0.0/16 to Services that have none and want one, and keeps those that they have. */
export class ClusterIps {
  #next = 10;

  assign(service: ApiObject, previous: ApiObject | undefined): ApiObject {
    const spec = isObject(service.spec) ? service.spec : {};
    if (service.kind !== 'Service' || spec.type === 'ExternalName') return service;
    const before = isObject(previous?.spec) ? previous.spec.clusterIP : undefined;
    const clusterIP = spec.clusterIP || before || this.#allocate();
    return { ...service, spec: { type: 'ClusterIP', ...spec, clusterIP, clusterIPs: [clusterIP] } };
  }

  #allocate(): string {
    this.#next += 1;
    return `10.96.${(this.#next >> 8) & 255}.${this.#next & 255}`;
  }
}
