import { isReady, matchesLabels, type PodObject, type ServiceObject } from './objects.ts';

interface Address {
  readonly ip: string;
  readonly nodeName: string | undefined;
  readonly targetRef: { readonly kind: 'Pod'; readonly name: string; readonly namespace: string; readonly uid: string };
}

interface Port {
  readonly name?: string;
  readonly port: number;
  readonly protocol: string;
  readonly appProtocol?: string;
}

export interface Subset {
  readonly addresses?: readonly Address[];
  readonly notReadyAddresses?: readonly Address[];
  readonly ports: readonly Port[];
}

/**
 * The Endpoints subsets of a Service, from the pods of its namespace, as Kubernetes' Endpoints controller makes them: pods
 * that its selector matches, that have an address and are not terminating; ready or notReady by their Ready condition
 * (or all ready under publishNotReadyAddresses); named target ports looked up in each pod's containers. Pods that
 * resolve to different port numbers land in different subsets. In the order of the pods' addresses.
 */
export function endpointSubsets(service: ServiceObject, pods: readonly PodObject[]): Subset[] {
  const groups = new Map<string, { ports: Port[]; ready: Address[]; notReady: Address[] }>();
  for (const pod of [...pods].sort(byAddress)) {
    const ip = pod.status?.podIP;
    if (ip === undefined || !isEndpoint(service, pod)) continue;
    const ports = (service.spec.ports ?? []).flatMap((port) => resolvePort(port, pod));
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, ready: [], notReady: [] };
    groups.set(key, group);
    const { name, namespace = '', uid = '' } = pod.metadata;
    const address: Address = { ip, nodeName: pod.spec.nodeName, targetRef: { kind: 'Pod', name, namespace, uid } };
    (service.spec.publishNotReadyAddresses || isReady(pod) ? group.ready : group.notReady).push(address);
  }
  return [...groups.values()].map(({ ports, ready, notReady }) => ({
    ...(ready.length > 0 ? { addresses: ready } : {}),
    ...(notReady.length > 0 ? { notReadyAddresses: notReady } : {}),
    ports,
  }));
}

/** The same as discovery.k8s.io/v1 EndpointSlices, one a subset, named after the Service. */
export function endpointSlices(service: ServiceObject, subsets: readonly Subset[]): object[] {
  const { name, namespace } = service.metadata;
  return subsets.map((subset, i) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${i}`,
      namespace,
      labels: {
        'kubernetes.io/service-name': name,
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
    },
    addressType: 'IPv4',
    ports: subset.ports.map((port) => ({ ...port, name: port.name ?? '' })),
    endpoints: [
      ...(subset.addresses ?? []).map((address) => sliceEndpoint(address, true)),
      ...(subset.notReadyAddresses ?? []).map((address) => sliceEndpoint(address, false)),
    ],
  }));
}

function sliceEndpoint({ ip, nodeName, targetRef }: Address, ready: boolean): object {
  return { addresses: [ip], nodeName, targetRef, conditions: { ready, serving: ready, terminating: false } };
}

function isEndpoint(service: ServiceObject, pod: PodObject): boolean {
  return (
    pod.metadata.namespace === service.metadata.namespace &&
    pod.metadata.deletionTimestamp === undefined &&
    pod.status?.phase !== 'Succeeded' &&
    pod.status?.phase !== 'Failed' &&
    matchesLabels(service.spec.selector, pod.metadata.labels)
  );
}

type ServicePort = NonNullable<ServiceObject['spec']['ports']>[number];

/** A named target port that no container of the pod has is left out, as the Endpoints controller does. */
function resolvePort({ name, port, targetPort, protocol = 'TCP', appProtocol }: ServicePort, pod: PodObject): Port[] {
  const target = targetPort ?? port;
  const number = typeof target === 'number' ? target : containerPort(pod, target);
  if (number === undefined) return [];
  return [
    {
      ...(name === undefined ? {} : { name }),
      port: number,
      protocol,
      ...(appProtocol === undefined ? {} : { appProtocol }),
    },
  ];
}

function containerPort(pod: PodObject, name: string): number | undefined {
  return pod.spec.containers.flatMap(({ ports = [] }) => ports).find((port) => port.name === name)?.containerPort;
}

function byAddress(a: PodObject, b: PodObject): number {
  return (a.status?.podIP ?? '').localeCompare(b.status?.podIP ?? '', 'en', { numeric: true });
}
