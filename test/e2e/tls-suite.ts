import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { createCertificateRequest } from '../../lib/certificates/certificate-request.ts';
import { nodeId } from '../../lib/certificates/node-identity.ts';
import { makeAuthority, makeIdentity, makeKeys, TRUST_DOMAIN } from '../support/identity.ts';
import { until } from '../support/mesh.ts';
import { capture, serverHellos, tcpPayloads } from './capture.ts';
import type { Cluster } from './cluster.ts';
import { inPod, kubectl, type Pod, pods } from './kubectl.ts';
import { proxiedGet, rawRequest } from './raw-request.ts';

const MESH = 'nodemesh';
const INCOMING = 4141;
const REQUESTS = 40;

/** What passes between nodes, and who may speak to a daemon, with `tls: required`, as the manifests have it. */
export function tlsSuite(cluster: Cluster, namespace: string): void {
  const skip = cluster.seesCallers ? false : 'under this overlay daemons are reached by another way';
  describe('with tls: required', { skip }, () => {
    let hello: Pod;
    let other: Pod;
    before(async () => {
      const [first] = await pods(namespace, 'app=hello');
      const daemon = (await cluster.daemons()).find(({ node }) => node !== first?.node);
      assert.ok(first && daemon);
      [hello, other] = [first, daemon];
    });

    const from = () => ({ namespace, pod: hello.name });

    const needsHost =
      cluster.settings.lab === undefined ? 'the link between nodes is only known in the lab (LAB)' : false;
    it('nothing but TLS 1.3 is seen on the link between the nodes', { skip: needsHost }, async () => {
      const marker = `marker-${Date.now().toString(36)}`;
      const frames = await capture(`v${hello.node}`, async () => {
        for (let i = 0; i < REQUESTS; i += 1) {
          const answer = await rawRequest(from(), proxiedGet(`http://world/?${marker}`));
          assert.equal(answer.status, 200);
        }
      });
      const payloads = frames.flatMap(tcpPayloads);
      const between = payloads.filter(({ ports }) => ports.includes(INCOMING));
      const records = between.filter(({ bytes }) => bytes[0] === 0x17 && bytes[1] === 3 && bytes[2] === 3);
      assert.ok(records.length >= REQUESTS / 4, `${records.length} records of TLS passed`);
      const hellos = between.flatMap(({ bytes }) => serverHellos(bytes));
      assert.deepEqual(new Set(hellos), new Set(hellos.length === 0 ? [] : ['TLS 1.3']));
      assert.ok(!payloads.some(({ bytes }) => bytes.includes(marker)), 'the marker passed in plaintext');
    });

    it('a pod cannot speak to :4141, in plaintext or with a certificate that it has made itself', async () => {
      const request = `GET http://world.${namespace}/ HTTP/1.1\r\nHost: world.${namespace}\r\nConnection: close\r\n\r\n`;
      const plain = await rawRequest(from(), request, `${other.ip}:${INCOMING}`);
      assert.deepEqual([plain.status, plain.fields['mesh-error']], [502, 'peer_refused']);
      assert.match(plain.body, /speaks plaintext/);
      const { certificate, key } = makeIdentity(await makeAuthority(), hello.node);
      const answer = await overTls(other.ip, { cert: certificate, key }, request);
      assert.match(answer, /^HTTP\/1\.1 502 .*peer_refused/s);
      assert.match(answer, /not of this mesh's CA/);
    });

    it('a pod cannot use the certificate of a daemon of another node', async () => {
      const request = `GET http://world.${namespace}/ HTTP/1.1\r\nHost: world.${namespace}\r\nConnection: close\r\n\r\n`;
      const stolen = await certificateOf(other);
      assert.match(new X509Certificate(stolen.cert).subjectAltName ?? '', new RegExp(`/node/${other.node}\\b`));
      for (const daemon of await cluster.daemons()) {
        const answer = await overTls(daemon.ip, stolen, request);
        assert.match(answer, /^HTTP\/1\.1 502 .*peer_refused/s, daemon.node);
        assert.match(answer, new RegExp(`is of node ${other.node}, but \\S+ is an address of node ${hello.node}`));
      }
    });

    it('a pod cannot reach metadata or kubelets through :4140, and by loopback names itself alone', async () => {
      for (const url of [
        'http://169.254.169.254/latest/meta-data/',
        `http://${other.ip}:10250/pods`,
        `http://${other.ip}:10255/pods`,
      ]) {
        const { status, fields } = await rawRequest(from(), proxiedGet(url));
        assert.deepEqual([status, fields['l5d-err']], [403, 'egress_refused'], url);
      }
      // The pod's own address, where nothing listens on the admin port, and not the daemon's.
      const { status, fields } = await rawRequest(from(), proxiedGet('http://127.0.0.1:9990/metrics'));
      assert.deepEqual([status, fields['l5d-err']], [502, 'connect_failed']);
    });

    /** What the incoming router at an address answers hello over TLS. */
    function overTls(ip: string, mine: { cert: string; key: string }, request: string): Promise<string> {
      return inPod(
        namespace,
        hello.name,
        `import { connect } from 'node:tls';
         const mine = ${JSON.stringify(mine)};
         const socket = connect({ host: '${ip}', port: ${INCOMING}, ...mine, rejectUnauthorized: false });
         socket.setTimeout(10_000, () => socket.destroy(new Error('no answer in 10 s')));
         socket.setEncoding('latin1').on('data', (part) => process.stdout.write(part));
         socket.write(${JSON.stringify(request)});`,
      );
    }
  });
}

/** A good certificate of a daemon's node, got as that daemon gets its own: by a token that is bound to its pod. */
async function certificateOf(daemon: Pod): Promise<{ cert: string; key: string }> {
  const account = `/api/v1/namespaces/${MESH}/serviceaccounts/nodemesh-daemon/token`;
  const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: daemon.name };
  const asked = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { boundObjectRef } };
  const { status } = JSON.parse(await kubectl(['create', '--raw', account, '-f', '-'], JSON.stringify(asked)));
  const { clusters } = JSON.parse(await kubectl(['config', 'view', '--raw', '--minify', '--flatten', '-o', 'json']));
  const directory = await mkdtemp(join(tmpdir(), 'nodemesh-e2e-'));
  try {
    const kubeconfig = join(directory, 'kubeconfig');
    const context = { name: 'daemon', context: { cluster: clusters[0].name, user: 'daemon' } };
    const user = { name: 'daemon', user: { token: status.token } };
    const config = { apiVersion: 'v1', kind: 'Config', clusters, contexts: [context], users: [user] };
    await writeFile(kubeconfig, JSON.stringify({ ...config, 'current-context': 'daemon' }), { mode: 0o600 });
    const keys = makeKeys();
    const request = createCertificateRequest(keys, { commonName: 'copied', uri: nodeId(TRUST_DOMAIN, daemon.node) });
    const name = `copied-${Date.now().toString(36)}`;
    const body = {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      metadata: { name },
      spec: {
        request: Buffer.from(request).toString('base64'),
        signerName: 'nodemesh.dev/daemon',
        usages: ['digital signature', 'client auth', 'server auth'],
      },
    };
    const path = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
    await kubectl(['--kubeconfig', kubeconfig, 'create', '--raw', path, '-f', '-'], JSON.stringify(body));
    const signed = await until(
      async () =>
        JSON.parse(await kubectl(['get', 'csr', name, '-o', 'json'])).status.certificate as string | undefined,
      (certificate) => certificate !== undefined,
    );
    const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    return { cert: Buffer.from(signed ?? '', 'base64').toString(), key };
  } finally {
    await rm(directory, { recursive: true });
  }
}
