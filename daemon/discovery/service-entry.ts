import type { EndpointAddress, EndpointGroup } from '../../lib/kubernetes/endpoints.ts';
import type { Service } from '../../lib/kubernetes/service.ts';
import type { Endpoint } from '../naming/endpoint.ts';
import { endpointKey } from '../naming/endpoint.ts';
import { farAddresses, type Place, type Preference } from './locality.ts';

/** Which port of a Service's pods is meant: the one with a name, or a number that no Service port stands for. */
export type PortChoice =
  | { readonly kind: 'named'; readonly name: string }
  | { readonly kind: 'number'; readonly number: number };

/** An address as it is published, for people. */
export interface PublishedEndpoint {
  readonly ip: string;
  readonly port: number;
  readonly nodeName: string | undefined;
  readonly pod: string | undefined;
  readonly zone: string | undefined;
  readonly ready: boolean;
  /** Why it is not sent to; undefined where it is. */
  readonly why: string | undefined;
}

/** All that is known of one Service: the object, if it exists, and the groups of addresses published for it. */
export class ServiceEntry {
  readonly namespace: string;
  readonly name: string;
  service: Service | undefined;
  /** New with every change to the Service or its endpoints, and never the same for two entries. */
  version: number;
  readonly #nextVersion: () => number;
  /** By the object that published them: a slice, or the Endpoints. */
  readonly #groups = new Map<string, readonly EndpointGroup[]>();

  constructor(namespace: string, name: string, nextVersion: () => number) {
    this.namespace = namespace;
    this.name = name;
    this.#nextVersion = nextVersion;
    this.version = nextVersion();
  }

  get empty(): boolean {
    return this.service === undefined && this.#groups.size === 0;
  }

  setService(service: Service | undefined): void {
    this.service = service;
    this.version = this.#nextVersion();
  }

  setGroups(source: string, groups: readonly EndpointGroup[] | undefined): void {
    if (groups === undefined) this.#groups.delete(source);
    else this.#groups.set(source, groups);
    this.version = this.#nextVersion();
  }

  /**
   * Whether an address of this Service's pods on `nodeName` may still be sent to: readiness was the sender's to judge; `port` only where it must be one that the
   * Service declares. What an incoming router checks a peer's choice against.
   */
  serves(ip: string, port: number | undefined, nodeName: string): boolean {
    for (const groups of this.#groups.values()) {
      for (const group of groups) {
        if (port !== undefined && !group.ports.some((declared) => declared.port === port)) continue;
        const address = group.addresses.find((candidate) => candidate.ip === ip);
        const leaving = address?.terminating === true && !address.serving;
        if (address !== undefined && address.nodeName === nodeName && !leaving) return true;
      }
    }
    return false;
  }

  /** Whether it has an address that may be sent to besides this one. */
  hasBesides(ip: string): boolean {
    for (const groups of this.#groups.values()) {
      if (groups.some((group) => group.addresses.some((other) => other.ip !== ip && (other.ready || other.serving))))
        return true;
    }
    return false;
  }

  /** Whether an address is one of this Service's, ready or not. */
  holds(ip: string): boolean {
    for (const groups of this.#groups.values()) {
      if (groups.some(({ addresses }) => addresses.some((address) => address.ip === ip))) return true;
    }
    return false;
  }

