import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { before, test } from 'node:test';
import { splitBundle } from '../../lib/certificates/node-identity.ts';
import type { KubernetesApi } from '../../lib/kubernetes/types.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { bundleApplication, commonBundle, trimConfiguration, willDo } from '../../webhook/ca-bundle.ts';
import {
  type CertificateSet,
  createAuthority,
  createServingCertificate,
  isIssuedBy,
  judgeCertificates,
  notAfter,
  rotateAuthority,
} from '../../webhook/certificate-authority.ts';
import { Certificates } from '../../webhook/certificates.ts';
import { faultOf } from '../../webhook/provided-certificate.ts';
import { ServingCertificate } from '../../webhook/serving-certificate.ts';

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
    ['replace: its CA is valid', one, NAMES, NOW + 3650 * DAY_MS],
    ['rotate: its CA, valid', one, NAMES, NOW + 2434 * DAY_MS],
    ['rotate: its CA, valid', one, NAMES, NOW + 3300 * DAY_MS],
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

test('certificates: the CA is renewed at two thirds of its life, beside the old one', async () => {
  const later = NOW + 2434 * DAY_MS;
  const young = await createServingCertificate(one, NAMES, NOW + 2433 * DAY_MS);
  assert.equal(judgeCertificates(young, NAMES, NOW + 2433 * DAY_MS).action, 'keep');
  const rotated = await createServingCertificate(await rotateAuthority(one, later), NAMES, later);
  assert.equal(judgeCertificates(rotated, NAMES, later).action, 'keep');
  const [first = '', second = '', ...more] = splitBundle(rotated['ca.crt']);
  assert.deepEqual([second, more], [one['ca.crt'].trim().replaceAll('\r', ''), []]);
  assert.ok(isIssuedBy(rotated['tls.crt'], first) && !isIssuedBy(rotated['tls.crt'], second));
  for (const leaf of [one, rotated]) assert.ok(isIssuedBy(leaf['tls.crt'], rotated['ca.crt']));
  const ended = NOW + 3650 * DAY_MS;
  assert.equal(splitBundle((await rotateAuthority(rotated, ended))['ca.crt']).length, 2, 'the first one has ended');
});

/** Certificates whose Secret holds the first set, on a clock of their own. */
function certificatesOf(set: CertificateSet) {
  const secretOf = (files: CertificateSet, annotations = {}) => ({
    metadata: { name: 'nodemesh-webhook-tls', annotations },
    data: Object.fromEntries(Object.entries(files).map(([k, v]) => [k, Buffer.from(v).toString('base64')])),
  });
  const state = { now: NOW, writes: 0, secret: secretOf(set) as unknown };
  const api: KubernetesApi = {
    server: '',
    request: async ({ method, body }) => {
      if (method !== 'GET') {
        state.secret = body;
        state.writes += 1;
      }
      return state.secret;
    },
    list: () => assert.fail('nothing is watched'),
    stream: () => assert.fail('nothing is watched'),
  };
  const refused = new MetricsRegistry().counter('refused', '').with();
  const log = createLog('test', 'silent');
  const now = () => state.now;
  const options = { api, namespace: 'nodemesh', names: NAMES, refused, now, random: () => 0.5, log };
  return { certificates: new Certificates(options), state, refused, secretOf };
}

test('certificates: each minute the wall clock is asked whether renewal is due', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { certificates, state, refused } = certificatesOf(one);
  let looked = () => {};
  certificates.onCheck(() => looked());
  const look = (act: () => void) =>
    new Promise<void>((resolve) => {
      looked = resolve;
      act();
    });
  const after = async (days: number) => {
    state.now = NOW + days * DAY_MS;
    await look(() => t.mock.timers.tick(60_000));
    const { 'ca.crt': ca = '', 'tls.crt': leaf = '' } = certificates.current ?? {};
    return [state.writes, notAfter(leaf) > NOW + (days + 364) * DAY_MS, splitBundle(ca).length];
  };
  await look(() => certificates.start());
  assert.deepEqual(certificates.current, one);
  assert.deepEqual(await after(243), [0, false, 1]);
  assert.deepEqual(await after(244), [1, true, 1]);
  assert.deepEqual(await after(245), [1, false, 1]);
  assert.deepEqual(await after(2434), [2, true, 2]);
  assert.equal(refused.value, 0);
  await certificates.stop();
});

