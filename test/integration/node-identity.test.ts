import assert from 'node:assert/strict';
import { randomUUID, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { parse } from 'yaml';
import { KubernetesIdentity } from '../../daemon/identity/kubernetes-identity.ts';
import { CA_CONFIG_MAP, splitBundle } from '../../lib/certificates/node-identity.ts';
import { loadKubernetesApi } from '../../lib/kubernetes/client.ts';
import type { KubernetesApi } from '../../lib/kubernetes/types.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { Readiness } from '../../lib/readiness.ts';
import { MemoryKubernetes } from '../../scripts/playground/kubernetes-api/memory-kubernetes.ts';
import { type CertificateSet, createAuthority, createServingCertificate } from '../../webhook/certificate-authority.ts';
import { NodeSigner } from '../../webhook/node-signer.ts';
import { metricValue } from '../support/daemon.ts';
import { until } from '../support/mesh.ts';

const HOUR_MS = 3_600_000;
const REQUESTS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';

describe("a daemon's identity", () => {
  const log = createLog('test', 'silent');
  let kubernetes: MemoryKubernetes;
  let dir: string;
  let authority: CertificateSet;
  /** The wall clock of daemon and signer. */
  let clock: number;
  let stops: (() => Promise<void>)[];

  const api = async (name: string, pod?: Parameters<MemoryKubernetes['kubeconfig']>[0]): Promise<KubernetesApi> => {
    await writeFile(join(dir, name), kubernetes.kubeconfig(pod));
    return loadKubernetesApi({ env: { KUBECONFIG: join(dir, name) }, log });
  };
  const startSigner = async () => {
    const signer = new NodeSigner({
      api: await api(randomUUID()),
      namespace: 'nodemesh',
      trustDomain: 'cluster.local',
      authority: () => authority,
      metrics: new MetricsRegistry(),
      log,
      now: () => clock,
      random: Math.random,
    });
    stops.push(() => signer.stop());
    signer.start();
    return signer;
  };
  /** The daemon of a node, with the token of a pod that runs on `podNode`. */
  const startDaemon = async (nodeName: string, podNode = nodeName) => {
    const [namespace, serviceAccount, pod] = ['nodemesh', 'nodemesh-daemon', `daemon-${podNode}`];
    await kubernetes.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: podNode } });
    const spec = { nodeName: podNode, containers: [{ name: 'daemon', image: 'daemon' }] };
    const stored = await kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name: pod },
      spec,
    });
    const readiness = new Readiness();
    const metrics = new MetricsRegistry();
    const daemonApi = await api(pod, { namespace, serviceAccount, pod, podUid: stored.metadata.uid ?? '' });
    const identity = new KubernetesIdentity({
      loadApi: async () => daemonApi,
      nodeName,
      namespace,
      trustDomain: 'cluster.local',
      readiness,
      metrics,
      log,
      now: () => performance.now(),
      wallClock: () => clock,
      random: Math.random,
    });
    stops.push(() => identity.stop());
    identity.start();
    return { identity, readiness, metrics };
  };
  const newAuthority = async () => createServingCertificate(await createAuthority(clock), ['nodemesh-webhook'], clock);

  beforeEach(async () => {
    clock = Date.now();
    stops = [];
    dir = await mkdtemp(join(tmpdir(), 'nodemesh-identity-'));
    kubernetes = await MemoryKubernetes.start();
    await kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'nodemesh' } });
    authority = await newAuthority();
  });
  afterEach(async () => {
    await Promise.all(stops.map((stop) => stop()));
    await kubernetes.stop();
    await rm(dir, { recursive: true });
  });

  test('it is renewed at two thirds of its life by wall clock, and never before', async () => {
    await startSigner();
    const { identity, readiness } = await startDaemon('node-1');
    await readiness.whenReady();
    const first = identity.current?.certificate;
    const life = Date.parse(new X509Certificate(first ?? '').validTo) - clock;
    assert.ok(Math.abs(life - 24 * HOUR_MS) < 5_000);
    const renewed = new Promise<void>((resolve) => identity.onChange(resolve));
    clock += 15.9 * HOUR_MS;
    identity.check();
    for (let i = 0; i < 10; i += 1) await fetch(`${kubernetes.url}/readyz`);
    assert.equal(kubernetes.list(REQUESTS).length, 1);
    clock += 0.2 * HOUR_MS;
    identity.check();
    await renewed;
    assert.notEqual(identity.current?.certificate, first);
    assert.equal(kubernetes.list(REQUESTS).length, 2);
  });

  test('while nobody signs, the last one stays in force; once it has ended, the daemon is not ready and says why', async () => {
    const signer = await startSigner();
    const { identity, readiness } = await startDaemon('node-1');
    await readiness.whenReady();
    const first = identity.current;
    await signer.stop();
    await kubernetes.goDown();
    clock += 20 * HOUR_MS;
    identity.check();
    await turn();
    assert.equal(identity.current, first);
    assert.ok(readiness.ready);
    clock += 5 * HOUR_MS;
    await until(
      async () => {
        identity.check();
        return turn();
      },
      () => !readiness.ready,
    );
    assert.equal(identity.current, first);
    assert.match(readiness.pending()[0] ?? '', /^identity: /);
    await kubernetes.comeUp();
    await startSigner();
    await until(
      async () => {
        identity.check();
        return turn();
      },
      () => readiness.ready,
    );
    assert.notEqual(identity.current?.certificate, first?.certificate);
  });

  test('while nobody signs, the alerts come before anything breaks', async () => {
    const signer = await startSigner();
    const { identity, readiness, metrics } = await startDaemon('node-1');
    await readiness.whenReady();
    await signer.stop();
    await kubernetes.goDown();
    const file = new URL('../../manifests/monitoring/daemon-rules.yaml', import.meta.url);
    const rules: { alert: string; expr: string }[] = parse(readFileSync(file, 'utf8')).spec.groups[0].rules;
    const firing = () => {
      const value = metricValue(metrics.render(), 'identity_expiry_seconds');
      return rules.flatMap(({ alert, expr }) => {
        const [, limit = ''] = /identity_expiry_seconds\{.*\}\) < ([\d* ]+)$/.exec(expr) ?? [];
        const seconds = limit.split('*').reduce((product, factor) => product * Number(factor), 1);
        return limit !== '' && value < seconds ? [alert] : [];
      });
    };
    const [ends, ended] = ['NodemeshDaemonCertificateEnds', 'NodemeshDaemonCertificateEnded'];
    const started = clock;
    for (const [hours, expected] of [
      [15.9, []], // never in a mesh that is well: it is renewed at 16
      [17, []], // an hour without a signer
      [18.1, [ends]],
      [23.1, [ends, ended]],
    ] as const) {
      clock = started + hours * HOUR_MS;
      identity.check();
      await turn();
      assert.deepEqual(firing(), expected, `after ${hours} hours`);
      assert.ok(readiness.ready && identity.current !== undefined);
    }
    await kubernetes.comeUp();
    await startSigner();
    await until(
      async () => {
        identity.check();
        return turn();
      },
      () => firing().length === 0,
    );
  });

  test('a daemon whose node is deleted gets no further certificate, though its pod is still there', async () => {
    await startSigner();
    const { identity, readiness } = await startDaemon('node-1');
    await readiness.whenReady();
    const first = identity.current;
    await kubernetes.remove('/api/v1/nodes/node-1');
    clock += 25 * HOUR_MS;
    identity.check();
    await until(turn, () => /Denied: there is no node node-1/.test(readiness.pending()[0] ?? ''));
    assert.equal(identity.current, first);
  });

  test('a daemon whose pod runs on another node gets none, and says why', async () => {
    await startSigner();
    const { identity, readiness } = await startDaemon('node-1', 'node-2');
    await until(turn, () =>
      /Denied: it asks for node node-1, and its pod daemon-node-2 runs/.test(readiness.pending()[0] ?? ''),
    );
    assert.equal(identity.current, undefined);
  });

  test('replicas that sign side by side give each request one certificate', async () => {
    await Promise.all([startSigner(), startSigner(), startSigner()]);
    const daemons = await Promise.all(['a', 'b', 'c', 'd'].map((node) => startDaemon(node)));
    await Promise.all(daemons.map(({ readiness }) => readiness.whenReady()));
    const requests = kubernetes.list(REQUESTS) as unknown as { status: { conditions: { type: string }[] } }[];
    assert.equal(requests.length, 4);
    for (const { status } of requests)
      assert.deepEqual(
        status.conditions.map(({ type }) => type),
        ['Approved'],
      );
  });

  test('another CA is put before the one it follows, and those that have ended are dropped', async () => {
    const signer = await startSigner();
    const { identity, readiness } = await startDaemon('node-1');
    await readiness.whenReady();
    const old = authority['ca.crt'];
    const first = identity.current?.certificate;
    authority = await newAuthority();
    signer.check();
    await until(turn, () => identity.current?.authorities.length === 2);
    const waiting = splitBundle(old + authority['ca.crt']);
    assert.deepEqual(identity.current?.authorities, waiting, 'the new one waits behind the old one');
    // A daemon that comes meanwhile waits too: whoever it speaks to may not know the new CA yet.
    const late = await startDaemon('node-2');
    await until(turn, () => kubernetes.list(REQUESTS).length === 2);
    clock += 19_000;
    signer.check();
    for (let i = 0; i < 20; i += 1) await fetch(`${kubernetes.url}/readyz`);
    assert.deepEqual([identity.current?.certificate, identity.current?.authorities], [first, waiting]);
    assert.equal(late.identity.current, undefined);
    clock += 2_000;
    signer.check();
    const current = new X509Certificate(authority['ca.crt']);
    await until(turn, () => new X509Certificate(identity.current?.certificate ?? '').verify(current.publicKey));
    assert.deepEqual(identity.current?.authorities, splitBundle(authority['ca.crt'] + old));
    clock += 3651 * 24 * HOUR_MS;
    authority = await newAuthority();
    signer.check();
    const bundle = () => {
      const map = kubernetes.get(`/api/v1/namespaces/nodemesh/configmaps/${CA_CONFIG_MAP}`);
      return splitBundle((map as unknown as { data?: Record<string, string> } | undefined)?.data?.['ca.crt'] ?? '');
    };
    await until(turn, () => bundle().length === 1);
  });
});

/** Lets everything else go on for a moment. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
