import { type Pod, trimPod } from './pod.ts';
import type { KubernetesObject } from './types.ts';

/** What policies ask of a pod, wherever it runs. */
export type PolicyPod = Pick<
  Pod,
  'namespace' | 'name' | 'uid' | 'ips' | 'nodeName' | 'serviceAccount' | 'labels' | 'ports'
>;

/** A large cluster has as many sets of labels as it has workloads; a further one pushes the oldest out. */
const MAX_SHARED = 4_096;

/**
 * Makes a trim for the pods of a whole cluster: what policies ask and no more, with equal labels, ports and names kept once.
 * Pods on the host's network, without an address or at their end are left out: no address tells them.
 */
export function policyPodTrim(): (object: KubernetesObject) => PolicyPod | undefined {
  const shared = new Map<string, unknown>();
  const share = <T>(value: T): T => {
    const key = JSON.stringify(value);
    const known = shared.get(key);
    if (known !== undefined) return known as T;
    if (shared.size >= MAX_SHARED) {
      const [oldest] = shared.keys();
      if (oldest !== undefined) shared.delete(oldest);
    }
    shared.set(key, value);
    return value;
  };
  return (object) => {
    const { hostNetwork, phase, ...pod } = trimPod(object);
    if (hostNetwork || phase === 'Succeeded' || phase === 'Failed' || pod.ips.length === 0) return undefined;
    const { namespace, name, uid, ips, nodeName, serviceAccount, labels, ports } = pod;
    return {
      namespace: share(namespace),
      name,
      uid,
      ips,
      nodeName: nodeName === undefined ? undefined : share(nodeName),
      serviceAccount: serviceAccount === undefined ? undefined : share(serviceAccount),
      labels: share(labels),
      ports: share(ports),
    };
  };
}