  /** Names of the ports that its endpoints are published with. */
  get portNames(): readonly string[] {
    const groups = [...this.#groups.values()].flat();
    return [...new Set(groups.flatMap(({ ports }) => ports.map(({ name }) => name)))];
  }

  /** All that is published for a port (and a pod's hostname), with why those that `chosen` lacks are not sent to. */
  published(
    port: PortChoice,
    hostname: string | undefined,
    place: Place,
    chosen: readonly Endpoint[],
  ): readonly PublishedEndpoint[] {
    const used = new Set(chosen.map(endpointKey));
    const localOnly = this.service?.localOnly === true && hostname === undefined;
    const found = new Map<string, PublishedEndpoint>();
    for (const group of [...this.#groups.values()].flat()) {
      const number = portNumber(group, port);
      if (number === undefined) continue;
      for (const address of group.addresses) {
        if (!isAsked(address, hostname)) continue;
        const { ip, nodeName, pod, zone, ready } = address;
        const key = endpointKey({ ip, port: number });
        const elsewhere = localOnly && nodeName !== place.nodeName;
        const why = used.has(key) ? undefined : whyLeftOut(address, elsewhere);
        if (!found.has(key) || why === undefined) found.set(key, { ip, port: number, nodeName, pod, zone, ready, why });
      }
    }
    return [...found.values()];
  }

  /** Gives it a new version, so that its endpoints are asked for again. */
  touch(): void {
    this.version = this.#nextVersion();
  }

  /** The addresses that callers at `place` may be sent to now, for one port and, if given, one pod hostname. See readyEndpoints. */
  endpoints(port: PortChoice, hostname: string | undefined, doubted: boolean, place: Place): readonly Endpoint[] {
    const groups = [...this.#groups.values()].flat();
    // Whoever asks for one pod means that pod, wherever it is.
    if (hostname !== undefined) return readyEndpoints(groups, port, hostname, doubted);
    const { trafficDistribution, localOnly = false } = this.service ?? {};
    return readyEndpoints(groups, port, hostname, doubted, { place, trafficDistribution, localOnly });
  }
}

/** An address with the number that the port in question has there. */
interface Candidate {
  readonly address: EndpointAddress;
  readonly port: number;
}

/**
 * The endpoints of a port that may be sent to: the ready ones; where there are none, those that terminate but still serve
 * (kube-proxy's rule, KEP-1669); and where readiness is `doubted`, those that are said not to be ready rather than none. One
 * per address and port; of pods with two families, IPv4. `preference`: which of them are far (locality.ts), and whether only
 * this node's count; without it all are alike.
 */
export function readyEndpoints(
  groups: readonly EndpointGroup[],
  port: PortChoice,
  hostname: string | undefined,
  doubted: boolean,
  preference?: Preference,
): readonly Endpoint[] {
  const ready = new Map<string, Candidate>();
  const draining = new Map<string, Candidate>();
  const unready = new Map<string, Candidate>();
  for (const group of groups) {
    const number = portNumber(group, port);
    if (number === undefined) continue;
    for (const address of group.addresses) {
      if (!isAsked(address, hostname)) continue;
      if (preference?.localOnly === true && address.nodeName !== preference.place.nodeName) continue;
      const candidate = { address, port: number };
      tierOf(address, { ready, draining, unready })?.set(endpointKey({ ip: address.ip, port: number }), candidate);
    }
  }
  const last = doubted && draining.size === 0 ? unready : draining;
  const chosen = oneFamily([...(ready.size > 0 ? ready : last).values()]);
  const far =
    ready.size === 0 || preference === undefined
      ? undefined
      : farAddresses(addressesOf(chosen), addressesOf(oneFamily([...unready.values()])), preference);
  return chosen.map(({ address, port }) => {
    const { ip, nodeName, pod, hostname, zone } = address;
    return { ip, port, nodeName, pod, hostname, zone, far: far?.has(address) ?? false };
  });
}

function isAsked(address: EndpointAddress, hostname: string | undefined): boolean {
  return hostname === undefined || address.hostname === hostname || address.pod === hostname;
}

function whyLeftOut({ ready, serving, terminating }: EndpointAddress, elsewhere: boolean): string {
  if (elsewhere) return 'on another node, and the Service has internalTrafficPolicy Local';
  if (!ready && terminating) return serving ? 'terminating: used when none is ready' : 'terminating';
  return ready ? 'the pod is reached by its IPv4 address' : 'not ready';
}

function addressesOf(candidates: readonly Candidate[]): EndpointAddress[] {
  return candidates.map(({ address }) => address);
}

interface Tiers<T> {
  readonly ready: T;
  readonly draining: T;
  readonly unready: T;
}

function tierOf<T>(address: EndpointAddress, tiers: Tiers<T>): T | undefined {
  // A pod that terminates is ready only where its Service publishes what is not (publishNotReadyAddresses).
  if (address.ready) return tiers.ready;
  if (!address.terminating) return tiers.unready;
  return address.serving ? tiers.draining : undefined;
}

function portNumber(group: EndpointGroup, choice: PortChoice): number | undefined {
  if (choice.kind === 'number') return choice.number;
  return group.ports.find((port) => port.name === choice.name)?.port;
}

/** A pod with an address of each family stands in two slices; counting it twice would give it twice its share. */
function oneFamily(candidates: Candidate[]): Candidate[] {
  const v4 = candidates.filter(({ address }) => !address.ip.includes(':'));
  if (v4.length === 0 || v4.length === candidates.length) return candidates;
  const pods = new Set(v4.map(({ address }) => address.pod));
  return candidates.filter(({ address: { ip, pod } }) => !ip.includes(':') || pod === undefined || !pods.has(pod));
}
