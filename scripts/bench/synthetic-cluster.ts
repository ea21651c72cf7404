/**
 * The objects of a cluster of any size as an API server writes them, made from their number alone: full metadata with
 * managedFields, labels, annotations and owners. Each object is made when it is asked for, and looks the same until it is changed.
 */

/** A collection of the API that a daemon reads. */
export type Collection = 'services' | 'endpointslices' | 'nodes' | 'pods';

/** What an API server's list says of its kind. */
export const KINDS: Readonly<Record<Collection, { readonly kind: string; readonly apiVersion: string }>> = {
  services: { kind: 'Service', apiVersion: 'v1' },
  endpointslices: { kind: 'EndpointSlice', apiVersion: 'discovery.k8s.io/v1' },
  nodes: { kind: 'Node', apiVersion: 'v1' },
  pods: { kind: 'Pod', apiVersion: 'v1' },
};

export interface ClusterShape {
  readonly services: number;
  readonly nodes: number;
}

/** Addresses of 127.0.0.0/8 behind which the benchmark's own application and caller are. */
export interface ProbePlace {
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  readonly callerIp: string;
  /** Of which one is ready at a time. */
  readonly podIps: readonly [string, string];
}

const MAX_PER_SLICE = 100;
const NAMESPACES = 200;
const OWN_PODS = 60;
const IMAGES = 50;
const CREATED = '2026-03-02T08:15:30Z';

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
    return collection === 'nodes' ? this.#shape.nodes : OWN_PODS + 3;
  }

  /** The number of the slice that the probe's Service has. */
  get probeSlice(): number {
    return this.count('endpointslices') - 1;
  }

  get ownNode(): string {
    return this.#nodeName(0);
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
    return collection === 'nodes' ? this.#node(index, resourceVersion) : this.#pod(index, resourceVersion);
  }

  get #daemonSlices(): number {
    return Math.ceil(this.#shape.nodes / MAX_PER_SLICE);
  }

  #nodeName(node: number): string {
    return `ip-10-${(node >> 8) & 255}-${node & 255}-7.eu-west-1.compute.internal`;
  }

  #zone(node: number): string {
    return `eu-west-1${'abc'[node % 3]}`;
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
      nodeName: this.#nodeName(node),
      zone: this.#zone(node),
    };
  }

  #node(index: number, resourceVersion: number): Record<string, unknown> {
    const name = this.#nodeName(index);
    const labels = {
      'kubernetes.io/arch': 'amd64',
      'kubernetes.io/hostname': name,
      'kubernetes.io/os': 'linux',
      'node.kubernetes.io/instance-type': 'm6i.4xlarge',
      'topology.kubernetes.io/region': 'eu-west-1',
      'topology.kubernetes.io/zone': this.#zone(index),
    };
    const condition = (type: string) => ({
      type,
      status: type === 'Ready' ? 'True' : 'False',
      lastHeartbeatTime: CREATED,
      lastTransitionTime: CREATED,
      reason: `Kubelet${type}`,
      message: `kubelet has sufficient ${type} available`,
    });
    return {
      metadata: {
        ...metadata(name, undefined, name, resourceVersion),
        labels,
        annotations: {
          'node.alpha.kubernetes.io/ttl': '0',
          'volumes.kubernetes.io/controller-managed-attach-detach': 'true',
        },
        managedFields: [managedFields('kubelet', 'v1', labels, ['f:conditions', 'f:images', 'f:addresses'])],
      },
      spec: { podCIDR: `100.${index >> 8}.${index & 255}.0/24`, podCIDRs: [`100.${index >> 8}.${index & 255}.0/24`] },
      status: {
        capacity: { cpu: '16', 'ephemeral-storage': '104845292Ki', memory: '64591348Ki', pods: '110' },
        allocatable: { cpu: '15890m', 'ephemeral-storage': '95551679124', memory: '61574644Ki', pods: '110' },
        conditions: ['MemoryPressure', 'DiskPressure', 'PIDPressure', 'Ready'].map(condition),
        addresses: [
          { type: 'InternalIP', address: address(10, index) },
          { type: 'Hostname', address: name },
        ],
        images: Array.from({ length: IMAGES }, (_, i) => ({
          names: [
            `registry.example.com/team/app-${i}@sha256:${hex(`image-${i}`, 64)}`,
            `registry.example.com/team/app-${i}:v1.${i}`,
          ],
          sizeBytes: 123_456_789 + i,
        })),
      },
    };
  }

  /** Of this node: ordinary pods, then the probe's two, then the caller. */
  #pod(index: number, resourceVersion: number): Record<string, unknown> {
    const { namespace, podIps, callerIp } = this.#probe;
    const probe = index - OWN_PODS;
    const name = probe < 0 ? `own-7d9c8b6f5d-${base32(index, 5)}` : probe < 2 ? `probe-${probe}` : 'caller';
    const ip = probe < 0 ? address(13, index) : (podIps[probe] ?? callerIp);
    const labels = labelsOf(name);
    const env = Array.from({ length: 30 }, (_, i) => ({ name: `SETTING_${i}`, value: `value of setting ${i}` }));
    return {
      metadata: {
        ...metadata(name, namespace, name, resourceVersion),
        labels,
        managedFields: [managedFields('kubelet', 'v1', labels, ['f:conditions', 'f:containerStatuses', 'f:podIPs'])],
      },
      spec: {
        containers: [
          { name: 'app', image: 'registry.example.com/team/app:v1', env, resources: { requests: { cpu: '100m' } } },
        ],
        nodeName: this.ownNode,
        serviceAccountName: 'default',
      },
      status: {
        phase: 'Running',
        conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: CREATED }],
        podIP: ip,
        podIPs: [{ ip }],
      },
    };
  }
}

