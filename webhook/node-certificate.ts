import { type KeyObject, randomBytes, type X509Certificate } from 'node:crypto';
import {
  bitString,
  context,
  contextString,
  inside,
  integer,
  octetString,
  oid,
  readDer,
  sequence,
  time,
  toPem,
} from '../lib/certificates/der.ts';
import {
  commonName,
  extension,
  keyIdentifier,
  OID,
  signatureAlgorithm,
  signed,
  uriNames,
} from '../lib/certificates/x509.ts';

const VERSION_3 = context(0, integer(Buffer.from([2])));
const NOT_A_CA = sequence();
/** The first bit is digitalSignature (RFC 5280 §4.2.1.3): all that TLS 1.3 needs. */
const DIGITAL_SIGNATURE = bitString(Buffer.from([0x80]), 7);

export interface NodeCertificateOptions {
  readonly authority: { readonly certificate: X509Certificate; readonly privateKey: KeyObject };
  readonly publicKey: KeyObject;
  readonly uri: string;
  /** ms since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * A certificate for TLS clients and servers in PEM, with one URI as its name. node-forge signs certificates of RSA keys only;
 * this one is of any key that node:crypto knows, and the CA's own key may be of another kind.
 */
export function createNodeCertificate(options: NodeCertificateOptions): string {
  const { authority, publicKey, uri, notBefore, notAfter } = options;
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const issuer = readAuthority(authority.certificate);
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40; // positive, and never shorter (RFC 5280 §4.1.2.2)
  const extensions = sequence(
    extension(OID.basicConstraints, NOT_A_CA, true),
    extension(OID.keyUsage, DIGITAL_SIGNATURE, true),
    extension(OID.extKeyUsage, sequence(oid(OID.serverAuth), oid(OID.clientAuth))),
    uriNames([uri]),
    extension(OID.subjectKeyIdentifier, octetString(keyIdentifier(spki))),
    ...(issuer.keyId === undefined
      ? []
      : [extension(OID.authorityKeyIdentifier, sequence(contextString(0, issuer.keyId)))]),
  );
  const body = sequence(
    VERSION_3,
    integer(serial),
    signatureAlgorithm(authority.privateKey),
    issuer.subject,
    sequence(time(notBefore), time(notAfter)),
    commonName('nodemesh-daemon'),
    spki,
    context(3, extensions),
  );
  return toPem(signed(body, authority.privateKey), 'CERTIFICATE');
}

/** A CA's subject, byte for byte as its issuer's name must be, and its key's identifier. */
function readAuthority(certificate: X509Certificate): { subject: Buffer; keyId: Buffer | undefined } {
  // version, serial, algorithm, issuer, validity, subject, key, and extensions at the end
  const fields = inside(inside(readDer(certificate.raw)[0])[0]);
  const subject = fields[5];
  const extensions = fields.at(-1);
  if (subject === undefined || extensions?.tag !== 0xa3) throw new Error('the CA is no X.509 version 3 certificate');
  for (const one of inside(inside(extensions)[0])) {
    const [id, value] = inside(one);
    if (id !== undefined && value !== undefined && id.whole.equals(oid(OID.subjectKeyIdentifier))) {
      return { subject: subject.whole, keyId: readDer(value.content)[0]?.content };
    }
  }
  return { subject: subject.whole, keyId: undefined };
}
