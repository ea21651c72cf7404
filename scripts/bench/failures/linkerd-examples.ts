import type { FailureMesh } from './failure-mesh.ts';
import type { Finding } from './finding.ts';
import { failedPercent, latencyQuantile, type Outcome, sendOpenLoop } from './open-loop.ts';
import type { PodSet } from './pod-set.ts';

const NODES = ['node-1', 'node-2', 'node-3'];

/** linkerd-examples/failure-accrual: five backends, of which one fails two of five requests, 100 ms later than the others answer. */
export async function failureAccrual(mesh: FailureMesh): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [service, how, limit] of [
    ['accrual-none', 'in turns, no accrual, no retries', undefined],
    ['accrual-alone', 'default balancer and accrual, no retries', undefined],
    ['accrual-retried', 'default balancer and accrual, retryableRead5XX', 0.5],
  ] as const) {
    const set = await mesh.pods(service, [...NODES, 'node-2', 'node-3']);
    await set.behaveAll({ latencyMs: 10 });
    await set.behave(set.pods[2] as PodSet['pods'][number], { latencyMs: 10, failureRate: 0.4, failureMs: 110 });
    const outcomes = await mesh.load('node-1', service, { perSecond: 300, seconds: 8, methods: ['GET'] });
    set.stop();
    findings.push({
      case: "linkerd's failure-accrual",
      what: `failed, ${how}`,
      measured: failedPercent(outcomes),
      unit: ' %',
      ...(limit === undefined ? {} : { limit }),
    });
  }
  return findings;
}

const STEPS = [
  ...[0, 10, 20, 40, 80, 160, 320, 640].map((latencyMs) => ({ latencyMs })),
  { latencyMs: 1_000, failureRate: 0.4 },
  { latencyMs: 2_000, failureRate: 0.6 },
];

/** linkerd-examples/add-steps: ten backends, each slower than the one before, of which the slowest two fail as well. */
export async function addSteps(mesh: FailureMesh): Promise<Finding[]> {
  const order = { perSecond: 500, seconds: 9, methods: ['GET'] } as const;
  const set = await mesh.pods(
    'steps',
    STEPS.map((_, i) => NODES[i % NODES.length] as string),
  );
  await Promise.all(set.pods.map((pod, i) => set.behave(pod, STEPS[i] ?? {})));
  const inTurns = await sendOpenLoop({
    ...order,
    to: (n) => ({ host: set.pods[n % set.pods.length]?.ip ?? '', port: 8080, path: '/' }),
  });
  const meshed = await mesh.load('node-1', 'steps', order);
  set.stop();
  return [
    ...steps('straight to the pods in turns', inTurns),
    ...steps('through nodemesh, retryableRead5XX', meshed, 0.5),
  ];
}

function steps(how: string, outcomes: readonly Outcome[], limit?: number): Finding[] {
  const of = "linkerd's add-steps";
  return [
    {
      case: of,
      what: `failed, ${how}`,
      measured: failedPercent(outcomes),
      unit: ' %',
      ...(limit === undefined ? {} : { limit }),
    },
    { case: of, what: `p50, ${how}`, measured: Math.round(latencyQuantile(outcomes, 0.5)), unit: ' ms' },
    { case: of, what: `p95, ${how}`, measured: Math.round(latencyQuantile(outcomes, 0.95)), unit: ' ms' },
    { case: of, what: `p99, ${how}`, measured: Math.round(latencyQuantile(outcomes, 0.99)), unit: ' ms' },
  ];
}
