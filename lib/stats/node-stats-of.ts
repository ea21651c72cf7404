import type { Pod } from '../kubernetes/pod.ts';
import type { Counts, DaemonStatus, NodeStats, PodStats, Series } from './node-stats.ts';
import { INTERVAL_MS, INTERVALS } from './node-stats.ts';
import type { RecentCounts } from './stats-history.ts';

/** Puts together what `/stats` answers: what was counted lately, and all pods of the node, those without requests too. */
export function nodeStatsOf(node: string, recent: RecentCounts, pods: Iterable<Pod>, daemon: DaemonStatus): NodeStats {
  const counted = new Map(recent.pods.map((pod) => [`${pod.namespace}/${pod.name}`, pod]));
  const idle = idleCounts(recent.boundsMs.length + 1);
  return {
    node,
    at: recent.at,
    windowMs: recent.windowMs,
    intervalMs: INTERVAL_MS,
    boundsMs: recent.boundsMs,
    edges: recent.edges,
    pods: [...pods].map(
      ({ namespace, name, workload, ips, ready, injected }): PodStats => ({
        ...(counted.get(`${namespace}/${name}`) ?? idle),
        namespace,
        name,
        workload,
        ip: ips[0] ?? '',
        ready,
        injected,
      }),
    ),
    daemon,
  };
}

function idleCounts(buckets: number): Counts & { readonly series: Series; readonly services: readonly string[] } {
  const none = new Array<number>(INTERVALS).fill(0);
  const latency = new Array<number>(buckets).fill(0);
  const series = { requests: none, failures: none };
  return { requests: 0, successes: 0, failures: 0, retries: 0, latency, series, services: [] };
}
