import type { Service } from '../../lib/kubernetes/service.ts';
import type { AddressOwner, ClusterState } from '../discovery/cluster-state.ts';
import type { PortChoice, PublishedEndpoint } from '../discovery/service-entry.ts';
import { ProxyError } from '../http/proxy-error.ts';
import type { Authority } from '../http/request-target.ts';
import type { Binding, Endpoint } from './endpoint.ts';
import { isClusterName, type ServiceName, serviceNames } from './identifier.ts';
import type { Named, Namer } from './namer.ts';

const HTTP_PORT = 80;
/** As many bindings are kept as linkerd keeps (bindingCache); a further one pushes the oldest out. */
const MAX_BINDINGS = 1_000;

/**
 * Which port of its pods a Service's caller means (DESIGN §5.2): the Service port with that number; without one, port 80,
 * else the one named "http", else the only one. A headless Service's name stands for its pods, so any number goes there.
 * Throws ProxyError unknown_port naming the ports that there are.
 */
export function choosePort(service: Service, port: number | undefined): PortChoice {
  const { ports } = service;
  const found =
    port !== undefined
      ? ports.find((p) => p.port === port)
      : (ports.find((p) => p.port === HTTP_PORT) ??
        ports.find((p) => p.name === 'http') ??
        (ports.length === 1 ? ports[0] : undefined));
  if (found !== undefined) return { kind: 'named', name: found.name };
  if (service.headless && (port !== undefined || ports.length === 0)) {
    return { kind: 'number', number: port ?? HTTP_PORT };
  }
  const known = ports.map((p) => (p.name === '' ? String(p.port) : `${p.port} (${p.name})`)).join(', ');
  const asked = port === undefined ? 'has no port 80, none named "http", and more than one' : `has no port ${port}`;
  throw new ProxyError(
    'unknown_port',
    `Service "${service.name}" in namespace "${service.namespace}" ${asked}; its ports: ${known || 'none'}`,
  );
}

/** Whether a port of an address is one of a node's own, which no name in the cluster opens unless a Service declares it. */
export type ReservedPorts = (address: string, port: number) => boolean;

/** A Service's port as a live name over the cluster's state. */
class ServiceBinding implements Binding {
  readonly key: string;
  readonly namespace: string;
  readonly service: string;
  readonly #entryKey: string;
  readonly #state: ClusterState;
  readonly #port: PortChoice;
  readonly #hostname: string | undefined;
  readonly #reserved: ReservedPorts;
  #seenVersion = -1;
  #endpoints: readonly Endpoint[] = [];

  constructor(key: string, name: ServiceName, port: PortChoice, state: ClusterState, reserved: ReservedPorts) {
    this.key = key;
    this.namespace = name.namespace;
    this.service = name.service;
    this.#entryKey = `${name.namespace}/${name.service}`;
    this.#port = port;
    this.#hostname = name.hostname;
    this.#state = state;
    this.#reserved = reserved;
  }

  get version(): number {
    return this.#state.service(this.#entryKey)?.version ?? 0;
  }

  get confinement(): string | undefined {
    return this.#state.service(this.#entryKey)?.service?.localOnly === true
      ? 'on this node, and its internalTrafficPolicy is Local'
      : undefined;
  }

  get portName(): string {
    return this.#port.kind === 'named' ? this.#port.name : String(this.#port.number);
  }

