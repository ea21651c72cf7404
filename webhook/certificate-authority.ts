import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import forge from 'node-forge';
import { splitBundle } from '../lib/certificates/node-identity.ts';

const KEY_BITS = 2048; // node-forge makes and signs with RSA only
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const AUTHORITY_LIFE_MS = 3650 * DAY_MS;
const SERVING_LIFE_MS = 365 * DAY_MS;
/** API servers' clocks may be behind ours. */
const CLOCK_SKEW_MS = HOUR_MS;
const RENEWAL_AGE = 2 / 3;

/** A bundle keeps no more CAs than these, the newest first. */
const MAX_AUTHORITIES = 4;

/**
 * Everything that serving needs, as PEM texts; the keys of the Secret. `ca.crt` holds the CA that signs first, and behind it
 * those before it that are still to be trusted.
 */
export interface CertificateSet {
  readonly 'ca.crt': string;
  readonly 'ca.key': string;
  readonly 'tls.crt': string;
  readonly 'tls.key': string;
}
export const CERTIFICATE_FILES = ['ca.crt', 'ca.key', 'tls.crt', 'tls.key'] as const;

type Authority = Pick<CertificateSet, 'ca.crt' | 'ca.key'>;

/**
 * What to do about a certificate set: nothing, a new serving certificate under the same CA, a new CA beside the old one, or
 * all of it anew.
 */
export interface Verdict {
  readonly action: 'keep' | 'renew' | 'rotate' | 'replace';
  readonly why: string;
  /** A person asked for it. */
  readonly asked?: boolean;
}

/** A self-signed CA, valid for ten years from an hour before `now` (ms since 1970). */
export async function createAuthority(now: number): Promise<Authority> {
  const keys = await generateKeys();
  const subject = [{ name: 'commonName', value: 'nodemesh-webhook-ca' }];
  const certificate = unsignedCertificate(keys.publicKey, now, AUTHORITY_LIFE_MS);
  certificate.setSubject(subject);
  certificate.setIssuer(subject);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  certificate.sign(keys.privateKey, forge.md.sha256.create());
  return { 'ca.crt': forge.pki.certificateToPem(certificate), 'ca.key': forge.pki.privateKeyToPem(keys.privateKey) };
}

/** A new CA ahead of one whose certificates are still in use: both are to be trusted, the new one signs. */
export async function rotateAuthority(before: Authority, now: number): Promise<Authority> {
  const authority = await createAuthority(now);
  const earlier = splitBundle(before['ca.crt']).filter((pem) => notAfter(pem) > now);
  const bundle = [authority['ca.crt'].trim(), ...earlier].slice(0, MAX_AUTHORITIES);
  return { ...authority, 'ca.crt': `${bundle.join('\n')}\n` };
}

/** A serving certificate for these DNS names under the given CA, valid for one year, with its CA: a whole set. */
export async function createServingCertificate(
  authority: Authority,
  names: readonly string[],
  now: number,
): Promise<CertificateSet> {
  const keys = await generateKeys();
  const issuer = forge.pki.certificateFromPem(authority['ca.crt']);
  const certificate = unsignedCertificate(keys.publicKey, now, SERVING_LIFE_MS);
  certificate.setSubject([{ name: 'commonName', value: 'nodemesh-webhook' }]);
  certificate.setIssuer(issuer.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    { name: 'subjectAltName', altNames: names.map((value) => ({ type: 2, value })) }, // type 2: dNSName (RFC 5280)
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes() },
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(authority['ca.key']), forge.md.sha256.create());
  return {
    ...authority,
    'tls.crt': forge.pki.certificateToPem(certificate),
    'tls.key': forge.pki.privateKeyToPem(keys.privateKey),
  };
}

/**
 * Judges a set as read from the Secret: whether it can serve these names at `now`, and whether the CA and the serving
 * certificate are younger than two thirds of their lives, the age at which cert-manager renews too. Never throws; a set that
 * makes no sense is one to replace.
 */
