import type { X509Certificate } from 'node:crypto';
import { nodeOfNames } from '../../lib/certificates/node-identity.ts';

/** Why a connection between daemons is refused; the label of tls_refused_total. */
export type TlsRefusal =
  | 'plaintext'
  | 'no_identity'
  | 'no_certificate'
  | 'wrong_authority'
  | 'expired'
  | 'not_yet_valid'
  | 'not_a_node'
  | 'wrong_node'
  | 'wrong_name'
  | 'node_gone'
  | 'handshake';

/** What a handshake has shown of the other side. */
export interface PeerCredentials {
  readonly certificate: X509Certificate | undefined;
  /** OpenSSL's word for what is wrong with the chain; undefined where nothing is. */
  readonly chainError: string | undefined;
}

/** What is expected of it. `node` undefined: any node's daemon will do. */
export interface PeerExpectation {
  readonly trustDomain: string;
  readonly node: string | undefined;
  /** Where it calls from, and of which node that address is known to be; undefined where it was called. */
  readonly from?: { readonly address: string; readonly node: string | undefined } | undefined;
  /** Whether a node is in the cluster no more. */
  readonly gone: (node: string) => boolean;
  /** Wall clock, ms since 1970. */
  readonly now: number;
}

/** Why someone is refused, for counting and for reading. */
export interface Refusal {
  readonly refusal: TlsRefusal;
  readonly why: string;
}

/** `node`: whose daemon it is, where its certificate says so. */
export type PeerVerdict = { readonly node: string | undefined } | Refusal;

/**
 * Judges the other side of a handshake. `node`: the one whose daemon it must be; undefined: any. `address`: where it calls from;
 * undefined: it was called.
 */
export type Judge = (shown: PeerCredentials, node: string | undefined, address?: string) => PeerVerdict;

/**
 * Judges the other side of a handshake: a certificate of this mesh's CA, valid now, that is one node's and the expected one's,
 * of a node that is still there, and not shown from an address that is known to be another node's or of a pod there: then it was copied.
 * Time is checked here as well, since a resumed session repeats what was true of its first handshake.
 */
export function judgePeer(shownBy: PeerCredentials, expected: PeerExpectation): PeerVerdict {
  const { trustDomain, node, from, gone, now } = expected;
  const invalid = judgeCertificate(shownBy, now);
  if (invalid !== undefined) return invalid;
  const subjectAltName = shownBy.certificate?.subjectAltName;
  const shown = nodeOfNames(trustDomain, subjectAltName);
  if (shown === undefined) {
    return { refusal: 'not_a_node', why: `its certificate is of no node of ${trustDomain} but of ${subjectAltName}` };
  }
  if (node !== undefined && shown !== node) {
    return { refusal: 'wrong_node', why: `its certificate is of node ${shown}, not of node ${node}` };
  }
  if (from?.node !== undefined && from.node !== shown) {
    const why = `its certificate is of node ${shown}, but ${from.address} is an address of node ${from.node}, or of a pod there`;
    return { refusal: 'wrong_node', why };
  }
  if (gone(shown))
    return { refusal: 'node_gone', why: `its certificate is of node ${shown}, which is not in the cluster` };
  return { node: shown };
}

/** Refuses what is no certificate of a CA that is believed, valid at `now` (wall clock, ms since 1970). */
export function judgeCertificate({ certificate, chainError }: PeerCredentials, now: number): Refusal | undefined {
  if (certificate === undefined) return { refusal: 'no_certificate', why: 'it showed no certificate' };
  if (chainError !== undefined) return chainVerdict(chainError);
  const { validFrom, validTo } = certificate;
  if (now > Date.parse(validTo)) return { refusal: 'expired', why: `its certificate ended at ${validTo}` };
  if (now < Date.parse(validFrom)) {
    return { refusal: 'not_yet_valid', why: `its certificate is valid from ${validFrom} only` };
  }
  return undefined;
}

/**
 * Judges by a name, as linkerd does by `commonName`: one of the certificate's DNS names, or its common name where it has none
 * (RFC 6125 §6.4.4).
 */
export function judgeName(shown: PeerCredentials, name: string, now: number): PeerVerdict {
  const invalid = judgeCertificate(shown, now);
  if (invalid !== undefined) return invalid;
  if (shown.certificate?.checkHost(name) === undefined) {
    const { subject, subjectAltName } = shown.certificate ?? {};
    return { refusal: 'wrong_name', why: `its certificate is not for "${name}" but for ${subjectAltName ?? subject}` };
  }
  return { node: undefined };
}

/** What a chain's error means here. `code` is OpenSSL's, as `tls` names it. */
export function chainVerdict(code: string): Refusal {
  if (code === 'CERT_HAS_EXPIRED') return { refusal: 'expired', why: 'its certificate, or its CA, has expired' };
  if (code === 'CERT_NOT_YET_VALID') {
    return { refusal: 'not_yet_valid', why: 'its certificate is not valid yet: compare the clocks of the nodes' };
  }
  return { refusal: 'wrong_authority', why: `its certificate is not of this mesh's CA (${code})` };
}