  published(): readonly PublishedEndpoint[] {
    const entry = this.#state.service(this.#entryKey);
    const all = entry?.published(this.#port, this.#hostname, this.#state.place, this.endpoints()) ?? [];
    if (this.#port.kind === 'named') return all;
    return all.map((one) => (this.#reserved(one.ip, one.port) ? { ...one, why: 'a port of the node itself' } : one));
  }

  endpoints(): readonly Endpoint[] {
    const entry = this.#state.service(this.#entryKey);
    const version = entry?.version ?? 0;
    if (version !== this.#seenVersion) {
      this.#seenVersion = version;
      const all = entry?.endpoints(this.#port, this.#hostname, this.#state.readinessDoubted, this.#state.place) ?? [];
      // A port that the Service does not declare may be its node's, where a pod is on the host's network.
      this.#endpoints = this.#port.kind === 'named' ? all : all.filter(({ ip, port }) => !this.#reserved(ip, port));
    }
    return this.#endpoints;
  }
}

/** Names of Services, ClusterIPs and pod addresses (DESIGN §5.2). Reads the state; never waits. */
export class KubernetesNamer implements Namer {
  readonly kind = 'io.l5d.k8s';
  readonly #state: ClusterState;
  readonly #clusterDomain: string;
  readonly #reserved: ReservedPorts;
  readonly #bindings = new Map<string, ServiceBinding>();

  constructor(state: ClusterState, clusterDomain: string, reserved: ReservedPorts) {
    this.#state = state;
    this.#clusterDomain = clusterDomain;
    this.#reserved = reserved;
  }

  get version(): number {
    return this.#state.servicesVersion;
  }

  name(authority: Authority, callerNamespace: string | undefined): Named | undefined {
    if (authority.isAddress) return this.#nameAddress(authority);
    const candidates = serviceNames(authority.host, { callerNamespace, clusterDomain: this.#clusterDomain });
    for (const name of candidates) {
      const service = this.#state.service(`${name.namespace}/${name.service}`)?.service;
      if (service !== undefined) return this.#nameService(service, authority.port, name.hostname);
    }
    if (!isClusterName(authority.host, this.#clusterDomain)) return undefined;
    throw new ProxyError('unknown_name', this.#explainUnknown(authority.host, callerNamespace));
  }

  /** A Service's port by name, whether or not the Service object is known: how the daemons' own Service is looked up. */
  portBinding(namespace: string, service: string, portName: string): Binding {
    return this.#bind({ namespace, service, hostname: undefined }, { kind: 'named', name: portName });
  }

  #nameAddress({ host, port }: Authority): Named | undefined {
    const service = this.#state.serviceByClusterIp(host)?.service;
    if (service !== undefined) return this.#nameService(service, port, undefined);
    const owner = this.#state.addressOwner(host) ?? this.#localOwner(host);
    if (owner === undefined || this.#reserved(host, port ?? HTTP_PORT)) return undefined;
    return { kind: 'binding', binding: addressBinding(host, port ?? HTTP_PORT, owner) };
  }

  /** A pod of this node that no Service selects. */
  #localOwner(ip: string): AddressOwner | undefined {
    const pod = this.#state.localPod(ip);
    return pod === undefined ? undefined : { namespace: pod.namespace, service: '', nodeName: pod.nodeName };
  }

  #nameService(service: Service, port: number | undefined, hostname: string | undefined): Named {
    if (service.externalName !== undefined) {
      return { kind: 'egress', host: service.externalName.toLowerCase(), port: port ?? HTTP_PORT };
    }
    const name = { namespace: service.namespace, service: service.name, hostname };
    return { kind: 'binding', binding: this.#bind(name, choosePort(service, port)) };
  }

  #bind(name: ServiceName, port: PortChoice): ServiceBinding {
    const portText = port.kind === 'named' ? port.name : `:${port.number}`;
    const pod = name.hostname === undefined ? '' : `@${name.hostname}`;
    const key = `${name.namespace}/${name.service}:${portText}${pod}`;
    const known = this.#bindings.get(key);
    if (known !== undefined) return known;
    const binding = new ServiceBinding(key, name, port, this.#state, this.#reserved);
    if (this.#bindings.size >= MAX_BINDINGS) {
      const [oldest] = this.#bindings.keys();
      if (oldest !== undefined) this.#bindings.delete(oldest);
    }
    this.#bindings.set(key, binding);
    return binding;
  }

  #explainUnknown(host: string, callerNamespace: string | undefined): string {
    if (!host.includes('.') && callerNamespace === undefined) {
      return `"${host}" is a short name, and the caller's namespace is not known; ask for ${host}.<namespace>`;
    }
    const [first] = serviceNames(host, { callerNamespace, clusterDomain: this.#clusterDomain });
    if (first === undefined) return `"${host}" is not the name of a Service`;
    return `there is no Service "${first.service}" in namespace "${first.namespace}"`;
  }
}

/**
 * A pod address that was asked for by number: itself, on the node that it was last seen on. Its key holds the owner, since
 * addresses pass from pod to pod.
 */
function addressBinding(ip: string, port: number, owner: AddressOwner): Binding {
  const endpoints: readonly Endpoint[] = [
    { ip, port, nodeName: owner.nodeName, pod: undefined, hostname: undefined, zone: undefined },
  ];
  const { namespace, service, nodeName } = owner;
  return {
    key: `address/${ip}:${port}/${namespace}/${service}/${nodeName ?? ''}`,
    namespace,
    service,
    version: 0,
    endpoints: () => endpoints,
  };
}
