import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { jsonPatch, MutatingAdmission } from './admission.ts';
import { alreadyExists, badRequest, conflict, notFound } from './api-error.ts';
import { ADMIN, type ApiUser, askedBy } from './api-users.ts';
import { apiTime, ClusterIps, initialStatus, nameOf, namespaceLabels, objectFrom, withDefaults } from './defaults.ts';
import { isObject, mergeByKeys, mergePatch } from './merge.ts';
import type { ApiObject, ObjectStore } from './object-store.ts';
import type { ResourcePath, ResourceType } from './resource-types.ts';

/** A path that names one object. */
export type ObjectPath = ResourcePath & { readonly name: string };

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}

/** As often as an API server tries a patch again that raced with another write. */
const PATCH_TRIES = 5;

/** The writes of the API: admission, optimistic concurrency, generations, graceful deletion. */
export class ApiObjects {
  readonly #store: ObjectStore;
  readonly #types: readonly ResourceType[];
  readonly #admission: MutatingAdmission;
  readonly #clusterIps = new ClusterIps();

  constructor(store: ObjectStore, types: readonly ResourceType[]) {
    this.#store = store;
    this.#types = types;
    this.#admission = new MutatingAdmission(store, types);
  }

  /** Throws ApiError 404. */
  get({ type, namespace, name }: ObjectPath): ApiObject {
    const found = this.#store.get(type, namespace, name);
    if (found === undefined) throw notFound(type.plural, name);
    return found;
  }