test('certificates: a Secret that was changed to what cannot serve is counted, one that others renewed is not', async () => {
  const { certificates, state, refused, secretOf } = certificatesOf(one);
  await certificates.refresh();
  const renewed = await createServingCertificate(one, NAMES, NOW);
  // By another replica, and asked for again before this one has seen it.
  state.secret = secretOf(renewed, { 'nodemesh.dev/renew': 'serving' });
  await certificates.refresh();
  assert.deepEqual([state.writes, refused.value], [1, 0]);
  const before = certificates.current;
  state.secret = { metadata: { name: 'nodemesh-webhook-tls' } };
  await certificates.refresh();
  assert.deepEqual([state.writes, refused.value], [2, 1]);
  assert.deepEqual(certificates.current, before);
});

const CONFIGURATION = { metadata: { name: 'nodemesh' } };
const base64 = (pem: string) => Buffer.from(pem).toString('base64');

test('caBundle: where one will not do, all entries are applied by name, with nothing else of theirs', () => {
  const caBundle = base64(one['ca.crt']);
  const webhooks = [
    { name: 'a', clientConfig: {} },
    { name: 'b', clientConfig: { caBundle } },
    { name: 'c', clientConfig: { caBundle: 'Cg==' } },
  ];
  const configuration = trimConfiguration({ ...CONFIGURATION, webhooks } as never);
  assert.deepEqual(bundleApplication(configuration, one['ca.crt'], NOW), {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'nodemesh' },
    webhooks: ['a', 'b', 'c'].map((name) => ({ name, clientConfig: { caBundle } })),
  });
  assert.equal(commonBundle(configuration), undefined);
  const whole = trimConfiguration({ ...CONFIGURATION, webhooks: webhooks.slice(1, 2) } as never);
  assert.equal(bundleApplication(whole, one['ca.crt'], NOW), undefined);
  assert.equal(commonBundle(whole), one['ca.crt']);
});

test('caBundle: one with more than ours will do, so that replicas do not undo each other; one with less, an end or rubbish will not', () => {
  const both = one['ca.crt'] + other['ca.crt'];
  assert.ok(willDo(both, one['ca.crt'], NOW) && willDo(both, both, NOW));
  assert.ok(!willDo(one['ca.crt'], both, NOW));
  assert.ok(!willDo(both, both, NOW + 3650 * DAY_MS));
  const rubbish = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  for (const bundle of ['', '\n', rubbish, one['ca.crt'] + rubbish]) assert.ok(!willDo(bundle, one['ca.crt'], NOW));
});

test('a provided certificate is taken where it can serve, and refused with what is wrong', () => {
  const { 'ca.key': _key, ...good } = one;
  assert.equal(faultOf(good, NAMES, NOW), undefined);
  assert.equal(faultOf({ ...good, 'ca.crt': undefined }, NAMES, NOW), undefined);
  const cases: readonly [RegExp, object, string[], number][] = [
    [/has no tls\.crt, tls\.key/, {}, NAMES, NOW],
    [/not a valid pair of PEM texts/, { ...good, 'tls.crt': 'garbage' }, NAMES, NOW],
    [/tls\.key is not that of tls\.crt/, { ...good, 'tls.key': other['tls.key'] }, NAMES, NOW],
    [/is valid from .* only/, good, NAMES, NOW + 365 * DAY_MS],
    [/does not name elsewhere/, good, ['elsewhere'], NOW],
    [/is not of its ca\.crt/, { ...good, 'ca.crt': other['ca.crt'] }, NAMES, NOW],
    [/ca\.crt is no PEM/, { ...good, 'ca.crt': 'garbage' }, NAMES, NOW],
  ];
  for (const [expected, set, names, now] of cases) assert.match(faultOf(set, names, now) ?? '', expected);
});

