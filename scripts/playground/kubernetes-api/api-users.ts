import { isObject } from './merge.ts';
import type { ApiObject } from './object-store.ts';

/** Who calls, as an API server knows it from credentials (authentication.k8s.io UserInfo). */
export interface ApiUser {
  readonly username: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** The pod that a ServiceAccount's token is bound to. */
export interface BoundToken {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
}

/** Whoever shows no token: nothing here is forbidden. */
export const ADMIN: ApiUser = { username: 'kubernetes-admin', groups: ['system:masters'], extra: {} };

/** A token as this server issues them: its claims, unsigned. */
export function writeToken(bound: BoundToken): string {
  return Buffer.from(JSON.stringify(bound)).toString('base64url');
}

/** Who an Authorization field is of; the administrator without one, or with one that is not of this server. */
export function userOf(authorization: string | undefined): ApiUser {
  const [, token] = /^Bearer (\S+)$/.exec(authorization ?? '') ?? [];
  if (token === undefined) return ADMIN;
  try {
    const { namespace, serviceAccount, pod, podUid } = JSON.parse(
      Buffer.from(token, 'base64url').toString(),
    ) as BoundToken;
    return {
      username: `system:serviceaccount:${namespace}:${serviceAccount}`,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
      extra: {
        'authentication.kubernetes.io/pod-name': [pod],
        'authentication.kubernetes.io/pod-uid': [podUid],
      },
    };
  } catch {
    return ADMIN;
  }
}

/** A CertificateSigningRequest says who made it, whatever its maker wrote there. */
export function askedBy(object: ApiObject, user: ApiUser): ApiObject {
  if (object.kind !== 'CertificateSigningRequest' || !isObject(object.spec)) return object;
  return { ...object, spec: { ...object.spec, ...user } };
}
