/**
 * The parts of Kubernetes objects that nodemesh reads, and the one interface through which it speaks to an API server.
 * Field names are Kubernetes' own; a field that the API may omit is optional here.
 */

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly deletionTimestamp?: string;
}

/** What every listed or watched object has. */
export interface KubernetesObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

/** What changed about one object: its new state, or undefined when it is gone, and what was known of it before. */
export interface ObjectChange<T> {
  /** `namespace/name`, or `name` for objects of no namespace. */
  readonly key: string;
  readonly object: T | undefined;
  readonly previous: T | undefined;
}

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** The patch formats of Kubernetes (API conventions, "Patch operations"); `apply` is server-side apply. */
export type PatchType =
  | 'application/json-patch+json'
  | 'application/merge-patch+json'
  | 'application/strategic-merge-patch+json'
  | 'application/apply-patch+yaml';

export interface ApiRequest {
  readonly method: HttpMethod;
  /** Absolute path with its query, e.g. `/api/v1/namespaces/nodemesh/secrets/nodemesh-webhook-tls`. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** For PATCH; elsewhere `application/json`. */
  readonly contentType?: PatchType;
  /** Whole-call limit, ms. Default 10 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** One page of a list, which is read as it comes. */
export interface ListRequest {
  readonly path: string;
  /** Whole-call limit, ms. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** What a list says of itself (API concepts, "Retrieving large results sets in chunks"). */
export interface ListMetadata {
  readonly resourceVersion: string;
  /** Where the next page begins; '' on the last one. */
  readonly continue: string;
}

/** A watch stream that the server opened: decoded lines (one JSON text each) until the server or `close` ends it. */
export interface ApiStream {
  readonly status: number;
  /** For a status other than 200: the answer's body, read whole (at most 64 KiB). */
  readonly errorBody?: string;
  readonly lines: AsyncIterable<string>;
  close(): void;
}

/**
 * Speaks to one API server. Implemented over @kubernetes/client-node's KubeConfig (lib/kubernetes/client.ts).
 * `request` resolves with the parsed JSON body of a 2xx answer and otherwise throws KubernetesError.
 */
export interface KubernetesApi {
  readonly server: string;
  request(request: ApiRequest): Promise<unknown>;
  /** Gives `take` each object as soon as it is read, and settles after the last one; rejects as `request` does, and with what `take` throws. */
  list(request: ListRequest, take: (object: KubernetesObject) => void): Promise<ListMetadata>;
  stream(path: string, signal: AbortSignal): Promise<ApiStream>;
}

/**
 * An API call that did not succeed. `status` is the HTTP status, or 0 where no answer came (connection refused, TLS,
 * timeout). `reason` is Kubernetes' own word (`NotFound`, `Conflict`, `AlreadyExists`, …) where it gave one.
 */
export class KubernetesError extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'KubernetesError';
    this.status = status;
    this.reason = reason;
  }
}
