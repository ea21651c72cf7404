import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { before, test } from 'node:test';
import { bundlePatch, trimConfiguration } from '../../webhook/ca-bundle.ts';
import {
  type CertificateSet,
  createAuthority,
  createServingCertificate,
  judgeCertificates,
  notAfter,
} from '../../webhook/certificate-authority.ts';

const DAY_MS = 86_400_000;
const NOW = Date.parse('2026-03-01T12:00:00Z');
const NAMES = ['nodemesh-webhook.nodemesh.svc', 'nodemesh-webhook.nodemesh.svc.cluster.local', 'nodemesh-webhook'];

let one: CertificateSet;
let other: CertificateSet;
before(async () => {
  [one, other] = (await Promise.all(
    [NOW, NOW].map(async (now) => createServingCertificate(await createAuthority(now), NAMES, now)),
  )) as [CertificateSet, CertificateSet];
});

test('certificates: a new set is kept', () => {
  assert.equal(judgeCertificates(one, NAMES, NOW).action, 'keep');
});

test('certificates: the serving certificate is what an API server accepts', () => {
  const ca = new X509Certificate(one['ca.crt']);
  const leaf = new X509Certificate(one['tls.crt']);
  assert.ok(leaf.checkIssued(ca) && leaf.verify(ca.publicKey) && ca.ca && !leaf.ca);
  assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1']); // serverAuth
  assert.equal(leaf.subjectAltName, NAMES.map((name) => `DNS:${name}`).join(', '));
  assert.match(leaf.serialNumber, /^[4-7][0-9A-F]{31}$/);
  assert.equal(notAfter(one['tls.crt']) - Date.parse(leaf.validFrom), 365 * DAY_MS);
  assert.ok(Date.parse(leaf.validFrom) < NOW, 'valid on a clock that is behind');
  assert.equal(notAfter(one['ca.crt']) - Date.parse(ca.validFrom), 3650 * DAY_MS);
});

test('certificates: the serving certificate is renewed at two thirds of its life, the CA stays', () => {
  assert.equal(judgeCertificates(one, NAMES, NOW + 243 * DAY_MS).action, 'keep');
  assert.equal(judgeCertificates(one, NAMES, NOW + 244 * DAY_MS).action, 'renew');
  assert.equal(judgeCertificates(one, NAMES, NOW + 400 * DAY_MS).action, 'renew');
});

test('certificates: what cannot serve is renewed or replaced', () => {
  const cases: readonly [string, Partial<CertificateSet>, string[], number][] = [
    ['replace: no ca\\.crt, ca\\.key, tls\\.crt, tls\\.key', {}, NAMES, NOW],
    ['replace: no tls\\.key', { ...one, 'tls.key': '' }, NAMES, NOW],
    ['replace: not valid PEM', { ...one, 'ca.crt': 'garbage' }, NAMES, NOW],
    ['replace: not that of its ca\\.key', { ...one, 'ca.key': other['ca.key'] }, NAMES, NOW],
    ['replace: is no CA', { ...one, 'ca.crt': one['tls.crt'], 'ca.key': one['tls.key'] }, NAMES, NOW],
    ['replace: its CA is valid', one, NAMES, NOW + 3300 * DAY_MS],
    ['replace: its CA is valid', one, NAMES, NOW - DAY_MS],
    ['renew: not a valid pair', { ...one, 'tls.crt': 'garbage' }, NAMES, NOW],
    ['renew: not a valid pair', { ...one, 'tls.key': other['tls.key'] }, NAMES, NOW],
    ['renew: not signed', { ...one, 'tls.crt': other['tls.crt'], 'tls.key': other['tls.key'] }, NAMES, NOW],
    ['renew: does not name elsewhere', one, ['elsewhere'], NOW],
  ];
  for (const [expected, set, names, now] of cases) {
    const { action, why } = judgeCertificates(set, names, now);
    assert.match(`${action}: ${why}`, new RegExp(expected.replace(': ', ': .*')));
  }
});

test('caBundle: every entry whose bundle is another is patched, by its name', () => {
  const value = Buffer.from(one['ca.crt']).toString('base64');
  const configuration = trimConfiguration({
    metadata: { name: 'nodemesh' },
    webhooks: [
      { name: 'a', clientConfig: {} },
      { name: 'b', clientConfig: { caBundle: value } },
      { name: 'c', clientConfig: { caBundle: 'Cg==' } },
    ],
  } as never);
  assert.deepEqual(bundlePatch(configuration, one['ca.crt']), [
    { op: 'test', path: '/webhooks/0/name', value: 'a' },
    { op: 'add', path: '/webhooks/0/clientConfig/caBundle', value },
    { op: 'test', path: '/webhooks/2/name', value: 'c' },
    { op: 'add', path: '/webhooks/2/clientConfig/caBundle', value },
  ]);
});
