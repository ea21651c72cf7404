/**
 * The objects of a cluster of any size as an API server writes them, made from their number alone: full metadata with
 * managedFields, labels, annotations and owners. Each object is made when it is asked for, and looks the same until it is changed.
 */

import { address, base32, CREATED, labelsOf, managedFields, metadata, uid } from './synthetic-metadata.ts';
import { nodeName, nodeObject, OWN_PODS, type ProbePlace, podObject, zoneOf } from './synthetic-nodes.ts';

/** A collection of the API that a daemon reads. */
export type Collection = 'services' | 'endpointslices' | 'nodes' | 'pods' | 'networkpolicies';

/** What an API server's list says of its kind. */
export const KINDS: Readonly<Record<Collection, { readonly kind: string; readonly apiVersion: string }>> = {
  services: { kind: 'Service', apiVersion: 'v1' },
  endpointslices: { kind: 'EndpointSlice', apiVersion: 'discovery.k8s.io/v1' },
  nodes: { kind: 'Node', apiVersion: 'v1' },
  pods: { kind: 'Pod', apiVersion: 'v1' },
  networkpolicies: { kind: 'NetworkPolicy', apiVersion: 'networking.k8s.io/v1' },
};

export interface ClusterShape {
  readonly services: number;
  readonly nodes: number;
}

const MAX_PER_SLICE = 100;
const NAMESPACES = 200;

interface SliceState {
  readonly service: number;
  readonly name: string;
  /** The number of its first endpoint. */
  readonly first: number;
  /** How often each pod was replaced. */
  readonly generations: Uint16Array;
  readonly terminating: Uint8Array;
}

/** Of each hundred Services one is large, nine are of middle size, the others small: 1 000 endpoints in all. */
function endpointsOf(service: number): number {
  const place = service % 100;
  return place === 0 ? 280 : place <= 9 ? 40 : 4;
}

/** A cluster's state; everything in it follows from its shape and the changes that were asked for. */
export class SyntheticCluster {
  readonly #shape: ClusterShape;
  readonly #probe: ProbePlace;
  readonly #slices: SliceState[] = [];
  /** The slice of each endpoint. */
  readonly #sliceOf: number[] = [];
  #probeReady = 0;