  /** Throws ApiError 400, 404 (the namespace), 409 AlreadyExists, 422, and what admission throws. */
  async create(path: ResourcePath, body: unknown, dryRun = false, user: ApiUser = ADMIN): Promise<ApiObject> {
    const { type, namespace } = path;
    const sent = askedBy(withDefaults(objectFrom(body, path)), user);
    if (sent.metadata.resourceVersion !== undefined) {
      throw badRequest('resourceVersion should not be set on objects to be created');
    }
    this.#requireNamespace(namespace);
    const admitted = await this.#admission.admit({
      operation: 'CREATE',
      path,
      object: sent,
      oldObject: undefined,
      dryRun,
    });
    const name = nameOf(admitted, Math.random);
    if (this.#store.get(type, namespace, name) !== undefined) throw alreadyExists(type.plural, name);
    this.#requireNamespace(namespace);
    const now = Date.now();
    const named = { ...admitted, metadata: { ...admitted.metadata, name } };
    const labels = namespaceLabels(named);
    const object: ApiObject = {
      ...this.#clusterIps.assign(named, undefined),
      metadata: {
        ...named.metadata,
        ...(namespace === undefined ? {} : { namespace }),
        ...(labels === undefined ? {} : { labels }),
        ...(named.spec === undefined ? {} : { generation: 1 }),
        uid: randomUUID(),
        creationTimestamp: apiTime(now),
      },
      ...(type.hasStatus ? { status: initialStatus(named) } : {}),
    };
    return dryRun ? object : this.#store.put(type, object);
  }

  /** Throws ApiError 400, 404, 409 Conflict, and what admission throws. */
  async replace(path: ObjectPath, body: unknown, dryRun = false): Promise<ApiObject> {
    const sent = objectFrom(body, path);
    if (sent.metadata.name !== path.name) throw badRequest(`the name of the object does not match that of the URL`);
    return this.#update(path, () => sent, dryRun);
  }

  /** A patch of any of Kubernetes' types; for apply, an object that is not there is created. Throws as `replace`, and 415. */
  async patch(path: ObjectPath, contentType: string, patch: unknown, dryRun = false): Promise<ApiObject> {
    const apply = contentType === 'application/apply-patch+yaml';
    if (
      apply &&
      this.#store.get(path.type, path.namespace, path.name) === undefined &&
      path.subresource === undefined
    ) {
      return this.create(path, patch, dryRun);
    }
    return this.#update(path, (current) => objectFrom(applyPatch(current, contentType, patch), path), dryRun);
  }

  /** Gives the object where a kubelet has yet to stop it, else undefined. Throws ApiError 404, and 409 for preconditions. */
  remove(path: ObjectPath, { gracePeriodSeconds, preconditions = {} }: DeleteOptions = {}): ApiObject | undefined {
    const { type, name } = path;
    const object = this.get(path);
    const { metadata } = object;
    for (const key of ['uid', 'resourceVersion'] as const) {
      const wanted = preconditions[key];
      if (wanted !== undefined && wanted !== metadata[key]) {
        throw conflict(type.plural, name, `the ${key} in the precondition (${wanted}) is not ${metadata[key]}`);
      }
    }
    const grace = gracePeriodSeconds ?? podGracePeriod(object);
    if (grace > 0 && podGracePeriod(object) > 0) {
      if (metadata.deletionTimestamp !== undefined) return object;
      const deletionTimestamp = apiTime(Date.now() + grace * 1_000);
      const deleted = { ...metadata, deletionTimestamp, deletionGracePeriodSeconds: grace };
      return this.#store.put(type, { ...object, metadata: deleted });
    }
    if (type.kind === 'Namespace') this.#empty(name);
    this.#store.remove(type, object);
    return undefined;
  }

  async #update(path: ObjectPath, change: (current: ApiObject) => ApiObject, dryRun: boolean): Promise<ApiObject> {
    const { type, namespace, name } = path;
    for (let tries = 1; ; tries += 1) {
      const current = this.get(path);
      const wanted = change(current);
      this.#checkVersion(path, wanted, current);
      const merged = this.#merge(path, current, wanted);
      const next =
        path.subresource === undefined
          ? await this.#admission.admit({ operation: 'UPDATE', path, object: merged, oldObject: current, dryRun })
          : merged;
      if (this.#store.get(type, namespace, name) !== current) {
        if (tries < PATCH_TRIES) continue;
        throw conflict(
          type.plural,
          name,
          'the object has been modified; please apply your changes to the latest version',
        );
      }
      // A write that changes nothing is no event and no new version.
      if (dryRun || isDeepStrictEqual(next, current)) return next;
      const { generation = 0 } = current.metadata;
      const specChanged = generation > 0 && !isDeepStrictEqual(next.spec, current.spec);
      const metadata = specChanged ? { ...next.metadata, generation: generation + 1 } : next.metadata;
      return this.#store.put(type, { ...next, metadata });
    }
  }

  #checkVersion({ type, name }: ObjectPath, wanted: ApiObject, current: ApiObject): void {
    const { resourceVersion, uid } = wanted.metadata;
    if (
      resourceVersion !== undefined &&
      resourceVersion !== '' &&
      resourceVersion !== current.metadata.resourceVersion
    ) {
      throw conflict(
        type.plural,
        name,
        'the object has been modified; please apply your changes to the latest version',
      );
    }
    if (uid !== undefined && uid !== current.metadata.uid) {
      throw conflict(
        type.plural,
        name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata.uid}`,
      );
    }
  }

  /** What a write may change: the status alone through its subresource, everything but the status elsewhere; never identity. */
  #merge({ type, subresource }: ObjectPath, current: ApiObject, wanted: ApiObject): ApiObject {
    if (subresource === 'status') return { ...current, status: wanted.status };
    if (subresource === 'approval') return { ...current, status: { ...part(current), ...approval(part(wanted)) } };
    const {
      name,
      namespace,
      uid,
      resourceVersion,
      creationTimestamp,
      generation,
      deletionTimestamp,
      deletionGracePeriodSeconds,
    } = current.metadata;
    const kept = {
      name,
      namespace,
      uid,
      resourceVersion,
      creationTimestamp,
      generation,
      deletionTimestamp,
      deletionGracePeriodSeconds,
    };
    const metadata = {
      ...wanted.metadata,
      ...Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined)),
    };
    const labels = namespaceLabels(wanted);
    const merged: ApiObject = {
      ...wanted,
      metadata: { ...metadata, name, ...(labels === undefined ? {} : { labels }) },
    };
    return this.#clusterIps.assign(type.hasStatus ? { ...merged, status: current.status } : merged, current);
  }

  #requireNamespace(namespace: string | undefined): void {
    const type = this.#types.find(({ kind }) => kind === 'Namespace');
    if (namespace === undefined || type === undefined) return;
    if (this.#store.get(type, undefined, namespace) === undefined) throw notFound('namespaces', namespace);
  }

  #empty(namespace: string): void {
    for (const type of this.#types.filter((t) => t.namespaced)) {
      for (const object of this.#store.list(type, namespace)) this.#store.remove(type, object);
    }
  }
}

/** How long a kubelet has to stop a pod that runs on its node, in seconds; 0 for all that no kubelet runs any more. */
function podGracePeriod({ kind, spec, status }: ApiObject): number {
  if (kind !== 'Pod' || !isObject(spec) || !spec.nodeName) return 0;
  if (isObject(status) && (status.phase === 'Succeeded' || status.phase === 'Failed')) return 0;
  return typeof spec.terminationGracePeriodSeconds === 'number' ? spec.terminationGracePeriodSeconds : 30;
}

function applyPatch(current: ApiObject, contentType: string, patch: unknown): unknown {
  switch (contentType) {
    case 'application/json-patch+json':
      return jsonPatch(current, patch);
    case 'application/merge-patch+json':
      return mergePatch(current, patch);
    default:
      return mergeByKeys(current, patch);
  }
}

function part({ status }: ApiObject): Record<string, unknown> {
  return isObject(status) ? status : {};
}

/** What the approval subresource writes of a status. */
function approval({ conditions }: Record<string, unknown>): Record<string, unknown> {
  return conditions === undefined ? {} : { conditions };
}
