import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import type { Identity, IdentitySource } from '../../daemon/identity/identity.ts';
import { nodeId } from '../../lib/certificates/node-identity.ts';
import { createAuthority } from '../../webhook/certificate-authority.ts';
import { createNodeCertificate } from '../../webhook/node-certificate.ts';

export const TRUST_DOMAIN = 'cluster.local';
const HOUR_MS = 3_600_000;

/** A CA of a mesh, as PEM texts. */
export type TestAuthority = Awaited<ReturnType<typeof createAuthority>>;

/** A key pair as a daemon makes it. */
export function makeKeys(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

export function makeAuthority(): Promise<TestAuthority> {
  return createAuthority(Date.now());
}

/** An identity of a SPIFFE ID (default: that of a node), believed and believing under `authority`. Times: hours from now. */
export function makeIdentity(
  authority: TestAuthority,
  node: string,
  { uri = nodeId(TRUST_DOMAIN, node), from = -1, to = 24 }: { uri?: string; from?: number; to?: number } = {},
): Identity {
  const { privateKey, publicKey } = makeKeys();
  const ca = {
    certificate: new X509Certificate(authority['ca.crt']),
    privateKey: createPrivateKey(authority['ca.key']),
  };
  const [notBefore, notAfter] = [Date.now() + from * HOUR_MS, Date.now() + to * HOUR_MS];
  return {
    certificate: createNodeCertificate({ authority: ca, publicKey, uri, notBefore, notAfter }),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    authorities: [authority['ca.crt']],
    ticketKeys: randomBytes(48),
  };
}

/** An identity that a test sets. */
export class TestIdentity implements IdentitySource {
  #current: Identity | undefined;
  readonly #listeners: (() => void)[] = [];

  constructor(first?: Identity) {
    this.#current = first;
  }

  get current(): Identity | undefined {
    return this.#current;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  set(identity: Identity): void {
    this.#current = identity;
    for (const listener of this.#listeners) listener();
  }
}
