import type { Shape, SimulatedPod } from './cluster.ts';
import type { Scenario, Stage } from './simulation.ts';

/** Sixty pods that bear 100 requests a second each, at 55 % of that. */
const SHAPE: Shape = { hosts: 20, podsOn: () => 3 };
const COMMON = {
  shape: SHAPE,
  requestsPerSecond: 165,
  seconds: 60,
  fromMs: 10_000,
  toMs: 50_000,
  retries: false,
  patienceMs: 2_000,
  callerRetries: 0,
  coldPods: false,
};
/** How long Kubernetes takes to notice a node that is gone. */
const NODE_LEASE_MS = 40_000;
const RESTART_MS = 3_000;

const ADD_STEPS = [
  ...[0, 10, 20, 40, 80, 160, 320, 640].map((ms) => ({ ms, failing: 0 })),
  { ms: 1_000, failing: 0.4 },
  { ms: 2_000, failing: 0.6 },
];

/** Has something be true of pods within the window. */
function during(
  pods: readonly SimulatedPod[],
  { clock }: Stage,
  change: (pod: SimulatedPod, on: boolean) => void,
): void {
  for (const [at, on] of [
    [COMMON.fromMs, true],
    [COMMON.toMs, false],
  ] as const) {
    clock.at(at, () => {
      for (const pod of pods) change(pod, on);
    });
  }
}

/** Lets hosts go dark at the window's beginning; Kubernetes takes their pods out when it has noticed. */
function darken({ clock, cluster, announce }: Stage, chosen: (index: number) => boolean): readonly SimulatedPod[] {
  const hosts = new Set(cluster.hosts.filter((_, i) => chosen(i)));
  const pods = cluster.pods.filter(({ host }) => hosts.has(host));
  clock.at(COMMON.fromMs, () => {
    for (const host of hosts) host.dark = true;
  });
  clock.at(COMMON.fromMs + NODE_LEASE_MS, () => {
    for (const pod of pods) cluster.withdraw(pod);
    announce();
  });
  return pods;
}

/** A pod ends and is withdrawn at the same moment; callers hear of it later. */
function stop(pod: SimulatedPod, { cluster, announce }: Stage): void {
  pod.up = false;
  cluster.withdraw(pod);
  announce();
}

