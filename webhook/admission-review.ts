import { asRecord, asText } from './pod-view.ts';

/** The versions of AdmissionReview that an API server may send (Kubernetes: dynamic admission control). */
const VERSIONS = ['admission.k8s.io/v1', 'admission.k8s.io/v1beta1'];

/** Kubernetes cuts a warning after 256 characters and drops all beyond 4096 in sum. */
const MAX_WARNING_LENGTH = 256;
const MAX_WARNINGS_LENGTH = 4096;

export interface AdmissionRequest {
  readonly apiVersion: string;
  readonly uid: string;
  /** `group/version/Kind`, the group empty for core: `/v1/Pod`. */
  readonly kind: string;
  readonly subResource: string;
  readonly operation: string;
  readonly namespace: string;
  readonly dryRun: boolean;
  /** The object as it would be stored; null for DELETE. Not validated yet. */
  readonly object: unknown;
  /** The object as it is stored; null for CREATE. Not validated yet. */
  readonly oldObject?: unknown;
}

export interface AdmissionAnswer {
  /** RFC 6902; empty where nothing is to change. */
  readonly patch: readonly unknown[];
  readonly warnings: readonly string[];
}

/** An AdmissionReview as it goes back. */
export interface ReviewAnswer {
  readonly apiVersion: string;
  readonly kind: 'AdmissionReview';
  readonly response: {
    readonly uid: string;
    readonly allowed: true;
    readonly patchType?: 'JSONPatch';
    /** JSON, in base64. */
    readonly patch?: string;
    readonly warnings?: readonly string[];
  };
}

/** A body that is no AdmissionReview. The message says what is missing and repeats nothing of the body. */
export class ReviewError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ReviewError';
  }
}

/** Reads a parsed body as an AdmissionReview of v1 or v1beta1. Throws ReviewError. */
export function parseReview(body: unknown): AdmissionRequest {
  const review = asRecord(body);
  if (review === undefined) throw new ReviewError('the body is not a JSON object; an AdmissionReview is wanted');
  const apiVersion = asText(review.apiVersion) ?? '';
  if (review.kind !== 'AdmissionReview' || !VERSIONS.includes(apiVersion)) {
    throw new ReviewError(`the body is not an AdmissionReview of ${VERSIONS.join(' or ')}`);
  }
  const request = asRecord(review.request);
  if (request === undefined) throw new ReviewError('the AdmissionReview has no request');
  const uid = asText(request.uid);
  if (uid === undefined || uid === '') throw new ReviewError('the request has no uid');
  const kind = asRecord(request.kind) ?? {};
  return {
    apiVersion,
    uid,
    kind: [kind.group, kind.version, kind.kind].map((part) => asText(part) ?? '').join('/'),
    subResource: asText(request.subResource) ?? '',
    operation: asText(request.operation) ?? '',
    namespace: asText(request.namespace) ?? '',
    dryRun: request.dryRun === true,
    object: request.object,
    oldObject: request.oldObject,
  };
}

/**
 * The AdmissionReview that answers a request: its apiVersion and uid, always allowed (whether a fault of ours stops a
 * pod is failurePolicy's to say, and it sees only HTTP errors). `patch` and `patchType` come together or not at all.
 */
export function formatReview(request: AdmissionRequest, answer: AdmissionAnswer): ReviewAnswer {
  const warnings = fitWarnings(answer.warnings);
  return {
    apiVersion: request.apiVersion,
    kind: 'AdmissionReview',
    response: {
      uid: request.uid,
      allowed: true,
      ...(answer.patch.length === 0
        ? {}
        : { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(answer.patch)).toString('base64') }),
      ...(warnings.length === 0 ? {} : { warnings }),
    },
  };
}

function fitWarnings(warnings: readonly string[]): string[] {
  const fitting: string[] = [];
  let room = MAX_WARNINGS_LENGTH;
  for (const warning of warnings) {
    // The API server sends them on as HTTP header fields.
    const text = `nodemesh: ${warning}`.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, MAX_WARNING_LENGTH);
    room -= text.length;
    if (room < 0) break;
    fitting.push(text);
  }
  return fitting;
}
