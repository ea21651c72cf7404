import type { PublishedGroups } from '../../lib/kubernetes/endpoints.ts';
import type { Node } from '../../lib/kubernetes/node.ts';
import type { Pod } from '../../lib/kubernetes/pod.ts';
import type { Service } from '../../lib/kubernetes/service.ts';
import type { ObjectChange } from '../../lib/kubernetes/types.ts';
import { type PolicyChange, type PolicyKind, PolicyView } from '../policy/policy-view.ts';
import type { Place } from './locality.ts';
import { NodeAddresses } from './node-addresses.ts';
import { NodePresence } from './node-presence.ts';
import { PodsByAddress } from './pods-by-address.ts';
import { ServiceEntry } from './service-entry.ts';

/** Where an address was last seen as an endpoint: how a pod address that was asked for by number is traced to its Service. */
export interface AddressOwner {
  readonly namespace: string;
  readonly service: string;
  readonly nodeName: string | undefined;
}

/** What a daemon reads of the cluster. */
export const CLUSTER_KINDS = ['services', 'endpoints', 'pods', 'nodes'] as const;
export type ClusterKind = (typeof CLUSTER_KINDS)[number];

/** What was known of it before, the state knows itself: it is large, and would be sent to every thread. */
export type EndpointsChange = Omit<ObjectChange<PublishedGroups>, 'previous'>;

/** One thing that the watches have to say: plain values, which a thread can send to another. */
export type ClusterChange =
  | { readonly kind: 'services'; readonly changes: readonly ObjectChange<Service>[] }
  | { readonly kind: 'endpoints'; readonly changes: readonly EndpointsChange[] }
  | { readonly kind: 'pods'; readonly changes: readonly ObjectChange<Pod>[] }
  | { readonly kind: 'nodes'; readonly changes: readonly ObjectChange<Node>[] }
  | PolicyChange
  /** All of one kind has been read once, and told before this. */
  | { readonly kind: 'read'; readonly what: ClusterKind | PolicyKind }
  | { readonly kind: 'doubted'; readonly doubted: boolean };

/**
 * What the cluster says, as the request path reads it: always whole, never waiting. Fed by watches, and never emptied by
 * their failures: what was last known stays in force.
 */
