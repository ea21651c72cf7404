/**
 * `npm run e2e` installs nodemesh from manifests/ on the cluster that KUBECONFIG names, checks it, and takes it away again.
 *
 *   KUBECONFIG        a cluster of two or more Linux nodes, to be used as an administrator
 *   NODEMESH_IMAGE    image that the nodes can run; default nodemesh:dev
 *   NODEMESH_LOAD     shell command that brings the image to the nodes, run before the installation, for example
 *                       kind load docker-image "$NODEMESH_IMAGE"
 *                       minikube image load "$NODEMESH_IMAGE"
 *                       $LAB/cluster.sh load dist/nodemesh.tar
 *   NODEMESH_OVERLAY  a folder of manifests/overlays to install instead of manifests/; default none
 *   NODEMESH_E2E_CHAOS_SECONDS  for how long the webhook is given trouble; default 300, 0 leaves it out
 *   NODEMESH_E2E_SUITES  names of suites, with commas between them, to run these alone; default all
 *   LAB               directory of cluster.sh, where the cluster is that lab and this is its host: adds what only its host can do
 *   LAB_NODE_DNS      as given to cluster.sh: whether pods can resolve the names of the lab's nodes
 */
export interface Settings {
  readonly kubeconfig: string;
  readonly chaosSeconds: number;
  /** Undefined: all. */
  readonly suites: readonly string[] | undefined;
  readonly image: string;
  readonly loadCommand: string | undefined;
  readonly overlay: string | undefined;
  readonly lab: string | undefined;
  readonly labNodeDns: boolean;
}

/** Reads the variables above. */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  return {
    kubeconfig: env.KUBECONFIG || '',
    chaosSeconds: Number(env.NODEMESH_E2E_CHAOS_SECONDS || 300),
    suites: env.NODEMESH_E2E_SUITES === undefined ? undefined : env.NODEMESH_E2E_SUITES.split(','),
    image: env.NODEMESH_IMAGE || DEFAULT_IMAGE,
    loadCommand: env.NODEMESH_LOAD || undefined,
    overlay: env.NODEMESH_OVERLAY || undefined,
    lab: env.LAB || undefined,
    labNodeDns: Boolean(env.LAB_NODE_DNS),
  };
}

/** The image that the manifests name. */
export const DEFAULT_IMAGE = 'nodemesh:dev';
