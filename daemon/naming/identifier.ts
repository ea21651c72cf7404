import type { Authority } from '../http/request-target.ts';

/** A Service that an authority may mean, and the pod of it that was asked for, if one was. */
export interface ServiceName {
  readonly namespace: string;
  readonly service: string;
  /** The pod's hostname, in `pod.service.namespace.svc.…` (Kubernetes DNS specification §2.4). */
  readonly hostname: string | undefined;
}

export interface NameContext {
  /** The calling pod's namespace; undefined where the caller is unknown. */
  readonly callerNamespace: string | undefined;
  readonly clusterDomain: string;
}

/**
 * The Services that a host name may mean, the likeliest first, by the rules of cluster DNS (DESIGN §5.2): `svc` in the
 * caller's namespace, `svc.ns`, `svc.ns.svc`, `svc.ns.svc.<domain>`, and `pod.` before any of the qualified forms.
 * Empty for names that can only be outside the cluster. Pure; whether such a Service exists is the namer's to say.
 */
export function serviceNames(host: string, context: NameContext): ServiceName[] {
  const domainSuffix = `.svc.${context.clusterDomain.toLowerCase()}`;
  if (host.endsWith(domainSuffix)) return qualified(host.slice(0, -domainSuffix.length));
  if (host.endsWith('.svc')) return qualified(host.slice(0, -'.svc'.length));
  if (!host.includes('.')) {
    const namespace = context.callerNamespace;
    return namespace === undefined ? [] : [{ namespace, service: host, hostname: undefined }];
  }
  return qualified(host);
}

/** Whether a name can only mean something in the cluster, so that it is never asked of the outside's DNS. */
export function isClusterName(host: string, clusterDomain: string): boolean {
  return !host.includes('.') || host.endsWith('.svc') || host.endsWith(`.${clusterDomain.toLowerCase()}`);
}

function qualified(name: string): ServiceName[] {
  const [first, second, third, ...rest] = name.split('.');
  if (first === undefined || second === undefined || rest.length > 0) return [];
  if (third === undefined) return [{ service: first, namespace: second, hostname: undefined }];
  return [{ hostname: first, service: second, namespace: third }];
}

/** Of `localhost`, 127.0.0.1 and [::1]: a cheap look before the careful one. */
const LOOPBACK_BEGINS = new Set(['l', 'L', '1', '['].map((first) => first.charCodeAt(0)));

/**
 * A loopback authority as the calling pod means it: its own address, with the port as written. Clients that heed no
 * `no_proxy` (BusyBox wget) ask the proxy for `http://localhost/`, where the proxy's own loopback is never meant. Undefined
 * for any other authority.
 */
export function reflectLoopback(authority: string, callerAddress: string): string | undefined {
  if (!LOOPBACK_BEGINS.has(authority.charCodeAt(0))) return undefined;
  const match = /^(?:localhost\.?|127\.0\.0\.\d{1,3}|\[::1\])(:\d{1,5})?$/i.exec(authority);
  if (match === null) return undefined;
  return `${callerAddress.includes(':') ? `[${callerAddress}]` : callerAddress}${match[1] ?? ''}`;
}

/** The path of a name as linkerd writes it, for messages and logs: `/svc/world.shop`. */
export function namePath(authority: Authority): string {
  return `/svc/${authority.host}${authority.port === undefined ? '' : `:${authority.port}`}`;
}
