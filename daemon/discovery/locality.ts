import type { EndpointAddress } from '../../lib/kubernetes/endpoints.ts';

/** Where callers are: a node, and its zone where the cluster has zones. */
export interface Place {
  readonly nodeName: string;
  readonly zone: string | undefined;
}

/** What a Service says of which of its endpoints callers at `place` get. */
export interface Preference {
  readonly place: Place;
  readonly trafficDistribution: string | undefined;
  readonly localOnly: boolean;
}

/** Which addresses are near, and which ones, ready or not, make up the group that is to carry the load. */
interface NearRule {
  readonly near: (address: EndpointAddress) => boolean;
  readonly ofGroup: (address: EndpointAddress) => boolean;
}

/** Envoy's overprovisioning factor: a group is taken to bear its callers' load while 1 / 1.4 = 72 % of it is ready. */
const OVERPROVISIONING = 1.4;

/**
 * Those of a Service's `ready` addresses that get nothing while nearer ones can take it. Which are near is kube-proxy's rule
 * (topologyModeFromHints): node hints, then zone hints, each only where every ready address has some and one is for this
 * place. Where slices have no hints (an older controller, slices written by hand), `trafficDistribution` and the addresses' own
 * node and zone say the same; PreferSameNode goes on to the zone where the node has none.
 *
 * kube-proxy then sends everything to the near ones, however few are left of them. Here, as with Envoy's priorities, a group
 * of which less than 72 % is ready gives up the part that it lacks: so many far ones count as near as make up for it. They are
 * chosen by a hash of the caller's node, so that callers do not all choose the same. `unready`: addresses that are not ready,
 * and not terminating.
 */
export function farAddresses(
  ready: readonly EndpointAddress[],
  unready: readonly EndpointAddress[],
  preference: Preference,
): ReadonlySet<EndpointAddress> | undefined {
  const rule = nearRule(ready, preference);
  if (rule === undefined) return undefined;
  const far = ready.filter((address) => !rule.near(address));
  const standIns = standInCount(ready.length - far.length, unready.filter(rule.ofGroup).length);
  if (standIns === 0) return new Set(far);
  const seed = preference.place.nodeName;
  const order = new Map(far.map((address) => [address, hash(`${seed} ${address.ip}`)]));
  return new Set(far.sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0)).slice(standIns));
}

/** How many far addresses stand in for the `missing` of a group that has `near` ready ones, at least one. */
export function standInCount(near: number, missing: number): number {
  const share = Math.min(1, (OVERPROVISIONING * near) / (near + missing));
  return share === 1 ? 0 : Math.ceil((near * (1 - share)) / share - 1e-9);
}

function nearRule(ready: readonly EndpointAddress[], preference: Preference): NearRule | undefined {
  const { place, trafficDistribution } = preference;
  const { nodeName, zone } = place;
  const onNode = (address: EndpointAddress) => address.nodeName === nodeName;
  const inZone = (address: EndpointAddress) => zone !== undefined && address.zone === zone;
  const forNode = ({ forNodes }: EndpointAddress) => forNodes?.includes(nodeName) === true;
  const forZone = ({ forZones }: EndpointAddress) => zone !== undefined && forZones?.includes(zone) === true;
  if (ready.every(({ forNodes }) => forNodes !== undefined) && ready.some(forNode))
    return { near: forNode, ofGroup: onNode };
  if (ready.every(({ forZones }) => forZones !== undefined) && ready.some(forZone))
    return { near: forZone, ofGroup: inZone };
  if (trafficDistribution === 'PreferSameNode' && ready.some(onNode)) return { near: onNode, ofGroup: onNode };
  const prefersZone = PREFERRING_ZONE.has(trafficDistribution);
  return prefersZone && ready.some(inZone) ? { near: inZone, ofGroup: inZone } : undefined;
}

const PREFERRING_ZONE: ReadonlySet<string | undefined> = new Set(['PreferClose', 'PreferSameZone', 'PreferSameNode']);

/** FNV-1a, 32 bits, with a last mixing: inputs that differ in their last byte are far apart. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return Math.imul(value ^ (value >>> 15), 0x2c1b3c6d) >>> 0;
}
