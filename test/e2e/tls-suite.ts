import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { makeAuthority, makeIdentity } from '../support/identity.ts';
import { capture, serverHellos, tcpPayloads } from './capture.ts';
import type { Cluster } from './cluster.ts';
import { inPod, type Pod, pods } from './kubectl.ts';
import { proxiedGet, rawRequest } from './raw-request.ts';

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
      const answer = await inPod(
        namespace,
        hello.name,
        `import { connect } from 'node:tls';
         const mine = ${JSON.stringify({ cert: certificate, key })};
         const socket = connect({ host: '${other.ip}', port: ${INCOMING}, ...mine, rejectUnauthorized: false });
         socket.setTimeout(10_000, () => socket.destroy(new Error('no answer in 10 s')));
         socket.setEncoding('latin1').on('data', (part) => process.stdout.write(part));
         socket.write(${JSON.stringify(request)});`,
      );
      assert.match(answer, /^HTTP\/1\.1 502 .*peer_refused/s);
      assert.match(answer, /not of this mesh's CA/);
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
  });
}
