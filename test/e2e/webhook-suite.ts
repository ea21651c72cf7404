import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Cluster } from './cluster.ts';
import { eventually, inPod, kubectl, pods, rolledOut } from './kubectl.ts';
import { PodCreations } from './pod-creations.ts';

const MESH = 'nodemesh';
const CONFIGURATION = 'mutatingwebhookconfiguration/nodemesh';
const WEBHOOK = 'app.kubernetes.io/component=webhook';
const SECRET = 'secret/nodemesh-webhook-tls';
const EVENT_TIMEOUT_MS = 15_000;
const START_TIMEOUT_MS = 60_000;
const REPAIR_MS = 2_000;
const CREATIONS_PER_SECOND = 200;
const CHAOS_CREATIONS_PER_SECOND = 50;

interface ReplicaSet {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: { readonly replicas: number };
}
interface Event {
  readonly message: string;
  readonly count: number;
}

/** The webhook as only a real API server shows it. */
export function webhookSuite(cluster: Cluster, namespace: string): void {
  describe('the webhook', () => {
    const { kubeconfig, chaosSeconds } = cluster.settings;
    after(() => setFailurePolicy('Ignore'));

    it('gives a pod that opts in by label in another namespace a proxy that works', async () => {
      const name = `opted-in-${Date.now().toString(36)}`;
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, labels: { 'mesh-inject': 'enabled' } },
        spec: {
          terminationGracePeriodSeconds: 0,
          containers: [
            { name: 'app', image: cluster.settings.image, command: ['node', '-e', 'setInterval(() => {}, 60000)'] },
          ],
        },
      };
      await kubectl(['-n', 'default', 'create', '-f', '-'], JSON.stringify(pod));
      try {
        await kubectl(['-n', 'default', 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s']);
        const source = `import { Agent, get } from 'node:http';
          const agent = new Agent({ proxyEnv: process.env });
          get('http://world.${namespace}/', { agent }, (answer) => answer.pipe(process.stdout));`;
        const greeting = await eventually('a greeting through the mesh', START_TIMEOUT_MS, async () => {
          const text = await inPod('default', name, source);
          return text.startsWith('world') ? text : undefined;
        });
        assert.match(greeting, /^world \(/);
      } finally {
        await kubectl(['-n', 'default', 'delete', 'pod', name, '--wait=false']);
      }
    });

    it('tells controllers in Events what became of their pods, and tells nothing of a dry run', async () => {
      const list = await kubectl(['-n', namespace, 'get', 'replicasets', '-l', 'app=hello', '-o', 'json']);
      const owner = (JSON.parse(list).items as ReplicaSet[]).find(({ status }) => status.replicas > 0)?.metadata;
      assert.ok(owner, 'no ReplicaSet of hello has pods');
      const told = async (): Promise<Event[]> => {
        const selector = `involvedObject.uid=${owner.uid},source=nodemesh-webhook`;
        return JSON.parse(await kubectl(['-n', namespace, 'get', 'events', '--field-selector', selector, '-o', 'json']))
          .items;
      };
      await eventually('an Event on the ReplicaSet', EVENT_TIMEOUT_MS, async () =>
        (await told()).some(({ message }) => message.includes('proxy was given to')) ? true : undefined,
      );
      const create = (word: string, ...options: string[]) => {
        const pod = {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: {
            name: `owned-${word}`,
            annotations: { 'nodemesh.dev/skip-containers': word },
            ownerReferences: [
              { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: owner.name, uid: owner.uid, controller: true },
            ],
          },
          spec: { nodeName: 'nowhere', containers: [{ name: 'app', image: 'app' }] },
        };
        return kubectl(['-n', namespace, 'create', '-f', '-', ...options], JSON.stringify(pod));
      };
      await create('rehearsal', '--dry-run=server');
      await create('performance');
      try {
        const events = await eventually('an Event for the second pod', EVENT_TIMEOUT_MS, async () => {
          const all = await told();
          return all.some(({ message }) => message.includes('"performance"')) ? all : undefined;
        });
        assert.ok(!events.some(({ message }) => message.includes('"rehearsal"')));
      } finally {
        await kubectl([
          '-n',
          namespace,
          'delete',
          'pod',
          'owned-performance',
          '--ignore-not-found',
          '--force',
          '--grace-period=0',
        ]);
      }
    });

    it('owns caBundle and nothing else, so that whoever applies the rest gets no conflict', async () => {
      const configuration = JSON.parse(await kubectl(['get', CONFIGURATION, '-o', 'json', '--show-managed-fields']));
      const own = configuration.metadata.managedFields.filter(
        ({ manager }: { manager: string }) => manager === 'nodemesh-webhook',
      );
      assert.deepEqual(
        own.map(({ operation }: { operation: string }) => operation),
        ['Apply'],
      );
      for (const fields of Object.values<Record<string, object>>(own[0].fieldsV1['f:webhooks'])) {
        const { '.': _itself, 'f:name': _name, ...rest } = fields;
        assert.deepEqual(Object.keys(rest), ['f:clientConfig']);
        assert.match(JSON.stringify(rest), /^\{"f:clientConfig":\{("\.":\{\},)?"f:caBundle":\{\}\}\}$/);
      }
      await cluster.apply('--server-side', '--field-manager=somebody-else', '--dry-run=server');
    });

    it('has a wiped caBundle back within two seconds, however often', async () => {
      for (let i = 0; i < 5; i += 1) {
        await wipe();
        await eventually('caBundle is back in every entry', REPAIR_MS, async () =>
          (await bundles()).every((bundle) => bundle !== '') ? true : undefined,
        );
      }
    });

    it('fails no pod while its replicas are restarted one by one, were it even to fail those that it does not answer', async () => {
      await setFailurePolicy('Fail');
      const creations = new PodCreations(kubeconfig, namespace, CREATIONS_PER_SECOND);
      try {
        await kubectl(['-n', MESH, 'rollout', 'restart', 'deployment/nodemesh-webhook']);
        await rolledOut(MESH, 'deployment/nodemesh-webhook');
        await delay(15_000); // the last of the old ones drains
      } finally {
        const failures = await creations.stop();
        await setFailurePolicy('Ignore');
        assert.deepEqual(failures, []);
      }
      assert.equal(creations.bare, 0);
      assert.ok(creations.injected > 1_000, `only ${creations.injected} pods`);
    });

    it('fails no pod whatever new certificates, wiped bundles and killed replicas come', {
      skip: chaosSeconds === 0 ? 'NODEMESH_E2E_CHAOS_SECONDS is 0' : false,
    }, async (t) => {
      const creations = new PodCreations(kubeconfig, namespace, CHAOS_CREATIONS_PER_SECOND);
      const end = Date.now() + 1_000 * chaosSeconds;
      const every = async (ms: number, act: (round: number) => Promise<unknown>) => {
        for (let round = 1; Date.now() < end; round += 1) {
          await Promise.all([act(round).catch((error: unknown) => t.diagnostic(String(error))), delay(ms)]);
        }
      };
      await Promise.all([
        every(5_000, (round) => renew(round % 6 === 0 ? 'ca' : 'serving')),
        every(2_000, wipe),
        every(15_000, async () => {
          const all = await pods(MESH, WEBHOOK);
          const victim = all[Math.floor(Math.random() * all.length)];
          const force = Math.random() < 0.5 ? ['--force', '--grace-period=0'] : [];
          if (victim !== undefined) await kubectl(['-n', MESH, 'delete', 'pod', victim.name, '--wait=false', ...force]);
        }),
      ]);
      const failures = await creations.stop();
      const share = creations.injected / creations.answered;
      t.diagnostic(`${creations.answered} pods created, ${(100 * share).toFixed(1)} % of them with their proxy`);
      assert.deepEqual(failures, []);
      assert.ok(creations.answered > (CHAOS_CREATIONS_PER_SECOND * chaosSeconds) / 2);
      assert.ok(share > 0.5, 'a bundle that is wiped is back long before the next wipe');
      await rolledOut(MESH, 'deployment/nodemesh-webhook');
      await eventually('pods are injected again', START_TIMEOUT_MS, async () => {
        const again = new PodCreations(kubeconfig, namespace, 10);
        await delay(2_000);
        await again.stop();
        return again.bare === 0 && again.injected > 0 ? true : undefined;
      });
    });
  });
}

/** One for each entry; empty where it has none. */
async function bundles(): Promise<string[]> {
  const format = '{range .webhooks[*]}{.clientConfig.caBundle}{"\\n"}{end}';
  return (await kubectl(['get', CONFIGURATION, '-o', `jsonpath=${format}`])).split('\n').slice(0, -1);
}

/** Takes caBundle out of every entry that has one. */
async function wipe(): Promise<void> {
  const present = await bundles();
  const patch = present.flatMap((bundle, i) =>
    bundle === '' ? [] : [{ op: 'remove', path: `/webhooks/${i}/clientConfig/caBundle` }],
  );
  await kubectl(['patch', CONFIGURATION, '--type=json', '-p', JSON.stringify(patch)]);
}

async function renew(what: 'serving' | 'ca'): Promise<void> {
  await kubectl(['-n', MESH, 'annotate', '--overwrite', SECRET, `nodemesh.dev/renew=${what}`]);
}

async function setFailurePolicy(policy: 'Ignore' | 'Fail'): Promise<void> {
  const patch = (await bundles()).map((_, i) => ({
    op: 'replace',
    path: `/webhooks/${i}/failurePolicy`,
    value: policy,
  }));
  await kubectl(['patch', CONFIGURATION, '--type=json', '-p', JSON.stringify(patch)]);
}