/** A ServingCertificate on a clock of its own. */
function switchOf(first: CertificateSet) {
  const state = { now: NOW, served: [] as CertificateSet[], missing: undefined as string | undefined };
  const metrics = new MetricsRegistry();
  const reloads = metrics.counter('reload', '', ['result']);
  const failed = reloads.with('failed');
  const serving = new ServingCertificate({
    serve: (set) => {
      if (set['tls.key'] === '') throw new Error('no key');
      state.served.push(set as CertificateSet);
    },
    report: (missing) => {
      state.missing = missing;
    },
    graceMs: 5_000,
    reloads: { done: reloads.with('ok'), failed },
    now: () => state.now,
    log: createLog('test', 'silent'),
  });
  serving.offer(first);
  return { state, serving, failed };
}

test('serving certificate: under the same CA it changes at once', async () => {
  const { state, serving } = switchOf(one);
  serving.bundled(one['ca.crt']);
  const renewed = await createServingCertificate(one, NAMES, NOW);
  serving.offer(renewed);
  assert.deepEqual(state.served, [one, renewed]);
  serving.bundled(undefined); // wiped
  serving.offer(one);
  assert.deepEqual(state.served, [one, renewed, one]);
  serving.stop();
});

test('serving certificate: of a new CA, it waits until the bundle has both, and some seconds more', async () => {
  const { state, serving } = switchOf(one);
  serving.bundled(one['ca.crt']);
  const rotated = await createServingCertificate(await rotateAuthority(one, NOW), NAMES, NOW);
  serving.offer(rotated);
  state.now += DAY_MS;
  serving.check();
  serving.bundled(undefined);
  assert.deepEqual(state.served, [one]);
  serving.bundled(rotated['ca.crt']);
  assert.deepEqual(state.served, [one]);
  state.now += 4_999;
  serving.bundled(undefined);
  serving.bundled(rotated['ca.crt']);
  assert.deepEqual(state.served, [one]);
  state.now += 1;
  serving.check();
  assert.deepEqual(state.served, [one, rotated]);
  serving.stop();
});

test('serving certificate: renewals in quick succession do not put off the change to their CA', async () => {
  const { state, serving } = switchOf(one);
  const authority = await rotateAuthority(one, NOW);
  serving.bundled(authority['ca.crt']);
  const [first, second] = await Promise.all([0, 1].map(() => createServingCertificate(authority, NAMES, NOW)));
  serving.offer(first as CertificateSet);
  state.now += 4_000;
  serving.offer(second as CertificateSet);
  state.now += 1_000;
  serving.check();
  assert.deepEqual(state.served, [one, second]);
  serving.stop();
});

test('serving certificate: where the old one is trusted no more or has ended, the new one is taken at once', () => {
  const replaced = switchOf(one);
  replaced.serving.bundled(one['ca.crt']);
  replaced.serving.offer(other);
  assert.deepEqual(replaced.state.served, [one]);
  replaced.serving.bundled(other['ca.crt']);
  assert.deepEqual(replaced.state.served, [one, other]);
  const ended = switchOf(one);
  ended.state.now = NOW + 365 * DAY_MS;
  ended.serving.check();
  assert.match(ended.state.missing ?? '', /^the serving certificate ended at 2027-03-01T11:00:00/);
  ended.serving.offer(other);
  assert.deepEqual(ended.state.served, [one, other]);
  for (const { serving } of [replaced, ended]) serving.stop();
});

test('serving certificate: one that cannot be served is counted, and the one before stays', () => {
  const { state, serving, failed } = switchOf(one);
  serving.bundled(one['ca.crt']);
  serving.offer({ ...one, 'tls.key': '' });
  assert.deepEqual([state.served, serving.served, failed.value, state.missing], [[one], one, 1, undefined]);
  serving.stop();
});
