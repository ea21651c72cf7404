import { randomUUID } from 'node:crypto';
import fastJsonPatch, { type Operation } from 'fast-json-patch';
import { FailedCall, messageOf, postReview, type Target } from './admission-call.ts';
import { ApiError, badRequest } from './api-error.ts';
import { isObject } from './merge.ts';
import type { ApiObject, ObjectStore } from './object-store.ts';
import type { ResourcePath, ResourceType } from './resource-types.ts';
import { type LabelSelector, matchesLabels } from './selectors.ts';

/** The part of MutatingWebhookConfiguration (admissionregistration.k8s.io/v1) that decides whom to call and how. */
interface Webhook {
  readonly name: string;
  readonly clientConfig: {
    readonly caBundle?: string;
    readonly url?: string;
    readonly service?: {
      readonly namespace: string;
      readonly name: string;
      readonly path?: string;
      readonly port?: number;
    };
  };
  readonly rules?: readonly {
    readonly apiGroups?: readonly string[];
    readonly apiVersions?: readonly string[];
    readonly operations?: readonly string[];
    readonly resources?: readonly string[];
    readonly scope?: string;
  }[];
  readonly namespaceSelector?: LabelSelector;
  readonly objectSelector?: LabelSelector;
  readonly failurePolicy?: 'Ignore' | 'Fail';
  readonly timeoutSeconds?: number;
}

export interface Admitted {
  readonly operation: 'CREATE' | 'UPDATE';
  readonly path: ResourcePath;
  readonly object: ApiObject;
  readonly oldObject: ApiObject | undefined;
  readonly dryRun: boolean;
}

interface AdmissionResponse {
  readonly uid?: string;
  readonly allowed?: boolean;
  readonly status?: { readonly code?: number; readonly reason?: string; readonly message?: string };
  readonly patchType?: string;
  readonly patch?: string;
}

const DEFAULT_TIMEOUT_SECONDS = 10;
const USER = { username: 'kubernetes-admin', groups: ['system:masters', 'system:authenticated'] };

/** Calls mutating webhooks as an API server does (k8s.io/apiserver, pkg/admission/plugin/webhook/mutating). */
export class MutatingAdmission {
  readonly #store: ObjectStore;
  readonly #types: readonly ResourceType[];
  #calls = 0;

  constructor(store: ObjectStore, types: readonly ResourceType[]) {
    this.#store = store;
    this.#types = types;
  }

  /**
   * Takes an object that is about to be written; gives it as every matching webhook has patched it, in the order of the
   * configurations' names. Throws ApiError: 403 (or the webhook's own code) for a refusal, 500 for a call that failed
   * under failurePolicy Fail and for a patch that does not apply.
   */
  async admit(admitted: Admitted): Promise<ApiObject> {
    const { path } = admitted;
    // An API server never asks webhooks about their own configuration: a broken one could not be repaired.
    if (path.type.group === 'admissionregistration.k8s.io') return admitted.object;
    const type = this.#type('MutatingWebhookConfiguration');
    const hooks = this.#store.list(type, undefined).flatMap(({ webhooks }) => (webhooks ?? []) as readonly Webhook[]);
    let { object } = admitted;
    for (const hook of hooks) {
      if (this.#matches(hook, { ...admitted, object })) object = await this.#call(hook, { ...admitted, object });
    }
    return object;
  }

  #matches(hook: Webhook, { operation, path, object, oldObject }: Admitted): boolean {
    const ruled = (hook.rules ?? []).some(
      ({ apiGroups = [], apiVersions = [], operations = [], resources = [], scope = '*' }) =>
        includesOrStar(operations, operation) &&
        includesOrStar(apiGroups, path.type.group) &&
        includesOrStar(apiVersions, path.version) &&
        (includesOrStar(resources, path.type.plural) || resources.includes('*/*')) &&
        (scope === '*' || (scope === 'Namespaced') === path.type.namespaced),
    );
    if (!ruled || !this.#namespaceMatches(hook, path, object)) return false;
    return [object, oldObject].some((o) => o !== undefined && matchesLabels(hook.objectSelector, o.metadata.labels));
  }

  /** A Namespace is judged by its own labels; the selector passes over every other object of no namespace. */
  #namespaceMatches(hook: Webhook, path: ResourcePath, object: ApiObject): boolean {
    if (path.type.kind === 'Namespace') return matchesLabels(hook.namespaceSelector, object.metadata.labels);
    if (path.namespace === undefined) return true;
    const namespace = this.#store.get(this.#type('Namespace'), undefined, path.namespace);
    return matchesLabels(hook.namespaceSelector, namespace?.metadata.labels);
  }

