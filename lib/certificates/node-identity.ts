/** What daemons and the control plane agree on about who a daemon is. */

/** The signer of certificates.k8s.io that daemons ask. */
export const SIGNER_NAME = 'nodemesh.dev/daemon';
/** The ConfigMap that tells daemons whom to trust: under `ca.crt`, the CA that signs now first, then those that still count. */
export const CA_CONFIG_MAP = 'nodemesh-ca';
export const CA_FILE = 'ca.crt';
/** The ServiceAccount that daemons run as. */
export const DAEMON_ACCOUNT = 'nodemesh-daemon';
export const CERTIFICATE_LIFE_SECONDS = 86_400;

const NODE = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** The SPIFFE ID of a node's daemon. */
export function nodeId(trustDomain: string, node: string): string {
  return `spiffe://${trustDomain}/node/${node}`;
}

/** The node that a SPIFFE ID is of; undefined for any other URI. */
export function nodeOfId(trustDomain: string, uri: string): string | undefined {
  const prefix = nodeId(trustDomain, '');
  const node = uri.startsWith(prefix) ? uri.slice(prefix.length) : '';
  return NODE.test(node) ? node : undefined;
}

/**
 * The node that a certificate is of, from its subjectAltName as X509Certificate gives it. It must hold that one URI alone:
 * a certificate that is of several, or of something else besides, is nobody's.
 */
export function nodeOfNames(trustDomain: string, subjectAltName: string | undefined): string | undefined {
  return subjectAltName?.startsWith('URI:') ? nodeOfId(trustDomain, subjectAltName.slice('URI:'.length)) : undefined;
}

/** The certificates in a PEM text, one text each, with plain line ends. */
export function splitBundle(pem: string): string[] {
  return pem.replaceAll('\r', '').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}