export function judgeCertificates(set: Partial<CertificateSet>, names: readonly string[], now: number): Verdict {
  const missing = CERTIFICATE_FILES.filter((file) => !set[file]);
  if (missing.length > 0) return { action: 'replace', why: `it has no ${missing.join(', ')}` };
  const authority = attempt(() => new X509Certificate(set['ca.crt'] ?? ''));
  const authorityKey = attempt(() => createPrivateKey(set['ca.key'] ?? ''));
  if (authority === undefined || authorityKey === undefined) {
    return { action: 'replace', why: 'its ca.crt or ca.key is not valid PEM' };
  }
  if (!authority.ca || !authority.checkPrivateKey(authorityKey)) {
    return { action: 'replace', why: 'its ca.crt is no CA, or not that of its ca.key' };
  }
  const age = ageOf(authority, now);
  if (age < 0 || age >= 1) {
    return { action: 'replace', why: `its CA is valid from ${authority.validFrom} to ${authority.validTo} only` };
  }
  // Nor may it end before what it signs.
  if (age >= RENEWAL_AGE || Date.parse(authority.validTo) < now + SERVING_LIFE_MS) {
    return { action: 'rotate', why: `its CA, valid from ${authority.validFrom} to ${authority.validTo}, is due` };
  }
  const serving = attempt(() => new X509Certificate(set['tls.crt'] ?? ''));
  const servingKey = attempt(() => createPrivateKey(set['tls.key'] ?? ''));
  if (serving === undefined || servingKey === undefined || !serving.checkPrivateKey(servingKey)) {
    return { action: 'renew', why: 'its tls.crt and tls.key are not a valid pair' };
  }
  if (!serving.checkIssued(authority) || !serving.verify(authority.publicKey)) {
    return { action: 'renew', why: 'its tls.crt is not signed by its CA' };
  }
  const uncovered = names.find((name) => serving.checkHost(name) === undefined);
  if (uncovered !== undefined) return { action: 'renew', why: `its tls.crt does not name ${uncovered}` };
  const servingAge = ageOf(serving, now);
  if (servingAge < 0 || servingAge >= RENEWAL_AGE) {
    return { action: 'renew', why: `its tls.crt, valid from ${serving.validFrom} to ${serving.validTo}, is due` };
  }
  return { action: 'keep', why: `its tls.crt is valid to ${serving.validTo}` };
}

/** When a PEM certificate ends, ms since 1970. Throws on what is no certificate. */
export function notAfter(pem: string): number {
  return Date.parse(new X509Certificate(pem).validTo);
}

/** Whether one of the CAs in a bundle (PEM) has signed the certificate, or one of its chain (PEM). Never throws. */
export function isIssuedBy(chain: string, bundle: string): boolean {
  const authorities = certificatesIn(bundle);
  return certificatesIn(chain).some((one) => authorities.some((ca) => one.checkIssued(ca) && one.verify(ca.publicKey)));
}

/** The certificates of a PEM text; those that cannot be read are left out. */
export function certificatesIn(pem: string): X509Certificate[] {
  return splitBundle(pem).flatMap((one) => attempt(() => new X509Certificate(one)) ?? []);
}

/** How much of its life a certificate has behind it: 0 when it begins, 1 when it ends. */
function ageOf(certificate: X509Certificate, now: number): number {
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  return (now - from) / (to - from);
}

function unsignedCertificate(publicKey: forge.pki.rsa.PublicKey, now: number, lifeMs: number): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = publicKey;
  certificate.serialNumber = positiveSerial();
  certificate.validity.notBefore = new Date(now - CLOCK_SKEW_MS);
  certificate.validity.notAfter = new Date(now - CLOCK_SKEW_MS + lifeMs);
  return certificate;
}

/** 16 random bytes as hex, positive as RFC 5280 §4.1.2.2 wants it: the first bit is clear, the first byte is not zero. */
function positiveSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function generateKeys(): Promise<forge.pki.rsa.KeyPair> {
  return new Promise((resolve, reject) => {
    forge.pki.rsa.generateKeyPair({ bits: KEY_BITS }, (error, keys) => (error ? reject(error) : resolve(keys)));
  });
}

function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
