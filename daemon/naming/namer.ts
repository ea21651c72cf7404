import type { Authority } from '../http/request-target.ts';
import type { Binding } from './endpoint.ts';

/** What a name turned out to be: a Service's endpoints, or something outside the cluster. */
export type Named =
  | { readonly kind: 'binding'; readonly binding: Binding }
  | { readonly kind: 'egress'; readonly host: string; readonly port: number };

/** Turns authorities into endpoints (DESIGN §2). */
export interface Namer {
  /** As the config calls it. */
  readonly kind: string;
  /** Changes whenever a name may mean something else than it did. */
  readonly version: number;
  /**
   * Looks a name up. Gives undefined where it is not this namer's to know, so that the next one is asked.
   * Throws ProxyError (unknown_name, unknown_port) where it is, but leads nowhere.
   */
  name(authority: Authority, callerNamespace: string | undefined): Named | undefined;
}

const HTTP_PORT = 80;

/** The last resort: whatever is not the cluster's is outside, on port 80 unless it says otherwise (RFC 9110 §4.2.1). */
export function egressName(authority: Authority): Named {
  return { kind: 'egress', host: authority.host, port: authority.port ?? HTTP_PORT };
}
