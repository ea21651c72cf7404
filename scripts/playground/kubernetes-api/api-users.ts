import { ApiError } from './api-error.ts';
import { isObject } from './merge.ts';
import type { ApiObject } from './object-store.ts';

/** Who calls, as an API server knows it from credentials (authentication.k8s.io UserInfo). */
export interface ApiUser {
  readonly username: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** Whom a token is of. */
export interface TokenClaims {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The pod that it is bound to, if any. */
  readonly pod?: string;
  readonly podUid?: string;
  /** ms since 1970; absent: never. */
  readonly expires?: number;
}

/** A ServiceAccount's token that is bound to a pod. */
export interface BoundToken extends TokenClaims {
  readonly pod: string;
  readonly podUid: string;
}

/** Whoever shows no token: nothing here is forbidden. */
export const ADMIN: ApiUser = { username: 'kubernetes-admin', groups: ['system:masters'], extra: {} };

/** A token as this server issues them: its claims, unsigned. */
export function writeToken(claims: TokenClaims): string {
  return Buffer.from(JSON.stringify(claims)).toString('base64url');
}

/** What a token of this server claims; undefined for any other, and for one that has ended by `now` (ms since 1970). */
export function readToken(token: string, now: number): TokenClaims | undefined {
  let claims: unknown;
  try {
    claims = JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    return undefined;
  }
  if (!isObject(claims) || typeof claims.namespace !== 'string' || typeof claims.serviceAccount !== 'string') {
    return undefined;
  }
  const { expires = Number.POSITIVE_INFINITY } = claims as unknown as TokenClaims;
  return now < expires ? (claims as unknown as TokenClaims) : undefined;
}

export function userOfClaims({ namespace, serviceAccount, pod, podUid }: TokenClaims): ApiUser {
  return {
    username: `system:serviceaccount:${namespace}:${serviceAccount}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
    extra:
      pod === undefined || podUid === undefined
        ? {}
        : { 'authentication.kubernetes.io/pod-name': [pod], 'authentication.kubernetes.io/pod-uid': [podUid] },
  };
}

/** Who an Authorization field is of; the administrator without one. Throws ApiError 401 for a token of no one. */
export function userOf(authorization: string | undefined): ApiUser {
  if (authorization === undefined) return ADMIN;
  const [, token = ''] = /^Bearer (\S+)$/.exec(authorization) ?? [];
  const claims = readToken(token, Date.now());
  if (claims === undefined) throw new ApiError(401, 'Unauthorized', 'Unauthorized');
  return userOfClaims(claims);
}

/** A CertificateSigningRequest says who made it, whatever its maker wrote there. */
export function askedBy(object: ApiObject, user: ApiUser): ApiObject {
  if (object.kind !== 'CertificateSigningRequest' || !isObject(object.spec)) return object;
  return { ...object, spec: { ...object.spec, ...user } };
}
