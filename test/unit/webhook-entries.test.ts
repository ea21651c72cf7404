import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { applyPatch, type Operation } from 'rfc6902';
import { parse } from 'yaml';
import { type LabelSelector, matchesLabels } from '../../scripts/playground/kubernetes-api/selectors.ts';
import { mutate } from '../../webhook/mutation.ts';
import { evaluateCel } from '../support/cel.ts';

/** The entries of the MutatingWebhookConfiguration against every pod that they can tell from others. */

const MANIFESTS = new URL('../../manifests/', import.meta.url);
const PATH_ENABLED = '/mutate';

interface Entry {
  readonly name: string;
  readonly clientConfig: { readonly service: { readonly path: string } };
  readonly namespaceSelector: LabelSelector;
  readonly objectSelector: LabelSelector;
  readonly matchConditions?: readonly { readonly name: string; readonly expression: string }[];
}
interface Pod {
  readonly metadata: { readonly labels?: Record<string, string>; readonly annotations?: Record<string, string> };
  readonly spec: { readonly containers: readonly object[]; readonly hostNetwork?: boolean };
}

function entries(withConditions: boolean): readonly Entry[] {
  const read = (file: string) => parse(readFileSync(new URL(file, MANIFESTS), 'utf8'));
  const configuration = JSON.parse(JSON.stringify(read('base/webhook/mutating-webhook-configuration.yaml')));
  if (withConditions) {
    const failures = applyPatch(configuration, read('overlays/match-conditions/entries.yaml') as Operation[]);
    assert.deepEqual(
      failures.filter((failure) => failure !== null),
      [],
    );
  }
  return configuration.webhooks;
}

function matching(all: readonly Entry[], namespace: Record<string, string>, pod: Pod, operation = 'CREATE'): Entry[] {
  return all.filter(
    ({ namespaceSelector, objectSelector, matchConditions = [] }) =>
      matchesLabels(namespaceSelector, namespace) &&
      matchesLabels(objectSelector, pod.metadata.labels) &&
      matchConditions.every(({ expression }) => evaluateCel(expression, { object: pod, request: { operation } })),
  );
}

const STATUS = '{"version":1,"containers":[{"name":"app","env":["http_proxy"]}]}';
const WISHES = [undefined, 'enabled', 'disabled', 'yes'];
const present = (key: string, value: string | undefined) => (value === undefined ? {} : { [key]: value });

const NAMESPACES = ['shop', 'nodemesh', 'kube-system', 'kube-public', 'kube-node-lease'].flatMap((name) =>
  WISHES.map((wish) => ({ name, labels: { 'kubernetes.io/metadata.name': name, ...present('mesh-inject', wish) } })),
);
const proxied = { name: 'app', env: [{ name: 'http_proxy', value: 'http://$(NODE_NAME):4140' }] };
const CONTAINERS = [[{ name: 'app' }], [proxied], [proxied, { name: 'late', env: [{ name: 'A' }] }]];
const PODS: readonly Pod[] = WISHES.flatMap((label) =>
  WISHES.flatMap((annotation) =>
    [undefined, false, true].flatMap((hostNetwork) =>
      [undefined, 'nodemesh.dev/status', 'kubernetes.io/config.mirror'].flatMap((mark) =>
        CONTAINERS.flatMap((containers) =>
          [undefined, 'nodemesh'].map((app) => ({
            metadata: {
              labels: { ...present('mesh-inject', label), ...present('app.kubernetes.io/name', app) },
              annotations: { ...present('mesh-inject', annotation), ...(mark === undefined ? {} : { [mark]: STATUS }) },
            },
            spec: { containers, ...(hostNetwork === undefined ? {} : { hostNetwork }) },
          })),
        ),
      ),
    ),
  ),
);
const BARE: Pod = { metadata: {}, spec: { containers: [{ name: 'app' }] } };

function isOwn(namespace: string, pod: Pod): boolean {
  return namespace === 'nodemesh' || pod.metadata.labels?.['app.kubernetes.io/name'] === 'nodemesh';
}