export class ClusterState {
  readonly nodes = new NodeAddresses();
  readonly policies = new PolicyView((ip) => this.localPod(ip));
  readonly #presence = new NodePresence();
  readonly #nodeName: string;
  readonly #now: () => number;
  readonly #entries = new Map<string, ServiceEntry>();
  readonly #byClusterIp = new Map<string, ServiceEntry>();
  /** By the key of the object that publishes them. */
  readonly #published = new Map<string, PublishedGroups>();
  /** What publishes each address: nothing of its own an address, of which a cluster has a hundred thousand. */
  readonly #publishers = new Map<string, PublishedGroups>();
  readonly #localPods = new PodsByAddress<Pod>();
  readonly #podWaiters = new Set<() => void>();
  #servicesVersion = 0;
  #readinessDoubted = false;
  readonly #unread = new Set<string>(CLUSTER_KINDS);
  #lastVersion = 0;
  readonly #nextVersion = (): number => {
    this.#lastVersion += 1;
    return this.#lastVersion;
  };

  /** `nodeName`: the daemon's own; `now`: monotonic, ms. */
  constructor(nodeName: string, now: () => number = () => performance.now()) {
    this.#nodeName = nodeName;
    this.#now = now;
  }

  /** Where this daemon's callers are. */
  get place(): Place {
    return { nodeName: this.#nodeName, zone: this.nodes.zoneOf(this.#nodeName) };
  }

  /** Whether all has been read once, so that what is not there does not exist. */
  get synced(): boolean {
    return this.#unread.size === 0;
  }

  /** Whether this node's pods have been read once. */
  get podsKnown(): boolean {
    return !this.#unread.has('pods');
  }

  /** Changes whenever a name may mean another Service or port than before. */
  get servicesVersion(): number {
    return this.#servicesVersion;
  }

  /**
   * Whether what is said of readiness may be wrong: while the API server is away kubelets cannot renew their leases, and
   * when it is back it takes every pod for not ready until they have.
   */
  get readinessDoubted(): boolean {
    return this.#readinessDoubted;
  }

  set readinessDoubted(doubted: boolean) {
    if (doubted === this.#readinessDoubted) return;
    this.#readinessDoubted = doubted;
    this.#touchAll();
  }

  /** Changes whenever endpoints do. */
  get endpointsVersion(): number {
    return this.#lastVersion;
  }

  /** Whether a node is gone from the cluster for good, so that nobody is its daemon any more. */
  nodeGone(name: string): boolean {
    return this.#presence.gone(name, this.#now(), this.#readinessDoubted);
  }

  /** By `namespace/name`. */
  service(key: string): ServiceEntry | undefined {
    return this.#entries.get(key);
  }

  serviceByClusterIp(ip: string): ServiceEntry | undefined {
    return this.#byClusterIp.get(ip);
  }

  addressOwner(ip: string): AddressOwner | undefined {
    const published = this.#publishers.get(ip);
    if (published === undefined) return undefined;
    const { namespace, service, groups } = published;
    const nodeName = nodeOf(groups, ip);
    return { namespace, service, nodeName };
  }

  /** A pod of this node by its own address; never one on the host's network, whose address is the node's. */
  localPod(ip: string): Pod | undefined {
    return this.#localPods.get(ip);
  }

  /** A pod of this node by its name. */
  localPodNamed(namespace: string, name: string): Pod | undefined {
    return this.#localPods.named(namespace, name);
  }

  /** All Services, and whatever endpoints are published for. */
  get services(): Iterable<ServiceEntry> {
    return this.#entries.values();
  }

  /** This node's pods that have addresses of their own. */
  get localPods(): ReadonlySet<Pod> {
    return new Set(this.#localPods.values());
  }

  get localPodCount(): number {
    return this.#localPods.size;
  }

  /** Settles when this node's pods change, or after `timeoutMs`. */
  nextPodChange(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const settle = () => {
        clearTimeout(timer);
        this.#podWaiters.delete(settle);
        resolve();
      };
      const timer = setTimeout(settle, timeoutMs);
      this.#podWaiters.add(settle);
    });
  }

  apply(change: ClusterChange): void {
    if (change.kind === 'services') this.applyServices(change.changes);
    else if (change.kind === 'endpoints') this.applyEndpoints(change.changes);
    else if (change.kind === 'pods') this.applyLocalPods(change.changes);
    else if (change.kind === 'nodes') this.applyNodes(change.changes);
    else if (change.kind === 'doubted') this.readinessDoubted = change.doubted;
    else if (change.kind === 'read') this.#markRead(change.what);
    else this.policies.apply(change);
  }

  applyServices(changes: readonly ObjectChange<Service>[]): void {
    for (const { key, object, previous } of changes) {
      const entry = this.#entry(key);
      for (const ip of previous?.clusterIPs ?? [])
        if (this.#byClusterIp.get(ip) === entry) this.#byClusterIp.delete(ip);
      for (const ip of object?.clusterIPs ?? []) if (ip !== 'None') this.#byClusterIp.set(ip, entry);
      entry.setService(object);
      this.#dropIfEmpty(key, entry);
    }
    if (changes.length > 0) this.#servicesVersion += 1;
  }

  applyEndpoints(changes: readonly EndpointsChange[]): void {
    for (const { key, object } of changes) {
      const previous = this.#published.get(key);
      if (object === undefined) this.#published.delete(key);
      else this.#published.set(key, object);
      // A slice that moves to another Service leaves its old one.
      for (const published of [previous, object]) {
        if (published === undefined) continue;
        const serviceKey = `${published.namespace}/${published.service}`;
        const entry = this.#entry(serviceKey);
        entry.setGroups(key, published === object ? published.groups : undefined);
        this.#dropIfEmpty(serviceKey, entry);
      }
      this.#own(object);
      this.#disown(previous);
    }
  }

  applyLocalPods(changes: readonly ObjectChange<Pod>[]): void {
    this.#localPods.apply(changes.map(({ key, object, previous }) => ({ key, object: addressed(object), previous })));
    for (const wake of [...this.#podWaiters]) wake();
  }

  applyNodes(changes: readonly ObjectChange<Node>[]): void {
    const { zone } = this.place;
    this.nodes.apply(changes);
    this.#presence.apply(changes, this.#now());
    if (this.place.zone !== zone) this.#touchAll();
  }

  #markRead(kind: ClusterKind | PolicyKind): void {
    this.#unread.delete(kind);
    this.policies.read(kind);
    if (kind === 'nodes') this.#presence.read(this.#now());
  }

  #touchAll(): void {
    for (const entry of this.#entries.values()) entry.touch();
  }

  #entry(key: string): ServiceEntry {
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const slash = key.indexOf('/');
    const entry = new ServiceEntry(key.slice(0, slash), key.slice(slash + 1), this.#nextVersion);
    this.#entries.set(key, entry);
    return entry;
  }

  #dropIfEmpty(key: string, entry: ServiceEntry): void {
    if (entry.empty) this.#entries.delete(key);
  }

  #own(published: PublishedGroups | undefined): void {
    if (published === undefined) return;
    for (const group of published.groups) for (const { ip } of group.addresses) this.#publishers.set(ip, published);
  }

  #disown(published: PublishedGroups | undefined): void {
    for (const group of published?.groups ?? []) {
      for (const { ip } of group.addresses) if (this.#publishers.get(ip) === published) this.#publishers.delete(ip);
    }
  }
}

function nodeOf(groups: PublishedGroups['groups'], ip: string): string | undefined {
  for (const { addresses } of groups) {
    const found = addresses.find((address) => address.ip === ip);
    if (found !== undefined) return found.nodeName;
  }
  return undefined;
}

/** A pod as long as its addresses tell it. */
function addressed(pod: Pod | undefined): Pod | undefined {
  return pod?.hostNetwork === true || pod?.phase === 'Succeeded' || pod?.phase === 'Failed' ? undefined : pod;
}