export const SCENARIOS: readonly Scenario[] = [
  {
    ...COMMON,
    name: 'slow pod',
    what: 'One of sixty pods takes ten times as long for its answers for 40 s.',
    play: (stage) => {
      const pods = stage.cluster.pods.slice(0, 1);
      during(pods, stage, (pod, on) => {
        pod.slowness = on ? 10 : 1;
      });
      return pods;
    },
  },
  {
    ...COMMON,
    name: 'slow pod, 1 000 nodes',
    what:
      'The same among fifty pods on as many of 1 000 nodes, which all ask for them, 2.75 times a second each: one Service of the two hundred ' +
      'that a cluster of 10 000 pods may have.',
    shape: { hosts: 1_000, podsOn: (i) => (i < 50 ? 1 : 0) },
    requestsPerSecond: 2.75,
    play: (stage) => {
      const pods = stage.cluster.pods.slice(0, 1);
      during(pods, stage, (pod, on) => {
        pod.slowness = on ? 10 : 1;
      });
      return pods;
    },
  },
  {
    ...COMMON,
    name: 'fast-failing pod',
    what: 'One of sixty pods answers 503 within a millisecond for 40 s.',
    play: (stage) => {
      const pods = stage.cluster.pods.slice(0, 1);
      during(pods, stage, (pod, on) => {
        pod.failing = on;
      });
      return pods;
    },
  },
  {
    ...COMMON,
    name: 'fast-failing pod, 1 000 nodes',
    what: 'The same among fifty pods on as many of 1 000 nodes, as above.',
    shape: { hosts: 1_000, podsOn: (i) => (i < 50 ? 1 : 0) },
    requestsPerSecond: 2.75,
    play: (stage) => {
      const pods = stage.cluster.pods.slice(0, 1);
      during(pods, stage, (pod, on) => {
        pod.failing = on;
      });
      return pods;
    },
  },
  {
    ...COMMON,
    name: 'uneven nodes',
    what: 'Nothing fails. Half of the nodes have five pods each, the others one; of interest are the latter.',
    shape: { hosts: 20, podsOn: (i) => (i % 2 === 0 ? 5 : 1) },
    play: ({ cluster }) => cluster.pods.filter(({ host }) => cluster.hosts.indexOf(host) % 2 === 1),
  },
  {
    ...COMMON,
    name: 'dead host',
    what: 'One of twenty nodes loses power. Kubernetes takes its three pods out of the Service 40 s later.',
    play: (stage) => darken(stage, (i) => i === 0),
  },
  {
    ...COMMON,
    name: 'zone loss',
    what: 'A third of the nodes is gone at once, pods and callers. Kubernetes takes the pods out of the Service 40 s later.',
    play: (stage) => darken(stage, (i) => i % 3 === 0),
  },
  {
    ...COMMON,
    name: 'rolling restart',
    coldPods: true,
    what:
      'One pod after another is replaced, one every 0.6 s. An old one takes no request from the moment it is told to end; ' +
      'a new one is there 3 s later and works four times slower for its first 10 s.',
    play: (stage) => {
      const { clock, cluster, announce } = stage;
      for (const [i, pod] of [...cluster.pods].entries()) {
        const at = COMMON.fromMs + i * 600;
        clock.at(at, () => stop(pod, stage));
        clock.at(at + RESTART_MS, () => {
          const successor = cluster.addPod(pod.host);
          successor.start();
          cluster.publish(successor);
          announce();
        });
      }
      return [];
    },
  },
  {
    ...COMMON,
    name: 'retry storm',
    what: 'Every pod answers 503 for 20 s, and proxies are told to try GETs again that were answered so.',
    retries: true,
    toMs: 30_000,
    play: ({ clock, cluster }) => {
      clock.at(COMMON.fromMs, () => {
        for (const pod of cluster.pods) pod.failing = true;
      });
      clock.at(30_000, () => {
        for (const pod of cluster.pods) pod.failing = false;
      });
      return [];
    },
  },
  {
    ...COMMON,
    name: 'thundering herd',
    what:
      'All pods end at once. Ten seconds later they come back, cold, six a second, while callers try each request up to twice ' +
      'more, a second apart. Measured is from the first pod back to 30 s later.',
    fromMs: 20_000,
    callerRetries: 2,
    coldPods: true,
    play: (stage) => {
      const { clock, cluster, announce } = stage;
      for (const [i, pod] of [...cluster.pods].entries()) {
        clock.at(10_000, () => stop(pod, stage));
        clock.at(20_000 + i * 167, () => {
          pod.start();
          cluster.publish(pod);
          announce();
        });
      }
      return [];
    },
  },
  {
    ...COMMON,
    name: "linkerd's failure-accrual example",
    what:
      'Five pods answer at once, one of them four times in ten with a 500 after 100 ms; 300 requests a second, from the beginning. ' +
      'After linkerd-examples/failure-accrual.',
    shape: { hosts: 5, podsOn: () => 1 },
    requestsPerSecond: 60,
    fromMs: 0,
    toMs: 60_000,
    play: ({ cluster }) => {
      for (const [i, pod] of cluster.pods.entries()) {
        pod.plays = (random) => (i === 0 && random() < 0.4 ? { status: 500, ms: 100 } : { status: 200, ms: 1 });
      }
      return cluster.pods.slice(0, 1);
    },
  },
  {
    ...COMMON,
    name: "linkerd's add-steps example",
    what:
      'Ten pods answer after 0, 10, 20, 40, 80, 160, 320 and 640 ms, 1 and 2 s, the last two of them with a 500 four and six times in ten; ' +
      '500 requests a second, from the beginning, GETs are tried again, and callers wait ten seconds. After linkerd-examples/add-steps.',
    shape: { hosts: 10, podsOn: () => 1 },
    requestsPerSecond: 50,
    fromMs: 0,
    toMs: 60_000,
    retries: true,
    patienceMs: 10_000,
    play: ({ cluster }) => {
      for (const [i, pod] of cluster.pods.entries()) {
        const { ms, failing } = ADD_STEPS[i] as (typeof ADD_STEPS)[number];
        pod.plays = (random) => ({ status: random() < failing ? 500 : 200, ms });
      }
      return cluster.pods.slice(8);
    },
  },
];
