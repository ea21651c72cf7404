import { parse as parseYaml } from 'yaml';
import { ApiError, badRequest, expired } from './api-error.ts';
import { ApiObjects, type DeleteOptions, type ObjectPath } from './api-objects.ts';
import { userOf } from './api-users.ts';
import { isObject } from './merge.ts';
import type { ApiObject, ObjectStore } from './object-store.ts';
import {
  apiVersionOf,
  discoveryDocument,
  parseResourcePath,
  type ResourcePath,
  type ResourceType,
} from './resource-types.ts';
import { Reviews } from './reviews.ts';
import { objectFilter } from './selectors.ts';
import type { WatchOptions } from './watch-session.ts';

export interface ApiCall {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly contentType?: string;
  readonly body?: string;
  /** The field of that name. */
  readonly authorization?: string | undefined;
}

export interface ApiAnswer {
  readonly status: number;
  /** JSON, or text. */
  readonly body: object | string;
}

/** A GET that asks for a stream of changes instead of an answer. */
export interface WatchCall extends Omit<WatchOptions, 'send'> {
  readonly bookmarks: boolean;
  readonly timeoutSeconds: number;
}

/** An API server ends a watch after 30 to 60 minutes where the client names no time. */
const DEFAULT_WATCH_SECONDS = 1_800;
/** As many half-read lists are remembered; older ones cannot be continued. */
const MAX_SNAPSHOTS = 20;
const VERBS: Readonly<Record<string, string>> = {
  GET: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};
const PATCH_TYPES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
];

/** Requests of the Kubernetes API and their answers, over one store, whatever carries them. */
export class ApiRequests {
  readonly #store: ObjectStore;
  readonly #types: readonly ResourceType[];
  readonly #objects: ApiObjects;
  readonly #reviews: Reviews;
  readonly #snapshots = new Map<string, readonly ApiObject[]>();
  /** What nobody may do, as `verb plural`: such as `get secrets`. */
  readonly denied = new Set<string>();

  constructor(store: ObjectStore, types: readonly ResourceType[]) {
    this.#store = store;
    this.#types = types;
    this.#objects = new ApiObjects(store, types);
    this.#reviews = new Reviews(store, types, this.denied);
  }

  /** Answers any call but a watch; errors become Status objects. */
  async answer(call: ApiCall): Promise<ApiAnswer> {
    try {
      return await this.#answer(call);
    } catch (error) {
      const { code } = error as { code?: unknown };
      const known =
        error instanceof ApiError
          ? error
          : new ApiError(500, 'InternalError', `${error instanceof Error ? error.stack : code}`);
      return { status: known.code, body: known.toStatus() };
    }
  }

