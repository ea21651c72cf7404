import { createHash, type KeyObject, sign } from 'node:crypto';
import { bitString, contextString, NULL, octetString, oid, sequence, set, TRUE, utf8String } from './der.ts';

/** Object identifiers of RFC 5280, 5480, 5758, 8017 and 2985. */
export const OID = {
  commonName: '2.5.4.3',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  extensionRequest: '1.2.840.113549.1.9.14',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  rsaWithSha256: '1.2.840.113549.1.1.11',
} as const;

/** GeneralName's uniformResourceIdentifier (RFC 5280 §4.2.1.6). */
export const URI_NAME = 6;

/** The AlgorithmIdentifier of SHA-256 signatures by a key: RSA or EC. */
export function signatureAlgorithm(key: KeyObject): Buffer {
  return key.asymmetricKeyType === 'ec' ? sequence(oid(OID.ecdsaWithSha256)) : sequence(oid(OID.rsaWithSha256), NULL);
}

/** What was signed, the algorithm and the signature: the outer form of certificates and of requests alike. */
export function signed(body: Buffer, key: KeyObject): Buffer {
  return sequence(body, signatureAlgorithm(key), bitString(sign('sha256', body, key)));
}

/** A Name of one common name. */
export function commonName(text: string): Buffer {
  return sequence(set(sequence(oid(OID.commonName), utf8String(text))));
}

/** An Extension: `value` is DER. */
export function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [TRUE] : []), octetString(value));
}

/** A subjectAltName of URIs. */
export function uriNames(uris: readonly string[]): Buffer {
  return extension(
    OID.subjectAltName,
    sequence(...uris.map((uri) => contextString(URI_NAME, Buffer.from(uri, 'ascii')))),
  );
}

/** A key's identifier: the start of its SubjectPublicKeyInfo's hash (RFC 7093 §2). */
export function keyIdentifier(spki: Buffer): Buffer {
  return createHash('sha256').update(spki).digest().subarray(0, 20);
}
