import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { z } from 'zod';
import type { Counter, Family, MetricsRegistry } from './metrics.ts';

/**
 * What an admin server's path is about: `probe`, what kubelets ask; `metrics`; `diagnostics`, what a process knows and
 * does, without requests' contents; `tap`, requests as they go by; `page`, files of the console, which hold no data.
 */
export type AccessClass = 'probe' | 'metrics' | 'diagnostics' | 'tap' | 'page';
export type GuardedClass = 'metrics' | 'diagnostics' | 'tap';

/** The path by which RBAC rules (nonResourceURLs, verb `get`) speak of each class. ClusterRole nodemesh-viewer has all three. */
export const ACCESS_PATHS: Readonly<Record<GuardedClass, string>> = {
  metrics: '/metrics',
  diagnostics: '/nodemesh/diagnostics',
  tap: '/nodemesh/tap',
};

const ACCESS_MODES = ['open', 'token'] as const;
export type AccessMode = (typeof ACCESS_MODES)[number];
export type AccessModes = Readonly<Record<GuardedClass, AccessMode>>;

const mode = z.enum(ACCESS_MODES, { error: 'give "open" or "token"' });

/** `admin.access` of the daemon's config and of the webhook's. */
export const accessSchema = z
  .strictObject({
    metrics: mode.default('open'),
    diagnostics: mode.default('token'),
    tap: mode.default('token'),
  })
  .prefault({});

/** What an API server makes of a token and of a path that its owner wants to get. */
export type TokenVerdict =
  | { readonly kind: 'allowed' }
  /** Nobody's token, or one that has ended. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'forbidden'; readonly user: string }
  /** Nobody could say. */
  | { readonly kind: 'unanswered'; readonly why: string };

/** Asks whose token it is, and whether they may get `path`. Never rejects. */
export type TokenReviewer = (token: string, path: string) => Promise<TokenVerdict>;

/** Why a request is not served, as `admin_refused_total` has it. */
type RefusalReason = 'foreign_name' | 'no_reviewer' | 'no_token' | Exclude<TokenVerdict['kind'], 'allowed'>;

/** The same for the person who made it. */
export interface Refusal {
  readonly status: 401 | 403 | 503;
  readonly reason: RefusalReason;
  readonly text: string;
}

export interface AdminAccessOptions {
  readonly modes: AccessModes;
  /** Where the admin server listens. */
  readonly ip: string;
  /** Undefined: there is no API server to ask, and what wants a token is refused. */
  readonly review: TokenReviewer | undefined;
  readonly metrics: MetricsRegistry;
}

/**
 * Decides who may read what of an admin server. On 127.0.0.1 and ::1 everything is open: nobody but this host reaches
 * those, and a browser that was led there by a foreign name (DNS rebinding) is told by its Host field. Elsewhere a class
 * whose mode is `token` wants a bearer token of the cluster.
 */
export class AdminAccess {
  readonly #options: AdminAccessOptions;
  readonly #loopback: boolean;
  readonly #refused: Family<Counter>;

  constructor(options: AdminAccessOptions) {
    this.#options = options;
    this.#loopback = options.ip === '127.0.0.1' || options.ip === '::1';
    this.#refused = options.metrics.counter('admin_refused_total', 'Requests of the admin port that were refused.', [
      'class',
      'reason',
    ]);
  }

  /** Undefined where the request may be served. */
  async refusal(access: AccessClass, headers: IncomingHttpHeaders): Promise<Refusal | undefined> {
    if (access === 'probe' || access === 'page') return undefined;
    const refusal = await this.#judge(access, headers);
    if (refusal !== undefined) this.#refused.with(access, refusal.reason).inc();
    return refusal;
  }

  async #judge(access: GuardedClass, headers: IncomingHttpHeaders): Promise<Refusal | undefined> {
    const { modes, review } = this.#options;
    if (this.#loopback) return namesThisHost(headers.host) ? undefined : FOREIGN_NAME;
    if (modes[access] === 'open') return undefined;
    if (review === undefined) return noReviewer(access);
    const token = bearerToken(headers);
    if (token === undefined) return { status: 401, reason: 'no_token', text: `this takes a token. ${HOW_TO_ASK}` };
    return refusalOf(await review(token, ACCESS_PATHS[access]), access);
  }
}

/**
 * The bearer token of a request (RFC 6750 section 2.1). `nodemesh-authorization` goes first: an API server takes
 * `authorization` off what it proxies, and reads it itself.
 */
export function bearerToken(headers: IncomingHttpHeaders): string | undefined {
  const { 'nodemesh-authorization': own, authorization } = headers;
  const [, token] = /^Bearer +([\w.~+/-]+=*) *$/i.exec(String(own ?? authorization ?? '')) ?? [];
  return token;
}

/** What stands for a token where it is remembered. */
export function tokenDigest(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}

const HOW_TO_ASK =
  'Use `nodemesh dashboard` or `nodemesh tap`, which bring one; or send `nodemesh-authorization: Bearer <token>` with what `kubectl -n nodemesh create token nodemesh-viewer` gives\n';

const FOREIGN_NAME: Refusal = {
  status: 403,
  reason: 'foreign_name',
  text: 'this listens for its own host alone: ask for it by 127.0.0.1, [::1] or localhost, not by another name\n',
};

function refusalOf(verdict: TokenVerdict, access: GuardedClass): Refusal | undefined {
  const { kind } = verdict;
  switch (kind) {
    case 'allowed':
      return undefined;
    case 'unknown':
      return {
        status: 401,
        reason: kind,
        text: `the API server does not know this token, or it has ended. ${HOW_TO_ASK}`,
      };
    case 'forbidden': {
      const subject = subjectOf(verdict.user);
      const text = `${verdict.user} may not get ${ACCESS_PATHS[access]}. Whoever administers the cluster allows it by: kubectl create clusterrolebinding <name> --clusterrole=nodemesh-viewer ${subject}\n`;
      return { status: 403, reason: kind, text };
    }
    case 'unanswered': {
      const text = `the token cannot be checked: ${verdict.why}. Try again when it answers; without a token there are /livez, /readyz and what admin.access leaves open\n`;
      return { status: 503, reason: kind, text };
    }
  }
}

function noReviewer(access: GuardedClass): Refusal {
  const text = `this process speaks to no API server that could check a token: give admin.ip: 127.0.0.1, or admin.access.${access}: open\n`;
  return { status: 403, reason: 'no_reviewer', text };
}

/** As `kubectl create clusterrolebinding` takes it. */
function subjectOf(user: string): string {
  const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user) ?? [];
  return name === undefined ? `--user='${user}'` : `--serviceaccount=${namespace}:${name}`;
}

/** A Host field with an address or `localhost`; one that is missing is no browser's. */
function namesThisHost(host: string | undefined): boolean {
  if (host === undefined) return true;
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return name.toLowerCase() === 'localhost' || isIP(name) !== 0;
}
