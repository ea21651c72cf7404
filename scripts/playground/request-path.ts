import { describeGrowth, growths, type Sample } from './daemon-counts.ts';

/** What a daemon had counted at one moment. */
export interface NodeReading {
  readonly node: string;
  readonly ip: string;
  readonly samples: readonly Sample[];
}

export interface Hop {
  readonly where: string;
  /** The counter that shows it. */
  readonly evidence: string;
}

export interface RequestPath {
  readonly sourceNode: string;
  readonly destinationNode: string;
  readonly hops: readonly Hop[];
}

/**
 * The way of the one request to `service` that was made between two readings of every daemon, told from what they counted:
 * outgoing router, incoming router, pod. Throws an Error where the counters do not tell of exactly one such request.
 */
export function requestPath(
  before: readonly NodeReading[],
  after: readonly NodeReading[],
  destination: { readonly namespace: string; readonly service: string },
): RequestPath {
  const labels = { dst_namespace: destination.namespace, dst_service: destination.service };
  const grown = (name: string, extra: Readonly<Record<string, string>>) =>
    after.flatMap((reading, i) =>
      growths(before[i]?.samples ?? [], reading.samples, name, { ...labels, ...extra }).map((growth) => ({
        reading,
        growth,
      })),
    );
  const outgoing = one(grown('request_total', { router: 'outgoing' }), 'outgoing request_total');
  const incoming = one(grown('request_total', { router: 'incoming' }), 'incoming request_total');
  const pod = one(grown('endpoint_request_total', { router: 'incoming' }), 'incoming endpoint_request_total');
  return {
    sourceNode: outgoing.reading.node,
    destinationNode: incoming.reading.node,
    hops: [
      {
        where: `${outgoing.reading.node} outgoing ${outgoing.reading.ip}:4140`,
        evidence: describeGrowth(outgoing.growth),
      },
      {
        where: `${incoming.reading.node} incoming ${incoming.reading.ip}:4141`,
        evidence: describeGrowth(incoming.growth),
      },
      { where: `pod ${pod.growth.sample.labels.dst_pod ?? ''}`, evidence: describeGrowth(pod.growth) },
    ],
  };
}

function one<T extends { readonly growth: Parameters<typeof describeGrowth>[0] }>(
  found: readonly T[],
  what: string,
): T {
  const [first, ...others] = found;
  if (first === undefined) throw new Error(`no daemon counted the request in ${what}`);
  if (others.length > 0 || first.growth.sample.value - first.growth.before !== 1) {
    throw new Error(
      `one request was counted more than once in ${what}: ${found.map(({ growth }) => describeGrowth(growth)).join('; ')}`,
    );
  }
  return first;
}
