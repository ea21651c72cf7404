import { parseDaemonConfig, tlsModeOf } from '../../daemon/config.ts';
import { messageOf } from '../host.ts';
import { type Finding, failure, ok, warning } from './finding.ts';

const EDIT = 'kubectl -n nodemesh edit configmap nodemesh-config';
const RESTART = 'kubectl -n nodemesh rollout restart daemonset/nodemesh-daemon';

/** `mesh.tls`: how daemons speak to each other, by the `daemon.yaml` that they are started with; undefined: there is none. */
export function judgeMeshTls(daemonConfig: string | undefined): Finding {
  const id = 'mesh.tls';
  if (daemonConfig === undefined) return failure(id, 'ConfigMap nodemesh-config has no daemon.yaml', EDIT);
  let modes: { label: string; mode: string }[];
  try {
    const environment = { nodeName: 'node', nodeIp: '127.0.0.1', podNamespace: undefined };
    const { routers } = parseDaemonConfig('ConfigMap nodemesh-config, daemon.yaml', daemonConfig, environment);
    modes = routers.map((router) => ({ label: router.label, mode: tlsModeOf(router) }));
  } catch (error) {
    return failure(id, messageOf(error), EDIT);
  }
  const text = modes.map(({ label, mode }) => `${label}: ${mode}`).join(', ');
  const plaintext = modes.some(({ mode }) => mode === 'off' || mode === 'permissive');
  const hint = `set tls: permissive on every router, and required once all daemons run with it: ${EDIT}; ${RESTART}`;
  return plaintext ? warning(id, `${text}: requests between nodes may go in plaintext`, hint) : ok(id, text);
}
