import type { PublishedEndpoint } from '../discovery/service-entry.ts';

/** One pod address that can answer for a name (DESIGN §2). */
export interface Endpoint {
  readonly ip: string;
  readonly port: number;
  /** The node that the pod runs on; undefined for addresses outside the cluster. */
  readonly nodeName: string | undefined;
  readonly pod: string | undefined;
  readonly hostname: string | undefined;
  readonly zone: string | undefined;
  /** It gets nothing while a nearer one can take it (discovery/locality.ts). */
  readonly far?: boolean;
}

/** A name that was looked up: its endpoints now, and whenever they change. */
export interface Binding {
  /** Unique among bindings, e.g. `shop/world:http`. */
  readonly key: string;
  readonly namespace: string;
  readonly service: string;
  /** Changes whenever `endpoints()` may give something else. */
  readonly version: number;
  /** The endpoints that may be sent to now; the same array as long as nothing changed. */
  endpoints(): readonly Endpoint[];
  /** Why there may be none though the Service has some: the end of a sentence. */
  readonly confinement?: string | undefined;
  /** The port that is meant, by its name or number, where the name has several. */
  readonly portName?: string | undefined;
  /** All that is published for the name, with why each of those that are not sent to is not: for people. */
  published?(): readonly PublishedEndpoint[];
}

/** How an endpoint is reached: through the daemon on its node, in process (it is on this node), or straight. */
export type Path =
  | { readonly kind: 'gateway'; readonly ip: string; readonly port: number; readonly nodeName: string }
  | { readonly kind: 'self' }
  | { readonly kind: 'direct' };

export interface RoutedEndpoint {
  readonly endpoint: Endpoint;
  readonly path: Path;
}

/** Identifies an endpoint within a name: `ip:port`, IPv6 in brackets. */
export function endpointKey(endpoint: { readonly ip: string; readonly port: number }): string {
  return endpoint.ip.includes(':') ? `[${endpoint.ip}]:${endpoint.port}` : `${endpoint.ip}:${endpoint.port}`;
}