/** What the webhook does with a pod that an entry sends it. */
function isChanged(namespace: (typeof NAMESPACES)[number], pod: Pod): boolean {
  const request = {
    apiVersion: 'admission.k8s.io/v1',
    uid: 'u',
    kind: '/v1/Pod',
    subResource: '',
    operation: 'CREATE',
    namespace: namespace.name,
    dryRun: false,
    object: pod,
    oldObject: null,
  };
  const { patch } = mutate(request, {
    ownNamespace: 'nodemesh',
    namespaceEnabled: (namespace.labels as Record<string, string>)['mesh-inject'] === 'enabled',
    settings: {
      proxyAddress: { by: 'nodeName' },
      proxyPort: 4140,
      clusterDomain: 'cluster.local',
      namespaceInProxyUrl: false,
      envFrom: 'inject',
    },
  });
  return patch.length > 0;
}

for (const withConditions of [false, true]) {
  const all = entries(withConditions);
  const title = withConditions ? 'entries with matchConditions' : 'entries';

  test(`${title}: every pod matches one or none, by its namespace's label, and a pod of the mesh or of kube-* none`, () => {
    assert.equal(all.length, 2);
    let matched = 0;
    for (const namespace of NAMESPACES) {
      for (const pod of [BARE, ...PODS]) {
        const found = matching(all, namespace.labels, pod);
        const what = JSON.stringify([namespace, pod]);
        assert.ok(found.length <= 1, what);
        if (namespace.name !== 'shop' || isOwn(namespace.name, pod)) assert.deepEqual(found, [], what);
        if (found.length === 0) continue;
        matched += 1;
        const enabled = (namespace.labels as Record<string, string>)['mesh-inject'] === 'enabled';
        assert.equal(found[0]?.clientConfig.service.path === PATH_ENABLED, enabled, what);
      }
    }
    assert.ok(matched > 100);
  });

  test(`${title}: keep no pod back that the webhook would change`, () => {
    for (const namespace of NAMESPACES.filter(({ name }) => name === 'shop')) {
      for (const pod of [BARE, ...PODS].filter((one) => !isOwn(namespace.name, one))) {
        const labelled = (namespace.labels as Record<string, string>)['mesh-inject'] === 'enabled';
        // Selectors see labels alone: in other namespaces an annotation asks in vain without conditions.
        if (!withConditions && !labelled && pod.metadata.labels?.['mesh-inject'] !== 'enabled') continue;
        if (!isChanged(namespace, pod)) continue;
        assert.equal(matching(all, namespace.labels, pod).length, 1, JSON.stringify([namespace, pod]));
      }
    }
  });
}

test('entries with matchConditions: send no pod that opted out, is on the host network, mirrored, or has its proxy', () => {
  const all = entries(true);
  for (const { labels } of NAMESPACES) {
    for (const pod of PODS) {
      const { annotations = {}, labels: own = {} } = pod.metadata;
      const done = 'nodemesh.dev/status' in annotations && pod.spec.containers.every((one) => one === proxied);
      const idle =
        annotations['mesh-inject'] === 'disabled' ||
        (own['mesh-inject'] === 'disabled' && annotations['mesh-inject'] !== 'enabled') ||
        pod.spec.hostNetwork === true ||
        'kubernetes.io/config.mirror' in annotations ||
        done;
      if (idle) assert.deepEqual(matching(all, labels, pod), [], JSON.stringify([labels, pod]));
    }
  }
});

test('entries with matchConditions: debug containers are sent for injected pods alone', () => {
  const all = entries(true);
  const labels = { 'mesh-inject': 'enabled', 'kubernetes.io/metadata.name': 'shop' };
  assert.equal(matching(all, labels, BARE, 'UPDATE').length, 0);
  const injected: Pod = {
    metadata: { annotations: { 'nodemesh.dev/status': STATUS } },
    spec: { containers: [proxied] },
  };
  assert.equal(matching(all, labels, injected, 'UPDATE').length, 1);
});

test('CEL as tested here: a field that is not there is an error, has() asks for it', () => {
  const variables = { object: { metadata: { a: 1 }, list: [{ b: 'x' }] }, request: {} };
  assert.throws(() => evaluateCel('object.spec.x', variables), /no such key: spec/);
  assert.equal(evaluateCel('has(object.spec)', variables), false);
  assert.equal(evaluateCel("object.list.all(c, has(c.b) && c.b == 'x')", variables), true);
  assert.equal(evaluateCel("object.list.exists(c, c.b != 'x')", variables), false);
});
