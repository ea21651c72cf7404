import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { type Cluster, MANIFESTS } from './cluster.ts';
import { eventually, kubectl } from './kubectl.ts';

const CONFIGURATION = 'mutatingwebhookconfiguration/nodemesh';
const REPAIR_TIMEOUT_MS = 10_000;

const OVERLAYS = ['host-port', 'node-name', 'host-ip', 'cert-manager', 'match-conditions', 'admission-policy'];
const MATCH_CONDITIONS = 'mutatingwebhookconfigurations.webhooks.matchConditions';

interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

interface VersionedObject extends KubernetesObject {
  readonly metadata: { readonly name: string; readonly generation?: number; readonly resourceVersion: string };
}

/** The manifests against a real API server, and what becomes of what the webhook wrote into them. */
export function manifestsSuite(cluster: Cluster, namespace: string): void {
  describe('the manifests', () => {
    it('are accepted by the server in a dry run', async () => {
      await kubectl(['apply', '--dry-run=server', '-k', MANIFESTS]);
      await kubectl(['apply', '--dry-run=server', '-f', `${MANIFESTS}nodemesh.yaml`]);
      const budget = await readFile(`${MANIFESTS}base/webhook/pod-disruption-budget.yaml`, 'utf8');
      const versions = (await kubectl(['api-versions'])).split('\n');
      // As the file itself says it for older servers.
      const served = versions.includes('policy/v1')
        ? budget
        : budget.replace(/^apiVersion: policy\/v1$/m, 'apiVersion: policy/v1beta1');
      const known = (await isField('poddisruptionbudgets.spec.unhealthyPodEvictionPolicy'))
        ? served
        : served.replace(/^.*unhealthyPodEvictionPolicy: .*\n/m, '');
      await kubectl(['apply', '--dry-run=server', '-f', '-'], known);
    });

    for (const overlay of OVERLAYS) {
      it(`of overlay ${overlay} are accepted by the server in a dry run, as far as it knows their kinds`, async (t) => {
        if (overlay === 'match-conditions' && !(await isField(MATCH_CONDITIONS))) {
          return t.skip(`the server has no ${MATCH_CONDITIONS}`);
        }
        const served = await servedKinds();
        const text = await kubectl(['kustomize', `${MANIFESTS}overlays/${overlay}`]);
        const items = parseAllDocuments(text).map((document): KubernetesObject => document.toJS());
        const kindOf = ({ apiVersion, kind }: KubernetesObject) => `${apiVersion} ${kind}`;
        for (const unknown of new Set(items.map(kindOf).filter((kind) => !served.has(kind)))) {
          t.diagnostic(`not tried: the server has no ${unknown}`);
        }
        const known = items.filter((item) => served.has(kindOf(item)));
        const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: known });
        await kubectl(['apply', '--dry-run=server', '-f', '-'], list);
      });
    }

    it('are in nodemesh.yaml what kubectl makes of the kustomization', async () => {
      const objects = (text: string) =>
        parseAllDocuments(text)
          .map((document): KubernetesObject => document.toJS())
          .sort((a, b) => identity(a).localeCompare(identity(b)));
      const rendered = await kubectl(['kustomize', MANIFESTS]);
      assert.deepEqual(objects(await readFile(`${MANIFESTS}nodemesh.yaml`, 'utf8')), objects(rendered));
    });

    it('change nothing when they are applied again, and leave caBundle working', async () => {
      const before = await caBundles();
      assert.ok(before.length > 0 && before.every((bundle) => bundle !== ''), 'a caBundle is missing');
      const versions = await versionsOf(cluster);
      await cluster.apply();
      assert.deepEqual(await versionsOf(cluster), versions);
      assert.deepEqual(await caBundles(), before);
      assert.ok(await isInjected(namespace));
    });

    it("inject pods of labelled namespaces, and of others by their own label, which wins over the namespace's", async () => {
      assert.equal(await isInjected('default'), false);
      assert.equal(await isInjected('default', { labels: { 'mesh-inject': 'enabled' } }), true);
      assert.equal(await isInjected(namespace), true);
      for (const where of ['labels', 'annotations']) {
        assert.equal(await isInjected(namespace, { [where]: { 'mesh-inject': 'disabled' } }), false);
      }
    });

    it('get their caBundle back when it is wiped', async () => {
      const before = await caBundles();
      const wipe = before.map((_, index) => ({ op: 'remove', path: `/webhooks/${index}/clientConfig/caBundle` }));
      await kubectl(['patch', CONFIGURATION, '--type=json', '-p', JSON.stringify(wipe)]);
      await eventually('caBundle is back in every entry', REPAIR_TIMEOUT_MS, async () =>
        JSON.stringify(await caBundles()) === JSON.stringify(before) ? true : undefined,
      );
      // The API server reads its own configuration through a watch, a moment later.
      await eventually('a new pod is injected', REPAIR_TIMEOUT_MS, async () =>
        (await isInjected(namespace)) ? true : undefined,
      );
    });
  });
}

/** What changes when an object does: its generation, which its status does not touch, or where it has none, its version. */
async function versionsOf(cluster: Cluster): Promise<Record<string, string>> {
  const list: { readonly items: readonly VersionedObject[] } = JSON.parse(
    await kubectl(['get', '-k', cluster.kustomization, '-o', 'json']),
  );
  return Object.fromEntries(
    list.items.map((object) => {
      const { generation, resourceVersion } = object.metadata;
      return [identity(object), generation === undefined ? `version ${resourceVersion}` : `generation ${generation}`];
    }),
  );
}

/** `apps/v1 Deployment`, … */
async function servedKinds(): Promise<ReadonlySet<string>> {
  const lines = (await kubectl(['api-resources', '--no-headers'])).trim().split('\n');
  return new Set(
    lines.map((line) => {
      const [apiVersion, , kind] = line.trim().split(/\s+/).slice(-3);
      return `${apiVersion} ${kind}`;
    }),
  );
}

function isField(path: string): Promise<boolean> {
  return kubectl(['explain', path]).then(
    () => true,
    () => false,
  );
}

function identity({ kind, metadata }: KubernetesObject): string {
  return `${kind} ${metadata.name}`;
}

/** One for each entry; empty where it has none. */
async function caBundles(): Promise<string[]> {
  const format = '{range .webhooks[*]}{.clientConfig.caBundle}{"\\n"}{end}';
  return (await kubectl(['get', CONFIGURATION, '-o', `jsonpath=${format}`])).split('\n').slice(0, -1);
}

/** Whether a pod that is created now (in a dry run, which admission takes part in) gets the proxy. */
async function isInjected(namespace: string, metadata: object = {}): Promise<boolean> {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, name: 'probe' },
    spec: { containers: [{ name: 'probe', image: 'probe' }] },
  };
  const created = await kubectl(
    ['-n', namespace, 'create', '--dry-run=server', '-o', 'yaml', '-f', '-'],
    JSON.stringify(pod),
  );
  return created.includes('name: http_proxy');
}
