import type { KubernetesObject } from './types.ts';

/** One address of a Service, as EndpointSlice (discovery.k8s.io/v1) or Endpoints (core/v1) publishes it. */
export interface EndpointAddress {
  readonly ip: string;
  readonly nodeName: string | undefined;
  readonly pod: string | undefined;
  readonly hostname: string | undefined;
  readonly zone: string | undefined;
  /** The zones and the nodes whose callers it is meant for (`hints`); undefined where nothing is said. */
  readonly forZones: readonly string[] | undefined;
  readonly forNodes: readonly string[] | undefined;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
}

/** A TCP port of the pods. Unnamed ports have the name ''. */
export interface EndpointPort {
  readonly name: string;
  readonly port: number;
  readonly appProtocol: string | undefined;
}

/** Addresses that all have the same ports: a slice, or one subset of an Endpoints object. */
export interface EndpointGroup {
  readonly ports: readonly EndpointPort[];
  readonly addresses: readonly EndpointAddress[];
}

/** The endpoint groups that one slice or Endpoints object publishes, for one Service. */
export interface PublishedGroups {
  readonly namespace: string;
  readonly service: string;
  readonly groups: readonly EndpointGroup[];
}

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
/** Leader election of old controllers renews an Endpoints object that publishes nothing every two seconds. */
const LEADER_ANNOTATION = 'control-plane.alpha.kubernetes.io/leader';

interface ApiPort {
  readonly name?: string | null;
  readonly port?: number | null;
  readonly protocol?: string | null;
  readonly appProtocol?: string | null;
}

interface ApiTargetRef {
  readonly kind?: string;
  readonly name?: string;
}

type ApiHints = readonly { readonly name: string }[] | null;

interface ApiSlice extends KubernetesObject {
  readonly addressType?: string;
  readonly ports?: readonly ApiPort[] | null;
  readonly endpoints?:
    | readonly {
        readonly addresses?: readonly string[] | null;
        readonly conditions?: {
          readonly ready?: boolean | null;
          readonly serving?: boolean | null;
          readonly terminating?: boolean | null;
        };
        readonly nodeName?: string | null;
        readonly hostname?: string | null;
        readonly zone?: string | null;
        readonly hints?: { readonly forZones?: ApiHints; readonly forNodes?: ApiHints } | null;
        readonly targetRef?: ApiTargetRef | null;
      }[]
    | null;
}

interface ApiEndpointsAddress {
  readonly ip: string;
  readonly nodeName?: string | null;
  readonly hostname?: string;
  readonly targetRef?: ApiTargetRef | null;
}

interface ApiEndpoints extends KubernetesObject {
  readonly subsets?:
    | readonly {
        readonly ports?: readonly ApiPort[] | null;
        readonly addresses?: readonly ApiEndpointsAddress[] | null;
        readonly notReadyAddresses?: readonly ApiEndpointsAddress[] | null;
      }[]
    | null;
}

/**
 * Takes an EndpointSlice of discovery.k8s.io/v1; gives its one group, or undefined for a slice of no Service and for
 * one of host names (addressType FQDN). Conditions left out mean ready, serving as ready, not terminating (the API's
 * own defaults, "EndpointConditions"). UDP and SCTP ports are left out.
 */
export function trimEndpointSlice(object: KubernetesObject): PublishedGroups | undefined {
  const { metadata, addressType, ports, endpoints } = object as ApiSlice;
  const service = metadata.labels?.[SERVICE_NAME_LABEL];
  if (service === undefined || service === '' || addressType === 'FQDN') return undefined;
  const addresses = (endpoints ?? []).flatMap((endpoint) => {
    const { conditions } = endpoint;
    const ready = conditions?.ready ?? true;
    const shared = {
      nodeName: endpoint.nodeName ?? undefined,
      pod: podName(endpoint.targetRef),
      hostname: endpoint.hostname ?? undefined,
      zone: endpoint.zone ?? undefined,
      forZones: hinted(endpoint.hints?.forZones),
      forNodes: hinted(endpoint.hints?.forNodes),
      ready,
      serving: conditions?.serving ?? ready,
      terminating: conditions?.terminating ?? false,
    };
    return (endpoint.addresses ?? []).map((ip) => ({ ip, ...shared }));
  });
  return { namespace: metadata.namespace ?? '', service, groups: [{ ports: tcpPorts(ports), addresses }] };
}

/**
 * Takes an Endpoints object of core/v1; gives a group for each subset, or undefined for the objects that old leader
 * elections keep. Endpoints say nothing of zones or of pods that terminate: a pod that does is simply absent.
 */
export function trimEndpoints(object: KubernetesObject): PublishedGroups | undefined {
  const { metadata, subsets } = object as ApiEndpoints;
  if (metadata.annotations?.[LEADER_ANNOTATION] !== undefined) return undefined;
  const groups = (subsets ?? []).map(({ ports, addresses, notReadyAddresses }) => ({
    ports: tcpPorts(ports),
    addresses: [
      ...(addresses ?? []).map((address) => endpointsAddress(address, true)),
      ...(notReadyAddresses ?? []).map((address) => endpointsAddress(address, false)),
    ],
  }));
  return { namespace: metadata.namespace ?? '', service: metadata.name, groups };
}

function endpointsAddress(address: ApiEndpointsAddress, ready: boolean): EndpointAddress {
  return {
    ip: address.ip,
    nodeName: address.nodeName ?? undefined,
    pod: podName(address.targetRef),
    hostname: address.hostname === '' ? undefined : address.hostname,
    zone: undefined,
    forZones: undefined,
    forNodes: undefined,
    ready,
    serving: ready,
    terminating: false,
  };
}

function hinted(hints: ApiHints | undefined): string[] | undefined {
  return hints == null || hints.length === 0 ? undefined : hints.map(({ name }) => name);
}

function podName(ref: ApiTargetRef | null | undefined): string | undefined {
  return ref?.kind === 'Pod' ? ref.name : undefined;
}

/** A slice's port without a number means "every port", which no HTTP Service uses: it is left out. */
function tcpPorts(ports: readonly ApiPort[] | null | undefined): EndpointPort[] {
  return (ports ?? []).flatMap(({ name, port, protocol, appProtocol }) =>
    port == null || (protocol ?? 'TCP') !== 'TCP'
      ? []
      : [{ name: name ?? '', port, appProtocol: appProtocol ?? undefined }],
  );
}
