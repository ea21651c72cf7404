import { availableParallelism } from 'node:os';
import { buildDaemon } from './daemon.ts';
import { failingPod, panic, retryBudget, slowPod, unevenNodes } from './failures/balancing.ts';
import { FailureMesh, type FailureMeshOptions } from './failures/failure-mesh.ts';
import { type Finding, held } from './failures/finding.ts';
import { addSteps, failureAccrual } from './failures/linkerd-examples.ts';
import { killedDaemon, rollingRestart } from './failures/outages.ts';
import type { Processes } from './processes.ts';

/** Where other programs took more of the machine than this, what did not hold says nothing of the daemon: it is done again. */
const DISTURBED_SHARE = 0.25;
const MOST_RUNS = 3;

const NODES = ['node-1', 'node-2', 'node-3'];
/** By Service, as the cases name them. */
const ROUTER_KEYS = `service: {kind: io.l5d.static, configs: [
    {prefix: /svc/budget, responseClassifier: {kind: io.l5d.http.retryableAll5XX}},
    {prefix: /svc/accrual-retried, responseClassifier: {kind: io.l5d.http.retryableRead5XX}},
    {prefix: /svc/steps, responseClassifier: {kind: io.l5d.http.retryableRead5XX}}]},
   client: {kind: io.l5d.static, configs: [
    {prefix: '/#/io.l5d.k8s/shop/http/accrual-none', failureAccrual: {kind: none}, loadBalancer: {kind: roundRobin}}]}`;

export interface FailureCase {
  readonly name: string;
  readonly tls: FailureMeshOptions['tls'];
  readonly run: (mesh: FailureMesh) => Promise<Finding[]>;
}

/** In the order in which they are shown. */
export const CASES: readonly FailureCase[] = [
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

export interface FailureOptions {
  /** The names of the cases to be run; empty: all. */
  readonly only: readonly string[];
  /** What other programs than these have used so far, µs. */
  readonly foreignCpuUs: () => number;
  /** A case is over. */
  onFindings(name: string, findings: readonly Finding[]): void;
  /** A case is done again, and why. */
  onRepeated(why: string): void;
}

/**
 * What slow, failing and missing pods and daemons cost callers, on real sockets and processes; some four minutes. Throws
 * where a mesh does not start, or one of the names is no case.
 */
export async function measureFailures(
  processes: Processes,
  dir: string,
  root: string,
  options: FailureOptions,
): Promise<void> {
  const { only } = options;
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
      for (const one of cases) await runCase(one, mesh, options);
    } finally {
      await mesh.stop();
    }
  }
}

async function runCase({ name, run }: FailureCase, mesh: FailureMesh, options: FailureOptions): Promise<void> {
  const { foreignCpuUs, onFindings, onRepeated } = options;
  for (let runs = 1; ; runs += 1) {
    const [foreignBefore, startedAt] = [foreignCpuUs(), performance.now()];
    const findings = await run(mesh);
    const share = (foreignCpuUs() - foreignBefore) / (availableParallelism() * (performance.now() - startedAt) * 1_000);
    if (findings.every(held) || share < DISTURBED_SHARE || runs === MOST_RUNS) {
      onFindings(name, findings);
      return;
    }
    const lost = findings
      .filter((finding) => !held(finding))
      .map(({ what, reasons = [] }) => [what, ...reasons.slice(0, 2)].join(': '));
    onRepeated(`${name}: other programs took ${(100 * share).toFixed(0)} % of the machine (${lost.join('; ')})`);
  }
}
