import { type KubernetesApi, KubernetesError } from '../../lib/kubernetes/types.ts';
import { CommandError } from '../host.ts';
import { MESH_NAMESPACE } from '../settings.ts';

/** Whom daemons show what they know (manifests: ClusterRole of the same name). */
const VIEWER = 'nodemesh-viewer';
const PATH = `/api/v1/namespaces/${MESH_NAMESPACE}/serviceaccounts/${VIEWER}/token`;
const LIFE_S = 3_600;
/** A token is replaced when so much of its life is left. */
const RENEW_MS = 600_000;

/**
 * Tokens of the ServiceAccount that may see what daemons know (TokenRequest, authentication.k8s.io/v1), made by the API server
 * and kept until shortly before they end. The caller's own credentials never reach a daemon.
 */
export class ViewerToken {
  readonly #api: KubernetesApi;
  readonly #now: () => number;
  #known: { readonly token: Promise<string>; readonly until: number } | undefined;

  constructor(api: KubernetesApi, now: () => number) {
    this.#api = api;
    this.#now = now;
  }

  /** The field that shows it; API servers keep `authorization` for themselves. Throws CommandError. */
  async headers(): Promise<Readonly<Record<string, string>>> {
    const now = this.#now();
    if (this.#known === undefined || this.#known.until <= now) {
      this.#known = { token: this.#ask(), until: now + LIFE_S * 1_000 - RENEW_MS };
      this.#known.token.catch(() => {
        this.#known = undefined;
      });
    }
    return { 'nodemesh-authorization': `Bearer ${await this.#known.token}` };
  }

  async #ask(): Promise<string> {
    const spec = { expirationSeconds: LIFE_S };
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
    try {
      const answer = (await this.#api.request({ method: 'POST', path: PATH, body })) as {
        status?: { token?: string };
      };
      const token = answer.status?.token;
      if (typeof token === 'string' && token !== '') return token;
      throw new CommandError(`the API server gave no token of ServiceAccount ${MESH_NAMESPACE}/${VIEWER}`);
    } catch (error) {
      if (!(error instanceof KubernetesError)) throw error;
      throw new CommandError(whyNoToken(error));
    }
  }
}

function whyNoToken({ status, message }: KubernetesError): string {
  const account = `ServiceAccount ${MESH_NAMESPACE}/${VIEWER}`;
  if (status === 404) {
    return `there is no ${account}: the mesh is not installed, or is older than this command; kubectl apply -k manifests/`;
  }
  if (status !== 403) return `no token of ${account} to ask the daemons with: ${message}`;
  return [
    `you may not ask the daemons: you get no token of ${account} (${message}).`,
    'Ask whoever runs the cluster for this, in a Role of that namespace:',
    `  {apiGroups: [''], resources: [serviceaccounts/token], resourceNames: [${VIEWER}], verbs: [create]}`,
    "  {apiGroups: [''], resources: [pods, pods/proxy, services], verbs: [get, list]}",
  ].join('\n');
}
