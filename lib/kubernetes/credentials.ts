import { readFileSync } from 'node:fs';
import type { Agent } from 'node:http';
import type { SecureContextOptions } from 'node:tls';

/** What one request needs to be believed, and to believe the server. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: SecureContextOptions & { readonly rejectUnauthorized?: boolean; readonly servername?: string };
  /** An agent that goes through the proxy which the kubeconfig names. */
  readonly proxy?: Agent;
}

/** One API server and how to log in to it. */
export interface ServerAccess {
  readonly server: URL;
  /** `renew` after a 401: whatever is cached may have been replaced. Rejects where a file or a login command fails. */
  credentials(renew: boolean): Promise<Credentials>;
}

/** Kubelets replace a projected token well before it ends; client-go re-reads it as often. */
const REREAD_MS = 60_000;

/**
 * A pod's own service account. Takes the API server's URL, the directory that the kubelet mounts (`token`, `ca.crt`) and a
 * clock in ms. Throws the system's error where the files cannot be read.
 */
export function inClusterAccess(server: URL, directory: string, now: () => number): ServerAccess {
  const read = (): Credentials => {
    const token = readFileSync(`${directory}/token`, 'utf8').trim();
    return { headers: { authorization: `Bearer ${token}` }, tls: { ca: readFileSync(`${directory}/ca.crt`) } };
  };
  let known = read();
  let readAt = now();
  return {
    server,
    credentials: async (renew) => {
      if (renew || now() - readAt >= REREAD_MS) {
        known = read();
        readAt = now();
      }
      return known;
    },
  };
}