  constructor(shape: ClusterShape, probe: ProbePlace) {
    this.#shape = shape;
    this.#probe = probe;
    for (let service = 0; service < shape.services; service += 1) {
      let left = endpointsOf(service);
      for (let part = 0; left > 0; part += 1) {
        const count = Math.min(MAX_PER_SLICE, left);
        this.#slices.push({
          service,
          name: `${serviceName(service)}-${base32(service * 8 + part, 5)}`,
          first: this.#sliceOf.length,
          generations: new Uint16Array(count),
          terminating: new Uint8Array(count),
        });
        for (let i = 0; i < count; i += 1) this.#sliceOf.push(this.#slices.length - 1);
        left -= count;
      }
    }
  }

  get endpoints(): number {
    return this.#sliceOf.length;
  }

  /** How many objects a collection has. The last ones of Services and slices are the mesh's own and the probe's. */
  count(collection: Collection): number {
    if (collection === 'services') return this.#shape.services + 2;
    if (collection === 'endpointslices') return this.#slices.length + this.#daemonSlices + 1;
    if (collection === 'networkpolicies') return 1;
    return collection === 'nodes' ? this.#shape.nodes : OWN_PODS + 3;
  }

  /** The number of the slice that the probe's Service has. */
  get probeSlice(): number {
    return this.count('endpointslices') - 1;
  }

  get ownNode(): string {
    return nodeName(0);
  }

  /** A pod begins to terminate, or the one that takes its place is ready. Gives the number of the slice that changed. */
  replace(endpoint: number, step: 'leaves' | 'comes'): number {
    const index = this.#sliceOf[endpoint] ?? 0;
    const slice = this.#slices[index] as SliceState;
    const i = endpoint - slice.first;
    slice.terminating[i] = step === 'leaves' ? 1 : 0;
    if (step === 'comes') slice.generations[i] = (slice.generations[i] ?? 0) + 1;
    return index;
  }

  /** The other of the probe's two pods becomes the ready one. Gives its address. */
  flipProbe(): string {
    this.#probeReady = 1 - this.#probeReady;
    return this.#probe.podIps[this.#probeReady] as string;
  }

  /** An object as it stands, without kind and apiVersion, which lists leave out. */
  object(collection: Collection, index: number, resourceVersion: number): Record<string, unknown> {
    if (collection === 'services') return this.#service(index, resourceVersion);
    if (collection === 'endpointslices') return this.#slice(index, resourceVersion);
    if (collection === 'networkpolicies') return ownPolicy(resourceVersion);
    return collection === 'nodes' ? nodeObject(index, resourceVersion) : podObject(this.#probe, index, resourceVersion);
  }

  get #daemonSlices(): number {
    return Math.ceil(this.#shape.nodes / MAX_PER_SLICE);
  }

  #service(index: number, resourceVersion: number): Record<string, unknown> {
    const [namespace, name, port] = this.#named(index);
    const labels = labelsOf(name);
    const spec = {
      ports: [
        { name: 'http', protocol: 'TCP', port: 80, targetPort: port },
        { name: 'metrics', protocol: 'TCP', port: 9102, targetPort: 9102 },
      ],
      selector: { 'app.kubernetes.io/name': name },
      clusterIP: address(172, index + 1),
      clusterIPs: [address(172, index + 1)],
      type: 'ClusterIP',
      sessionAffinity: 'None',
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
    };
    const applied = { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace, labels, annotations: {} }, spec };
    return {
      metadata: {
        ...metadata(`service-${index}`, namespace, name, resourceVersion),
        labels,
        annotations: {
          'kubectl.kubernetes.io/last-applied-configuration': `${JSON.stringify(applied)}\n`,
          'prometheus.io/scrape': 'true',
          'prometheus.io/port': '9102',
        },
        managedFields: [managedFields('kubectl-client-side-apply', 'v1', labels, ['f:ports', 'f:selector', 'f:type'])],
      },
      spec,
      status: { loadBalancer: {} },
    };
  }

  /** Namespace, name and port of the pods; the last two Services are the daemons' and the probe's. */
  #named(service: number): readonly [string, string, number] {
    if (service < this.#shape.services) return [`team-${service % NAMESPACES}`, serviceName(service), 8080];
    if (service === this.#shape.services) return ['nodemesh', 'nodemesh-daemon', 4141];
    return [this.#probe.namespace, this.#probe.service, this.#probe.port];
  }

  #slice(index: number, resourceVersion: number): Record<string, unknown> {
    const { services } = this.#shape;
    const known = this.#slices[index];
    if (known !== undefined) return this.#sliceOfService(known.service, known.name, resourceVersion, this.#pods(known));
    if (index === this.probeSlice) {
      return this.#sliceOfService(services + 1, `${this.#probe.service}-probe`, resourceVersion, this.#probePods());
    }
    const first = (index - this.#slices.length) * MAX_PER_SLICE;
    const count = Math.min(MAX_PER_SLICE, this.#shape.nodes - first);
    const daemons = Array.from({ length: count }, (_, i) =>
      this.#endpoint(address(10, first + i), first + i, 'nodemesh', `nodemesh-daemon-${base32(first + i, 5)}`, 'ready'),
    );
    return this.#sliceOfService(services, `nodemesh-daemon-${base32(first, 5)}`, resourceVersion, daemons);
  }

  #sliceOfService(service: number, name: string, resourceVersion: number, endpoints: readonly unknown[]) {
    const [namespace, serviceNamed, port] = this.#named(service);
    const labels = {
      ...labelsOf(serviceNamed),
      'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      'kubernetes.io/service-name': serviceNamed,
    };
    const owner = { apiVersion: 'v1', kind: 'Service', name: serviceNamed, uid: uid(`service-${service}`) };
    return {
      metadata: {
        ...metadata(name, namespace, name, resourceVersion),
        generateName: `${serviceNamed}-`,
        generation: resourceVersion,
        labels,
        annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': CREATED },
        ownerReferences: [{ ...owner, controller: true, blockOwnerDeletion: true }],
        managedFields: [
          managedFields('kube-controller-manager', 'discovery.k8s.io/v1', labels, ['f:addressType', 'f:endpoints']),
        ],
      },
      addressType: 'IPv4',
      endpoints,
      ports: [
        { name: service === this.#shape.services ? 'incoming' : 'http', port, protocol: 'TCP' },
        { name: 'metrics', port: 9102, protocol: 'TCP' },
      ],
    };
  }

  #pods({ service, first, generations, terminating }: SliceState): unknown[] {
    return Array.from(generations, (generation, i) => {
      const endpoint = first + i;
      const number = endpoint + generation * 131_072;
      const pod = `${serviceName(service)}-7d9c8b6f5d-${base32(number, 5)}`;
      const state = terminating[i] === 1 ? 'terminating' : 'ready';
      const node = (endpoint * 7 + generation) % this.#shape.nodes;
      return this.#endpoint(address(11, number), node, this.#named(service)[0], pod, state);
    });
  }

  #probePods(): unknown[] {
    const { namespace, podIps } = this.#probe;
    const others = Array.from({ length: MAX_PER_SLICE - podIps.length }, (_, i) =>
      this.#endpoint(address(12, i), i % this.#shape.nodes, namespace, `probe-other-${i}`, 'unready'),
    );
    const two = podIps.map((ip, i) =>
      this.#endpoint(ip, 0, namespace, `probe-${i}`, i === this.#probeReady ? 'ready' : 'unready'),
    );
    return [...others, ...two];
  }

  #endpoint(ip: string, node: number, namespace: string, pod: string, state: 'ready' | 'unready' | 'terminating') {
    const ready = state === 'ready';
    return {
      addresses: [ip],
      conditions: { ready, serving: state !== 'unready', terminating: state === 'terminating' },
      targetRef: { kind: 'Pod', namespace, name: pod, uid: uid(pod) },
      nodeName: nodeName(node),
      zone: zoneOf(node),
    };
  }
}

function serviceName(service: number): string {
  return `${['checkout', 'catalogue', 'payments', 'search', 'sessions'][service % 5]}-api-${service}`;
}

/** The policy that the manifests bring: without any other, a daemon does not read the pods of other nodes. */
function ownPolicy(resourceVersion: number): Record<string, unknown> {
  const labels = { 'app.kubernetes.io/name': 'nodemesh', 'app.kubernetes.io/component': 'webhook' };
  return {
    metadata: { ...metadata('own-policy', 'nodemesh', 'nodemesh-webhook', resourceVersion), labels },
    spec: {
      podSelector: { matchLabels: labels },
      policyTypes: ['Ingress'],
      ingress: [{ ports: ['https', 'admin'].map((port) => ({ port, protocol: 'TCP' })) }],
    },
  };
}
