import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { context, fromPem, inside, integer, oid, readDer, sequence, set, toPem } from './der.ts';
import { commonName, OID, signed, URI_NAME, uriNames } from './x509.ts';

const LABEL = 'CERTIFICATE REQUEST';
const PUBLIC_KEY = { format: 'der', type: 'spki' } as const;

/** What a PKCS #10 request asks for. */
export interface CertificateRequest {
  readonly publicKey: KeyObject;
  /** Of the subject alternative names that it asks for; those of other kinds are left out. */
  readonly uris: readonly string[];
}

/** A PKCS #10 request (RFC 2986) in PEM, signed with the key that it is for, with one URI as subject alternative name. */
export function createCertificateRequest(
  keys: { readonly privateKey: KeyObject; readonly publicKey: KeyObject },
  subject: { readonly commonName: string; readonly uri: string },
): string {
  const attribute = sequence(oid(OID.extensionRequest), set(sequence(uriNames([subject.uri]))));
  const info = sequence(
    integer(Buffer.from([0])),
    commonName(subject.commonName),
    keys.publicKey.export(PUBLIC_KEY),
    context(0, attribute),
  );
  return toPem(signed(info, keys.privateKey), LABEL);
}

/** Reads a PKCS #10 request. Throws Error where it is none, or not signed with the key that it is for. */
export function readCertificateRequest(pem: string): CertificateRequest {
  const [info, , signature] = inside(readDer(fromPem(pem, LABEL))[0]);
  const [, , spki, attributes] = inside(info);
  if (info === undefined || spki === undefined || signature === undefined) throw new Error('no certificate request');
  const publicKey = createPublicKey({ key: spki.whole, ...PUBLIC_KEY });
  if (!verify('sha256', info.whole, publicKey, signature.content.subarray(1))) {
    throw new Error('the certificate request is not signed with its own key');
  }
  return { publicKey, uris: attributes === undefined ? [] : requestedUris(attributes.content) };
}

function requestedUris(attributes: Buffer): string[] {
  const wanted = oid(OID.extensionRequest);
  return readDer(attributes).flatMap((attribute) => {
    const [type, values] = inside(attribute);
    if (type === undefined || !type.whole.equals(wanted)) return [];
    return inside(inside(values)[0]).flatMap((one) => {
      const [id, ...rest] = inside(one);
      const value = rest.at(-1);
      if (value === undefined || id?.whole.equals(oid(OID.subjectAltName)) !== true) return [];
      const names = inside(readDer(value.content)[0]);
      return names.filter(({ tag }) => tag === (0x80 | URI_NAME)).map(({ content }) => content.toString('latin1'));
    });
  });
}
