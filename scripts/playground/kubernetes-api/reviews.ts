import { badRequest, notFound } from './api-error.ts';
import { type ApiUser, readToken, type TokenClaims, userOfClaims, writeToken } from './api-users.ts';
import { isObject } from './merge.ts';
import type { ApiObject, ObjectStore } from './object-store.ts';
import type { ResourceType } from './resource-types.ts';

const DEFAULT_TOKEN_SECONDS = 3_600;
const MIN_TOKEN_SECONDS = 600; // an API server gives none for less

interface Subject {
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
}

/** What may be asked of a SubjectAccessReview here. */
export interface AccessQuestion {
  readonly resourceAttributes?: { readonly verb?: string; readonly resource?: string; readonly subresource?: string };
  readonly nonResourceAttributes?: { readonly path?: string; readonly verb?: string };
}

/** Answers who somebody is and what they may do: authentication.k8s.io/v1 and authorization.k8s.io/v1. */
export class Reviews {
  readonly #store: ObjectStore;
  readonly #types: readonly ResourceType[];
  /** What nobody may do, as `verb plural`. */
  readonly #denied: ReadonlySet<string>;

  constructor(store: ObjectStore, types: readonly ResourceType[], denied: ReadonlySet<string>) {
    this.#store = store;
    this.#types = types;
    this.#denied = denied;
  }

  /** The answer to a POST of a review, or of a ServiceAccount's token; undefined where the path is none. Throws ApiError 400, 404. */
  answer(pathname: string, body: () => unknown, caller: ApiUser): object | undefined {
    const [, group, review] = /^\/apis\/(authentication|authorization)\.k8s\.io\/v1\/([a-z]+)$/.exec(pathname) ?? [];
    if (group === 'authentication' && review === 'tokenreviews') return this.#reviewToken(reviewOf(body()));
    if (group === 'authorization' && review === 'subjectaccessreviews') {
      const asked = reviewOf(body());
      const { user = '', groups = [] } = asked.spec as { user?: string; groups?: string[] };
      return this.#reviewAccess(asked, { username: user, groups, extra: {} });
    }
    if (group === 'authorization' && review === 'selfsubjectaccessreviews') {
      return this.#reviewAccess(reviewOf(body()), caller);
    }
    const account = /^\/api\/v1\/namespaces\/([^/]+)\/serviceaccounts\/([^/]+)\/token$/.exec(pathname);
    return account === null ? undefined : this.#issueToken(account[1] ?? '', account[2] ?? '', body());
  }

  #reviewToken(review: Review): object {
    const { token } = review.spec as { token?: unknown };
    const claims = typeof token === 'string' ? readToken(token, Date.now()) : undefined;
    if (claims === undefined || !this.#isThere(claims)) {
      return { ...review, status: { authenticated: false, error: 'invalid bearer token' } };
    }
    const { username, groups, extra } = userOfClaims(claims);
    const { namespace, serviceAccount: name } = claims;
    const uid = this.#find('ServiceAccount', namespace, name)?.metadata.uid;
    return { ...review, status: { authenticated: true, user: { username, uid, groups, extra } } };
  }

  /** A token ends with its ServiceAccount, and with the pod that it is bound to. */
  #isThere({ namespace, serviceAccount, pod, podUid }: TokenClaims): boolean {
    if (this.#find('ServiceAccount', namespace, serviceAccount) === undefined) return false;
    return pod === undefined || this.#find('Pod', namespace, pod)?.metadata.uid === podUid;
  }

  #reviewAccess(review: Review, user: ApiUser): object {
    return { ...review, status: { allowed: this.#allows(user, review.spec as AccessQuestion) } };
  }

  /** Of resources, `denied` alone is known; of other paths, what ClusterRoles give by their nonResourceURLs. */
  #allows(user: ApiUser, { resourceAttributes, nonResourceAttributes }: AccessQuestion): boolean {
    if (nonResourceAttributes === undefined) {
      const { verb, resource, subresource } = resourceAttributes ?? {};
      return !this.#denied.has(`${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`);
    }
    if (user.groups.includes('system:masters')) return true;
    const { path = '', verb = '' } = nonResourceAttributes;
    return this.#rulesOf(user).some(
      ({ nonResourceURLs, verbs }) =>
        strings(nonResourceURLs).some((url) => matchesUrl(url, path)) &&
        strings(verbs).some((one) => one === '*' || one === verb),
    );
  }

  #rulesOf(user: ApiUser): Record<string, unknown>[] {
    return this.#list('ClusterRoleBinding').flatMap(({ subjects, roleRef }) => {
      const bound = Array.isArray(subjects) && subjects.some((subject: Subject) => isSubject(subject, user));
      if (!bound || !isObject(roleRef)) return [];
      const role = this.#find('ClusterRole', undefined, String(roleRef.name));
      return Array.isArray(role?.rules) ? role.rules.filter(isObject) : [];
    });
  }

  #issueToken(namespace: string, name: string, body: unknown): object {
    if (this.#find('ServiceAccount', namespace, name) === undefined) throw notFound('serviceaccounts', name);
    const spec = isObject(body) && isObject(body.spec) ? body.spec : {};
    const { expirationSeconds: seconds = DEFAULT_TOKEN_SECONDS } = spec;
    if (typeof seconds !== 'number' || seconds < MIN_TOKEN_SECONDS) {
      throw badRequest(`spec.expirationSeconds: may not specify a duration less than ${MIN_TOKEN_SECONDS} seconds`);
    }
    const expires = Date.now() + seconds * 1_000;
    return {
      kind: 'TokenRequest',
      apiVersion: 'authentication.k8s.io/v1',
      metadata: { name, namespace },
      spec: { ...spec, expirationSeconds: seconds },
      status: {
        token: writeToken({ namespace, serviceAccount: name, expires }),
        expirationTimestamp: new Date(expires).toISOString(),
      },
    };
  }

  #type(kind: string): ResourceType {
    const type = this.#types.find((one) => one.kind === kind);
    if (type === undefined) throw new Error(`the API has no ${kind}`);
    return type;
  }

  #find(kind: string, namespace: string | undefined, name: string): ApiObject | undefined {
    return this.#store.get(this.#type(kind), namespace, name);
  }

  #list(kind: string): readonly ApiObject[] {
    return this.#store.list(this.#type(kind), undefined);
  }
}

type Review = Readonly<Record<string, unknown>> & { readonly spec: object };

function reviewOf(body: unknown): Review {
  if (!isObject(body) || !isObject(body.spec)) throw badRequest('a review needs a spec');
  return body as Review;
}

function isSubject({ kind, name, namespace }: Subject, { username, groups }: ApiUser): boolean {
  if (kind === 'Group') return groups.includes(name ?? '');
  return username === (kind === 'ServiceAccount' ? `system:serviceaccount:${namespace}:${name}` : name);
}

/** A trailing `*` stands for anything (rbac.authorization.k8s.io/v1, PolicyRule.nonResourceURLs). */
function matchesUrl(url: string, path: string): boolean {
  return url === path || (url.endsWith('*') && path.startsWith(url.slice(0, -1)));
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
