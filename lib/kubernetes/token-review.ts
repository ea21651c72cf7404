import { type TokenReviewer, type TokenVerdict, tokenDigest } from '../admin-access.ts';
import { type KubernetesApi, KubernetesError } from './types.ts';

/** For as long somebody who was let in stays so while the API server is away, and after their right was taken. */
const ALLOWED_MS = 60_000;
/** Short: whoever was just given the right tries again. */
const DENIED_MS = 10_000;
const MAX_REMEMBERED = 1_000;
/** More at once are no people: each costs the API server two requests. */
const MAX_ASKING = 8;
const TIMEOUT_MS = 5_000;

/** What a TokenReview's status tells (authentication.k8s.io/v1). */
interface TokenReviewStatus {
  readonly authenticated?: boolean;
  readonly user?: {
    readonly username?: string;
    readonly uid?: string;
    readonly groups?: readonly string[];
    readonly extra?: Readonly<Record<string, readonly string[]>>;
  };
}

interface Remembered {
  readonly verdict: TokenVerdict;
  readonly until: number;
}

/**
 * Reviews tokens by the API server: TokenReview for whose they are (for the API server's own audience), then
 * SubjectAccessReview for whether they may `get` a path that is no resource's (authentication.k8s.io/v1,
 * authorization.k8s.io/v1). Verdicts are remembered, by the token's digest: 60 s where it is allowed, 10 s where not; what
 * the API server did not answer is not. `loadApi` is called at the first review. `now`: ms, monotonic.
 */
export function tokenReviewer(loadApi: () => Promise<KubernetesApi>, now: () => number): TokenReviewer {
  const remembered = new Map<string, Remembered>();
  const asking = new Map<string, Promise<TokenVerdict>>();
  let api: KubernetesApi | undefined;

  const ask = async (token: string, path: string): Promise<TokenVerdict> => {
    try {
      api ??= await loadApi();
      return await review(api, token, path);
    } catch (error) {
      return { kind: 'unanswered', why: whyUnanswered(error) };
    }
  };
  const remember = (key: string, verdict: TokenVerdict): void => {
    if (verdict.kind === 'unanswered') return;
    remembered.delete(key);
    remembered.set(key, { verdict, until: now() + (verdict.kind === 'allowed' ? ALLOWED_MS : DENIED_MS) });
    const [oldest] = remembered.keys();
    if (remembered.size > MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
  };

  return async (token, path) => {
    const key = `${path} ${tokenDigest(token)}`;
    const known = remembered.get(key);
    if (known !== undefined && now() < known.until) return known.verdict;
    const asked = asking.get(key);
    if (asked !== undefined) return asked;
    if (asking.size >= MAX_ASKING) return { kind: 'unanswered', why: `${MAX_ASKING} others are being checked` };
    const answer = ask(token, path);
    asking.set(key, answer);
    const verdict = await answer;
    asking.delete(key);
    remember(key, verdict);
    return verdict;
  };
}

async function review(api: KubernetesApi, token: string, path: string): Promise<TokenVerdict> {
  const group = 'authentication.k8s.io/v1';
  const { authenticated = false, user = {} } = await statusOf<TokenReviewStatus>(api, `/apis/${group}/tokenreviews`, {
    apiVersion: group,
    kind: 'TokenReview',
    spec: { token },
  });
  const { username = '', uid, groups = [], extra = {} } = user;
  if (!authenticated || username === '') return { kind: 'unknown' };
  const ofAccess = 'authorization.k8s.io/v1';
  const { allowed = false } = await statusOf<{ allowed?: boolean }>(api, `/apis/${ofAccess}/subjectaccessreviews`, {
    apiVersion: ofAccess,
    kind: 'SubjectAccessReview',
    spec: { user: username, uid, groups, extra, nonResourceAttributes: { path, verb: 'get' } },
  });
  return allowed ? { kind: 'allowed' } : { kind: 'forbidden', user: username };
}

async function statusOf<T>(api: KubernetesApi, path: string, body: object): Promise<T> {
  const answer = (await api.request({ method: 'POST', path, body, timeoutMs: TIMEOUT_MS })) as { status?: T };
  return answer?.status ?? ({} as T);
}

/** Names no more of the error than a caller may know, who has not been let in yet. */
function whyUnanswered(error: unknown): string {
  if (!(error instanceof KubernetesError)) return 'no API server is configured';
  if (error.status === 0) return 'the API server does not answer';
  if (error.status === 403) {
    return 'this process may not create tokenreviews and subjectaccessreviews (ClusterRole nodemesh-token-review)';
  }
  return `the API server answered ${error.status}`;
}
