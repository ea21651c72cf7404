import { buildDaemon } from './daemon.ts';
import { failingPod, panic, retryBudget, slowPod, unevenNodes } from './failures/balancing.ts';
import { FailureMesh, type FailureMeshOptions } from './failures/failure-mesh.ts';
import type { Finding } from './failures/finding.ts';
import { addSteps, failureAccrual } from './failures/linkerd-examples.ts';
import { killedDaemon, rollingRestart } from './failures/outages.ts';
import type { Processes } from './processes.ts';

const NODES = ['node-1', 'node-2', 'node-3'];
/** By Service, as the cases name them. */
const ROUTER_KEYS = `service: {kind: io.l5d.static, configs: [
    {prefix: /svc/budget, responseClassifier: {kind: io.l5d.http.retryableAll5XX}},
    {prefix: /svc/accrual-retried, responseClassifier: {kind: io.l5d.http.retryableRead5XX}},
    {prefix: /svc/steps, responseClassifier: {kind: io.l5d.http.retryableRead5XX}}]},
   client: {kind: io.l5d.static, configs: [
    {prefix: '/#/io.l5d.k8s/shop/http/accrual-none', failureAccrual: {kind: none}, loadBalancer: {kind: roundRobin}}]}`;

interface FailureCase {
  readonly name: string;
  readonly tls: FailureMeshOptions['tls'];
  readonly run: (mesh: FailureMesh) => Promise<Finding[]>;
}

const CASES: readonly FailureCase[] = [
  { name: 'slow', tls: 'off', run: slowPod },
  { name: 'failing', tls: 'off', run: failingPod },
  { name: 'uneven', tls: 'off', run: unevenNodes },
  { name: 'budget', tls: 'off', run: retryBudget },
  { name: 'panic', tls: 'off', run: panic },
  { name: 'accrual', tls: 'off', run: failureAccrual },
  { name: 'steps', tls: 'off', run: addSteps },
  { name: 'killed', tls: 'off', run: (mesh) => killedDaemon(mesh, 'plaintext') },
  { name: 'rolling', tls: 'off', run: (mesh) => rollingRestart(mesh, 'plaintext', false) },
  { name: 'abrupt', tls: 'off', run: (mesh) => rollingRestart(mesh, 'plaintext', true) },
  { name: 'killed-tls', tls: 'required', run: (mesh) => killedDaemon(mesh, 'mTLS') },
  { name: 'rolling-tls', tls: 'required', run: (mesh) => rollingRestart(mesh, 'mTLS', false) },
];

/**
 * What slow, failing and missing pods and daemons cost callers, on real sockets and processes; some five minutes. `only`: the
 * names of the cases, all where none is given. Throws where a mesh does not start, or one of the names is no case.
 */
export async function measureFailures(
  processes: Processes,
  dir: string,
  root: string,
  options: { readonly only: readonly string[]; onFinding(finding: Finding): void },
): Promise<void> {
  const { only, onFinding } = options;
  const unknown = only.filter((name) => !CASES.some((one) => one.name === name));
  if (unknown.length > 0)
    throw new Error(`no case ${unknown.join(', ')}; there are ${CASES.map(({ name }) => name).join(', ')}`);
  const main = buildDaemon(root);
  for (const [tls, net] of [
    ['off', '127.87'],
    ['required', '127.88'],
  ] as const) {
    const cases = CASES.filter((one) => one.tls === tls && (only.length === 0 || only.includes(one.name)));
    if (cases.length === 0) continue;
    const mesh = await FailureMesh.start({ processes, dir, main, net, nodes: NODES, tls, routerKeys: ROUTER_KEYS });
    try {
      for (const { run } of cases) for (const finding of await run(mesh)) onFinding(finding);
    } finally {
      await mesh.stop();
    }
  }
}
