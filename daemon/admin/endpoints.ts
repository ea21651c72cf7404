import type { EndpointsView, KnownEndpoint, KnownService, WatchStatus } from '../../lib/explain.ts';
import type { Service } from '../../lib/kubernetes/service.ts';
import { Turns } from '../../lib/turns.ts';
import type { ClusterState } from '../discovery/cluster-state.ts';
import type { ServiceEntry } from '../discovery/service-entry.ts';
import { endpointKey } from '../naming/endpoint.ts';
import type { Destination } from '../router/destination.ts';
import type { RouterParts } from './router-parts.ts';

export interface EndpointsOptions {
  readonly nodeName: string;
  readonly threads: number;
  readonly state: ClusterState;
  readonly parts: readonly RouterParts[];
  readonly watches: () => readonly WatchStatus[];
  /** ms since 1970. */
  readonly wallClock: () => number;
}

/**
 * `/endpoints`: the Services that this daemon knows, or the one of `service` (`namespace/name`), with what is published for each port, what the
 * balancers of this node know of it, and how fresh all of that is.
 */
export async function endpointsView(query: URLSearchParams, options: EndpointsOptions): Promise<EndpointsView> {
  const { nodeName, threads, state, parts, watches, wallClock } = options;
  const wanted = query.get('service');
  const entries =
    wanted === null ? [...state.services] : [state.service(wanted)].filter((entry) => entry !== undefined);
  const destinations = destinationsByService(parts);
  const services: KnownService[] = [];
  const turns = new Turns();
  for (const entry of entries) {
    services.push(knownService(entry, state, destinations.get(`${entry.namespace}/${entry.name}`) ?? []));
    await turns.end();
  }
  services.sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
  return { node: nodeName, at: wallClock(), thread: `0 of ${threads}`, watches: watches(), services };
}

interface RoutersDestination {
  readonly router: string;
  readonly destination: Destination;
}

function destinationsByService(parts: readonly RouterParts[]): ReadonlyMap<string, readonly RoutersDestination[]> {
  const found = new Map<string, RoutersDestination[]>();
  for (const { label, router } of parts) {
    for (const destination of router.destinations) {
      const { namespace, service } = destination.binding;
      const key = `${namespace}/${service}`;
      found.set(key, [...(found.get(key) ?? []), { router: label, destination }]);
    }
  }
  return found;
}

function knownService(
  entry: ServiceEntry,
  state: ClusterState,
  destinations: readonly RoutersDestination[],
): KnownService {
  const { namespace, name, service } = entry;
  return {
    namespace,
    name,
    ports: portNames(entry).map((port) => ({
      name: port,
      port: numberOf(service, port),
      endpoints: publishedFor(entry, port, state),
    })),
    balancers: destinations.map(({ router, destination }) => ({
      router,
      binding: destination.binding.key,
      endpoints: destination.describe(false).routed.flatMap(({ routed: { endpoint, path }, state }) => {
        if (state === undefined) return [];
        const { load, latencyMs, inFlight, out, outForMs } = state;
        const gateway = path.kind === 'gateway' ? endpointKey(path) : null;
        return [{ address: endpointKey(endpoint), gateway, load, latencyMs, inFlight, out, outForMs }];
      }),
    })),
  };
}

function portNames({ service, portNames }: ServiceEntry): readonly string[] {
  return [...new Set([...(service?.ports.map(({ name }) => name) ?? []), ...portNames])];
}

function numberOf(service: Service | undefined, name: string): number | null {
  return service?.ports.find((port) => port.name === name)?.port ?? null;
}

function publishedFor(entry: ServiceEntry, name: string, state: ClusterState): readonly KnownEndpoint[] {
  const port = { kind: 'named', name } as const;
  const chosen = entry.endpoints(port, undefined, state.readinessDoubted, state.place);
  return entry.published(port, undefined, state.place, chosen).map((one) => ({
    address: endpointKey(one),
    pod: one.pod ?? null,
    node: one.nodeName ?? null,
    zone: one.zone ?? null,
    ready: one.ready,
    dropped: one.why ?? null,
  }));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
