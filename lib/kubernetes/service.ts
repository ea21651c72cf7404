import type { KubernetesObject } from './types.ts';

/** A TCP port of a Service. Unnamed ports have the name ''. */
export interface ServicePort {
  readonly name: string;
  readonly port: number;
  /** A port number of the pods, or the name of one. */
  readonly targetPort: number | string;
  readonly appProtocol: string | undefined;
}

/** What nodemesh reads of a core/v1 Service. */
export interface Service {
  readonly namespace: string;
  readonly name: string;
  /** One of each IP family; empty for headless and ExternalName Services. */
  readonly clusterIPs: readonly string[];
  readonly type: string;
  /** Where the name leads, for type ExternalName only. */
  readonly externalName: string | undefined;
  readonly ports: readonly ServicePort[];
  readonly publishNotReadyAddresses: boolean;
  readonly headless: boolean;
  /** Which endpoints callers prefer: `PreferClose`, `PreferSameZone`, `PreferSameNode`, or one that nobody knows yet. */
  readonly trafficDistribution: string | undefined;
  /** `internalTrafficPolicy: Local`: callers reach the pods of their own node and no others. Never of a headless Service. */
  readonly localOnly: boolean;
}

interface ApiService extends KubernetesObject {
  readonly spec?: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[] | null;
    readonly externalName?: string;
    readonly publishNotReadyAddresses?: boolean;
    readonly trafficDistribution?: string | null;
    readonly internalTrafficPolicy?: string;
    readonly ports?:
      | readonly {
          readonly name?: string;
          readonly port: number;
          readonly protocol?: string;
          readonly targetPort?: number | string;
          readonly appProtocol?: string | null;
        }[]
      | null;
  };
}

/** Takes a core/v1 Service; gives what nodemesh reads of it, with the API's defaults filled in. UDP and SCTP ports are left out. */
export function trimService(object: KubernetesObject): Service {
  const { metadata, spec = {} } = object as ApiService;
  const type = spec.type ?? 'ClusterIP';
  const clusterIPs = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  const headless = clusterIPs.includes('None');
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    clusterIPs: clusterIPs.filter((ip) => ip !== '' && ip !== 'None'),
    type,
    externalName: type === 'ExternalName' ? spec.externalName : undefined,
    ports: (spec.ports ?? [])
      .filter(({ protocol }) => (protocol ?? 'TCP') === 'TCP')
      .map(({ name, port, targetPort, appProtocol }) => ({
        name: name ?? '',
        port,
        targetPort: targetPort ?? port,
        appProtocol: appProtocol ?? undefined,
      })),
    publishNotReadyAddresses: spec.publishNotReadyAddresses ?? false,
    headless,
    trafficDistribution: spec.trafficDistribution ?? undefined,
    localOnly: spec.internalTrafficPolicy === 'Local' && !headless,
  };
}