  async #call(hook: Webhook, admitted: Admitted): Promise<ApiObject> {
    const review = admissionReview(admitted);
    let response: AdmissionResponse;
    try {
      response = await this.#ask(hook, review);
    } catch (error) {
      if (!(error instanceof FailedCall)) throw error;
      if (hook.failurePolicy === 'Ignore') return admitted.object;
      const message = `Internal error occurred: failed calling webhook "${hook.name}": ${error.message}`;
      throw new ApiError(500, 'InternalError', message);
    }
    const { allowed, status = {} } = response;
    if (allowed !== true) {
      const why = status.message ?? status.reason ?? 'without explanation';
      const message = `admission webhook "${hook.name}" denied the request: ${why}`;
      throw new ApiError(status.code ?? 403, status.reason ?? 'Forbidden', message);
    }
    return patched(hook.name, admitted.object, response);
  }

  async #ask(hook: Webhook, review: ReturnType<typeof admissionReview>): Promise<AdmissionResponse> {
    const seconds = hook.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS;
    const target = this.#target(hook);
    const answer = await postReview(target, hook.clientConfig.caBundle, review, seconds);
    const { apiVersion, kind, response } = (isObject(answer) ? answer : {}) as {
      apiVersion?: string;
      kind?: string;
      response?: AdmissionResponse;
    };
    if (apiVersion !== 'admission.k8s.io/v1' || kind !== 'AdmissionReview' || !isObject(response)) {
      throw new FailedCall(`the answer is not an admission.k8s.io/v1 AdmissionReview with a response`);
    }
    if (response.uid !== review.request.uid) {
      throw new FailedCall(`expected response.uid="${review.request.uid}", got "${response.uid}"`);
    }
    return response;
  }

  /** Where a webhook's clientConfig leads: for a Service, one of its ready addresses, taken in turn. */
  #target({ clientConfig: { url, service } }: Webhook): Target {
    if (url !== undefined) {
      const { hostname, port, pathname, search } = new URL(url);
      const urlPort = Number(port || 443);
      return { ip: hostname.replace(/^\[|\]$/g, ''), port: urlPort, host: hostname, urlPort, path: pathname + search };
    }
    if (service === undefined) throw new FailedCall('its clientConfig has neither url nor service');
    const { namespace, name, path = '/', port = 443 } = service;
    const found = this.#store.get(this.#type('Service'), namespace, name);
    if (found === undefined) throw new FailedCall(`service "${name}" not found`);
    const ports = (found.spec as { ports?: { name?: string; port: number }[] } | undefined)?.ports ?? [];
    const servicePort = ports.find((p) => p.port === port);
    if (servicePort === undefined) throw new FailedCall(`service "${name}" has no port ${port}`);
    const addresses = this.#readyAddresses(namespace, name, servicePort.name ?? '');
    const chosen = addresses[this.#calls % addresses.length];
    if (chosen === undefined) throw new FailedCall(`no endpoints available for service "${name}"`);
    this.#calls += 1;
    return { ...chosen, host: `${name}.${namespace}.svc`, urlPort: port, path };
  }

  #readyAddresses(namespace: string, name: string, portName: string): { ip: string; port: number }[] {
    const endpoints = this.#store.get(this.#type('Endpoints'), namespace, name);
    const subsets = (endpoints?.subsets ?? []) as readonly {
      addresses?: { ip: string }[];
      ports?: { name?: string; port: number }[];
    }[];
    return subsets.flatMap(({ addresses = [], ports = [] }) => {
      const port = ports.find((p) => (p.name ?? '') === portName)?.port;
      return port === undefined ? [] : addresses.map(({ ip }) => ({ ip, port }));
    });
  }

  #type(kind: string): ResourceType {
    const type = this.#types.find((t) => t.kind === kind);
    if (type === undefined) throw new Error(`the API has no type ${kind}`);
    return type;
  }
}

function includesOrStar(list: readonly string[], value: string): boolean {
  return list.includes('*') || list.includes(value);
}

function admissionReview({ operation, path, object, oldObject, dryRun }: Admitted) {
  const { type, version } = path;
  const kind = { group: type.group, version, kind: type.kind };
  const resource = { group: type.group, version, resource: type.plural };
  return {
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid: randomUUID(),
      kind,
      resource,
      requestKind: kind,
      requestResource: resource,
      // A generated name is not known yet when webhooks are asked.
      name: object.metadata.name,
      ...(path.namespace === undefined ? {} : { namespace: path.namespace }),
      operation,
      userInfo: USER,
      object,
      oldObject: oldObject ?? null,
      dryRun,
      options: { kind: operation === 'CREATE' ? 'CreateOptions' : 'UpdateOptions', apiVersion: 'meta.k8s.io/v1' },
    },
  };
}

function patched(webhook: string, object: ApiObject, { patchType, patch }: AdmissionResponse): ApiObject {
  if (patch === undefined || patch === '') return object;
  if (patchType !== 'JSONPatch') {
    throw new ApiError(500, 'InternalError', `webhook "${webhook}": patchType is "${patchType}", not "JSONPatch"`);
  }
  try {
    return jsonPatch(object, JSON.parse(Buffer.from(patch, 'base64').toString()));
  } catch (error) {
    throw new ApiError(500, 'InternalError', `webhook "${webhook}": its patch does not apply: ${messageOf(error)}`);
  }
}

/** Applies a JSON patch (RFC 6902); gives a new object. Throws ApiError 400 where the patch does not apply. */
export function jsonPatch(object: ApiObject, operations: unknown): ApiObject {
  if (!Array.isArray(operations)) throw badRequest('a JSON patch is an array of operations');
  const validate = true;
  const mutate = false;
  try {
    return fastJsonPatch.applyPatch(object, operations as Operation[], validate, mutate).newDocument;
  } catch (error) {
    const { index, name } = error as { index?: number; name?: string };
    const at = index === undefined ? '' : `, operation ${index} (${operations[index]?.path})`;
    throw badRequest(`JSON patch${at}: ${name ?? messageOf(error)}`);
  }
}