function serviceName(service: number): string {
  return `${['checkout', 'catalogue', 'payments', 'search', 'sessions'][service % 5]}-api-${service}`;
}

function labelsOf(name: string): Record<string, string> {
  return {
    'app.kubernetes.io/instance': name,
    'app.kubernetes.io/managed-by': 'Helm',
    'app.kubernetes.io/name': name,
    'app.kubernetes.io/version': '1.14.2',
    'helm.sh/chart': `${name}-0.9.1`,
  };
}

function metadata(seed: string, namespace: string | undefined, name: string, resourceVersion: number) {
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    uid: uid(seed),
    resourceVersion: String(resourceVersion),
    creationTimestamp: CREATED,
  };
}

function managedFields(
  manager: string,
  apiVersion: string,
  labels: Readonly<Record<string, string>>,
  fields: readonly string[],
) {
  const owned = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, {}]));
  const fieldsV1 = {
    'f:metadata': {
      'f:annotations': { '.': {} },
      'f:labels': { '.': {}, ...owned(Object.keys(labels).map((key) => `f:${key}`)) },
      'f:ownerReferences': { '.': {}, [`k:{"uid":"${uid(manager)}"}`]: {} },
    },
    'f:spec': owned(fields),
  };
  return { manager, operation: 'Update', apiVersion, time: CREATED, fieldsType: 'FieldsV1', fieldsV1 };
}

function address(network: number, number: number): string {
  return `${network}.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
}

function base32(number: number, digits: number): string {
  // Odd and large, so that neighbours look nothing alike and no two are the same.
  return (Math.imul(number, 0x9e3779b1) >>> 0).toString(32).padStart(digits, 'v');
}

function uid(seed: string): string {
  const digits = hex(seed, 32);
  return [
    [0, 8],
    [8, 12],
    [12, 16],
    [16, 20],
    [20, 32],
  ]
    .map(([from, to]) => digits.slice(from, to))
    .join('-');
}

/** So many hexadecimal digits that follow from a text (FNV-1a, continued). */
function hex(seed: string, digits: number): string {
  let value = 0x811c9dc5;
  for (let i = 0; i < seed.length; i += 1) value = Math.imul(value ^ seed.charCodeAt(i), 0x01000193);
  let text = '';
  while (text.length < digits) {
    value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
    text += (value >>> 0).toString(16).padStart(8, '0');
  }
  return text.slice(0, digits);
}
