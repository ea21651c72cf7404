import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { createCertificateRequest, readCertificateRequest } from '../../lib/certificates/certificate-request.ts';
import { fromPem, readDer, toPem } from '../../lib/certificates/der.ts';
import { nodeId, nodeOfNames, splitBundle } from '../../lib/certificates/node-identity.ts';
import { createAuthority } from '../../webhook/certificate-authority.ts';
import { createNodeCertificate } from '../../webhook/node-certificate.ts';

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);
const URI = nodeId('cluster.local', 'node-1.example');
const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const request = createCertificateRequest(keys, { commonName: 'nodemesh-daemon', uri: URI });

test('a request gives back what it was made of', () => {
  const { publicKey, uris } = readCertificateRequest(request);
  assert.deepEqual(uris, [URI]);
  assert.ok(publicKey.equals(keys.publicKey));
});

test('openssl reads a request as ours does', { skip: !hasOpenssl() }, () => {
  const text = openssl(['req', '-verify', '-noout', '-text'], request);
  assert.match(text, new RegExp(`URI:${URI}`));
  assert.match(text, /CN ?= ?nodemesh-daemon/);
  assert.match(text, /ecdsa-with-SHA256/);
});

test('a request that was changed, cut short or is of another key is refused', () => {
  const bytes = fromPem(request, 'CERTIFICATE REQUEST');
  const changed = Buffer.from(bytes);
  const at = changed.indexOf('node-1');
  changed[at + 5] = '2'.charCodeAt(0);
  assert.throws(() => readCertificateRequest(toPem(changed, 'CERTIFICATE REQUEST')), /own key/);
  for (let length = 0; length < bytes.length; length += 7) {
    assert.throws(() => readCertificateRequest(toPem(bytes.subarray(0, length), 'CERTIFICATE REQUEST')));
  }
  assert.throws(() => readCertificateRequest('hello'), /no CERTIFICATE REQUEST/);
});

test('a certificate is of its CA, its key, its node and its time', async () => {
  const authority = await createAuthority(NOW);
  const ca = new X509Certificate(authority['ca.crt']);
  const certificate = new X509Certificate(
    createNodeCertificate({
      authority: { certificate: ca, privateKey: createPrivateKey(authority['ca.key']) },
      publicKey: keys.publicKey,
      uri: URI,
      notBefore: NOW,
      notAfter: NOW + 86_400_000,
    }),
  );
  assert.ok(certificate.checkIssued(ca));
  assert.ok(certificate.verify(ca.publicKey));
  assert.ok(certificate.checkPrivateKey(keys.privateKey));
  assert.equal(certificate.ca, false);
  assert.equal(nodeOfNames('cluster.local', certificate.subjectAltName), 'node-1.example');
  assert.deepEqual([Date.parse(certificate.validFrom), Date.parse(certificate.validTo)], [NOW, NOW + 86_400_000]);
  assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
});

test('the node of a certificate: one name, of this mesh, or none', () => {
  const cases: [string | undefined, string | undefined][] = [
    ['URI:spiffe://cluster.local/node/a', 'a'],
    ['URI:spiffe://cluster.local/node/', undefined],
    ['URI:spiffe://cluster.local/node/a/b', undefined],
    ['URI:spiffe://cluster.local/ns/shop/sa/a', undefined],
    ['URI:spiffe://other/node/a', undefined],
    ['DNS:spiffe://cluster.local/node/a', undefined],
    ['URI:spiffe://cluster.local/node/a, URI:spiffe://cluster.local/node/b', undefined],
    ['DNS:a, URI:spiffe://cluster.local/node/a', undefined],
    [undefined, undefined],
  ];
  for (const [names, node] of cases) assert.equal(nodeOfNames('cluster.local', names), node, String(names));
});

test('DER: lengths that lie are refused', () => {
  for (const hex of ['30', '3005', '308001', '30840000000100', '1f8100']) {
    assert.throws(() => readDer(Buffer.from(hex, 'hex')), /DER/, hex);
  }
});

test('a bundle is taken apart', () => {
  const one = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----';
  assert.deepEqual(splitBundle(`${one}\n# old\n${one}\n`), [one, one]);
});

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function openssl(args: readonly string[], input: string): string {
  return execFileSync('openssl', args, { input, encoding: 'utf8', stdio: 'pipe' });
}