  /** What a call watches, or undefined where it is no watch. Throws ApiError 400, 401. */
  watchOf({ method, url, authorization }: ApiCall): WatchCall | undefined {
    const { pathname, searchParams } = new URL(url, 'http://api');
    if (method !== 'GET' || !['true', '1'].includes(searchParams.get('watch') ?? '')) return undefined;
    const path = parseResourcePath(pathname, this.#types);
    if (path === undefined || path.name !== undefined) return undefined;
    userOf(authorization);
    return {
      path,
      matches: objectFilter(searchParams.get('labelSelector'), searchParams.get('fieldSelector')),
      resourceVersion: positiveInteger(searchParams, 'resourceVersion'),
      bookmarks: searchParams.get('allowWatchBookmarks') === 'true',
      timeoutSeconds: positiveInteger(searchParams, 'timeoutSeconds') ?? DEFAULT_WATCH_SECONDS,
    };
  }

  /** Lists that are half read cannot be continued any more. */
  dropSnapshots(): void {
    this.#snapshots.clear();
  }

  async #answer(call: ApiCall): Promise<ApiAnswer> {
    const { method, url, contentType = 'application/json', body = '' } = call;
    const { pathname, searchParams } = new URL(url, 'http://api');
    const user = userOf(call.authorization);
    if (['/readyz', '/livez', '/healthz'].includes(pathname)) return { status: 200, body: 'ok' };
    if (pathname === '/version')
      return { status: 200, body: { major: '1', minor: '30', gitVersion: 'v1.30.0-memory' } };
    const document = discoveryDocument(pathname, this.#types);
    if (document !== undefined && method === 'GET') return { status: 200, body: document };
    if (method === 'POST') {
      const review = this.#reviews.answer(pathname, () => parseBody(body), user);
      if (review !== undefined) return { status: 201, body: review };
    }
    const path = parseResourcePath(pathname, this.#types);
    if (path === undefined) return { status: 404, body: '404 page not found\n' };
    this.#refuseDenied(method, path);
    const dryRun = searchParams.get('dryRun') === 'All';
    if (!namesObject(path)) {
      if (method === 'GET') return { status: 200, body: this.#list(path, searchParams) };
      if (method !== 'POST' || (path.type.namespaced && path.namespace === undefined))
        throw notAllowed(method, pathname);
      return { status: 201, body: shown(await this.#objects.create(path, parseBody(body), dryRun, user), path) };
    }
    switch (method) {
      case 'GET':
        return { status: 200, body: shown(this.#objects.get(path), path) };
      case 'PUT':
        return { status: 200, body: shown(await this.#objects.replace(path, parseBody(body), dryRun), path) };
      case 'PATCH': {
        const type = contentType.split(';')[0]?.trim() ?? '';
        if (!PATCH_TYPES.includes(type)) {
          throw new ApiError(415, 'UnsupportedMediaType', `the body of the request was in an unknown format: ${type}`);
        }
        return { status: 200, body: shown(await this.#objects.patch(path, type, parseBody(body), dryRun), path) };
      }
      case 'DELETE': {
        const left = this.#objects.remove(path, deleteOptions(searchParams, body));
        return { status: 200, body: left === undefined ? deletedStatus(path) : shown(left, path) };
      }
      default:
        throw notAllowed(method, pathname);
    }
  }

  #refuseDenied(method: string, { type, name }: ResourcePath): void {
    const verb = method === 'GET' && name === undefined ? 'list' : VERBS[method];
    if (!this.denied.has(`${verb} ${type.plural}`)) return;
    const what = name === undefined ? type.plural : `${type.plural} "${name}"`;
    throw new ApiError(403, 'Forbidden', `${what} is forbidden: User cannot ${verb} resource "${type.plural}"`);
  }

  #list(path: ResourcePath, query: URLSearchParams): object {
    const { type, version, namespace } = path;
    const limit = positiveInteger(query, 'limit') ?? Number.POSITIVE_INFINITY;
    const token = query.get('continue') ?? '';
    const matches = objectFilter(query.get('labelSelector'), query.get('fieldSelector'));
    const { resourceVersion, from } =
      token === '' ? { resourceVersion: String(this.#store.resourceVersion), from: 0 } : readToken(token);
    const snapshotKey = `${type.group}/${type.plural}/${namespace ?? ''}?${query.get('labelSelector')}&${query.get('fieldSelector')}@${resourceVersion}`;
    const all = token === '' ? this.#store.list(type, namespace).filter(matches) : this.#snapshots.get(snapshotKey);
    if (all === undefined)
      throw expired('The provided continue parameter is too old to display a consistent list result.');
    const left = all.length - from - limit;
    if (left > 0) this.#remember(snapshotKey, all);
    return {
      kind: `${type.kind}List`,
      apiVersion: apiVersionOf(type.group, version),
      metadata: {
        resourceVersion,
        ...(left > 0 ? { continue: writeToken(resourceVersion, from + limit), remainingItemCount: left } : {}),
      },
      // Items of a list carry no kind and no apiVersion of their own.
      items: all.slice(from, from + limit).map(({ kind: _kind, apiVersion: _apiVersion, ...item }) => item),
    };
  }

  #remember(key: string, objects: readonly ApiObject[]): void {
    this.#snapshots.set(key, objects);
    const [oldest] = this.#snapshots.keys();
    if (this.#snapshots.size > MAX_SNAPSHOTS && oldest !== undefined) this.#snapshots.delete(oldest);
  }
}

function namesObject(path: ResourcePath): path is ObjectPath {
  return path.name !== undefined;
}

/** An object as the version that was asked for. */
function shown(object: ApiObject, { type, version }: ResourcePath): ApiObject {
  return { ...object, apiVersion: apiVersionOf(type.group, version) };
}

function deletedStatus({ name, type }: ObjectPath): object {
  const details = { name, group: type.group, kind: type.plural };
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
}

function deleteOptions(query: URLSearchParams, body: string): DeleteOptions {
  const sent = body === '' ? {} : parseBody(body);
  const seconds = query.get('gracePeriodSeconds');
  return { ...(isObject(sent) ? sent : {}), ...(seconds === null ? {} : { gracePeriodSeconds: Number(seconds) }) };
}

/** YAML is read too: a server-side apply may be sent as YAML, and JSON is YAML. */
function parseBody(text: string): unknown {
  try {
    return /^\s*[[{]/.test(text) ? JSON.parse(text) : parseYaml(text);
  } catch (error) {
    throw badRequest(`the body cannot be parsed: ${error instanceof Error ? error.message : error}`);
  }
}

function positiveInteger(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name) ?? '';
  if (text === '' || text === '0') return undefined;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`invalid ${name}: "${text}" is not a whole number`);
  return Number(text);
}

function notAllowed(method: string, pathname: string): ApiError {
  return new ApiError(405, 'MethodNotAllowed', `${method} is not allowed on ${pathname}`);
}

function writeToken(resourceVersion: string, from: number): string {
  return Buffer.from(JSON.stringify({ resourceVersion, from })).toString('base64url');
}

function readToken(token: string): { resourceVersion: string; from: number } {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    throw badRequest('continue key is not valid');
  }
}
