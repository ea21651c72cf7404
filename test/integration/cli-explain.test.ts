import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodemesh } from '../support/cli.ts';
import { MeshCluster } from '../support/mesh-cluster.ts';

const pod = (extra = '', annotations = '{}') => `apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, annotations: ${annotations}}
spec:
${extra}  containers:
  - name: app
    env:
    - {name: PLACE, value: here}
    - {name: GREETING, value: "from $(PLACE), $(UNKNOWN), $$(http_proxy)"}
    - {name: TOKEN, valueFrom: {secretKeyRef: {name: tokens, key: api}}}
    envFrom:
    - configMapRef: {name: settings}
`;
const namespace = (labels: string) =>
  `---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: ${labels}}\n`;

async function explained(stdin: string, ...options: string[]): Promise<string> {
  const { status, out, err } = await nodemesh(['explain', '-f', '-', ...options], { stdin });
  assert.equal(err, '');
  assert.equal(status, 0);
  return out;
}

test('explain: a manifest, from the entry that is asked to the environment that a kubelet makes', async () => {
  const out = await explained(pod() + namespace('{mesh-inject: enabled}'), '--proxy-address', 'nodeName');
  assert.match(out, /^stdin:1:1: Pod\/web in namespace shop$/m);
  assert.match(out, /^ {5}namespaces\.nodemesh\.dev: asked, since/m);
  assert.match(out, /^ {5}pods\.nodemesh\.dev: not asked, since .* mesh-inject NotIn \[enabled\]$/m);
  assert.match(out, /^ {2}2\. The decision: inject\n {5}namespace_enabled: namespace shop has label/m);
  assert.match(out, /^ {5}warning: container "app" has envFrom/m);
  assert.match(out, /^ {5}\+ http_proxy=http:\/\/<spec\.nodeName>:4140$/m);
  assert.match(out, /^ {7}GREETING=from here, \$\(UNKNOWN\), \$\(http_proxy\)$/m);
  assert.match(out, /^ {7}TOKEN=<secretKeyRef tokens, key api>$/m);
  assert.match(out, /^ {7}and what envFrom brings: configMapRef settings$/m);
});

test('explain: every reason against, and the environment without the proxy', async () => {
  const out = await explained(
    pod('  hostNetwork: true\n', '{mesh-inject: disabled}') + namespace('{mesh-inject: enabled}'),
  );
  assert.match(out, /The decision: skip\n {5}host_network: .*\n {5}pod_disabled: /);
  assert.doesNotMatch(out, /\+ http_proxy/);
  assert.match(out, /GREETING=from here, /);
});

test('explain: a namespace whose manifest is not at hand is taken to be labelled, and the text says so', async () => {
  assert.match(await explained(pod()), /in namespace shop \(taken to be labelled mesh-inject=enabled: /);
  const out = await explained(pod() + namespace('{}'));
  assert.match(
    out,
    /namespaces\.nodemesh\.dev: not asked, since the namespace's labels do not fit mesh-inject In \[enabled\]/,
  );
  assert.match(out, /The decision: skip\n(.*\n)*? {5}not_enabled: /);
});

test('explain: an annotation asks in vain where no entry of the webhook sees it', async () => {
  const out = await explained(pod('', '{mesh-inject: enabled}') + namespace('{}'));
  assert.match(
    out,
    /The decision: skip\n {5}not_asked: .*; here the pod has to ask by label mesh-inject=enabled, an annotation is not seen\n/,
  );
  assert.doesNotMatch(out, /pod_enabled|\+ http_proxy/);
  assert.doesNotMatch(await explained(pod() + namespace('{}')), /has to ask by label/);
});

test('explain: what it cannot explain is an error', async () => {
  for (const [argv, stdin, status, message] of [
    [['-f', '-'], 'kind: Service\n', 1, /^-: there is no pod in it/],
    [['-f', '-'], 'a: [', 1, /^stdin:1:5: /],
    [[], '', 1, /explain wants one pod or workload/],
    [['a/b', '-f', '-'], '', 1, /explain wants one pod/],
    [['web'], '', 1, /name it as <namespace>\/<pod>, <kind>\/<name> or .*, not "web"; kinds are pod, deployment, /],
    [['shop/services/web'], '', 1, /not "shop\/services\/web"/],
    [['deploy/'], '', 1, /not "deploy\/"/],
    [['shop/web'], '', 1, /no Kubernetes API server is configured/],
  ] as const) {
    const outcome = await nodemesh(['explain', ...argv], { stdin });
    assert.deepEqual([outcome.status, outcome.out], [status, '']);
    assert.match(outcome.err, message);
  }
});

test('explain: a running pod has its node’s values; what is older than its namespace’s label is out of date', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.pod('shop', 'web', { node: 'node-2' });
  await cluster.pod('plain', 'old');
  await cluster.pod('plain', 'never');

  const web = await cluster.nodemesh(['explain', 'shop/web']);
  assert.deepEqual([web.status, web.err], [0, '']);
  assert.match(
    web.out,
    /^Pod shop\/web on node node-2, injected when it was created\nPolicies that select it: .*\n {2}1\./,
  );
  assert.match(web.out, /namespaces\.nodemesh\.dev: asked/);
  assert.match(web.out, /The decision: inject/);
  assert.match(
    web.out,
    /\+ NODE_NAME=node-2\n {5}\+ NODE_IP=10\.0\.0\.2\n {5}\+ http_proxy=http:\/\/10\.0\.0\.2:4140\n/,
  );
  assert.match(web.out, /\+ no_proxy=.*,10\.96\.0\.1,/);

  const never = await cluster.nodemesh(['explain', 'plain/never']);
  assert.match(never.out, /^Pod plain\/never on node node-1, not injected when it was created\nPolicies.*\n {2}1\./);
  assert.match(never.out, /The decision: skip\n(.*\n)*? {5}not_enabled: /);

  await cluster.namespace('plain', { 'mesh-inject': 'enabled' });
  const old = await cluster.nodemesh(['explain', 'plain/old']);
  assert.match(old.out, /^It is out of date: container app has no NODE_NAME; restart it/m);
  assert.match(old.out, /The decision: inject/);

  const missing = await cluster.nodemesh(['explain', 'shop/gone']);
  assert.deepEqual([missing.status, missing.err], [1, 'there is no pod shop/gone\n']);
});

test('explain: a workload has what its next pod gets, and how many of its pods are older', async (t) => {
  const cluster = await MeshCluster.start(t);
  const labels = { app: 'web' };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'app', image: 'app' }] } };
  const deployment = (namespace: string, name: string) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: { selector: { matchLabels: labels }, template },
  });
  await cluster.apply(deployment('plain', 'web'));
  await cluster.pod('plain', 'old', { labels });
  await cluster.pod('plain', 'other', { labels: { app: 'db' } });
  const explain = async (...argv: string[]) => {
    const { status, out, err } = await cluster.nodemesh(['explain', ...argv]);
    assert.deepEqual([status, err], [0, '']);
    return out;
  };
  const before = await explain('-n', 'plain', 'deploy/web');
  assert.match(before, /^The next pod of deployment plain\/web:\n {2}it has 1 pod, none out of date\n {2}1\./);
  assert.match(before, /The decision: skip\n(.*\n)*? {5}not_enabled: /);

  await cluster.namespace('plain', { 'mesh-inject': 'enabled' });
  await cluster.pod('plain', 'new', { labels });
  const after = await explain('plain/deployments/web');
  assert.match(after, /^ {2}it has 2 pods, 1 out of date: old; container app has no NODE_NAME; restart it/m);
  assert.match(after, /The decision: inject/);
  assert.match(after, /\+ http_proxy=http:\/\/<status\.hostIP>:4140/);
  assert.match(await explain('-n', 'plain', 'pod/new'), /^Pod plain\/new on node node-1, injected/);

  const gone = await cluster.nodemesh(['explain', 'ds/web']);
  assert.deepEqual([gone.status, gone.err], [1, 'there is no daemonset default/web\n']);
});

test('explain: the policies that select a pod, by direction', async (t) => {
  const cluster = await MeshCluster.start(t);
  const labels = { app: 'web' };
  await cluster.pod('shop', 'web', { labels });
  const line = async () =>
    /^Policies that select it.*$/m.exec((await cluster.nodemesh(['explain', 'shop/web'])).out)?.[0];
  assert.equal(await line(), 'Policies that select it: ingress none; egress none; requests none');
  const policy = (name: string, spec: object) =>
    cluster.apply({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name, namespace: 'shop' },
      spec,
    });
  await policy('deny-all', { podSelector: {}, policyTypes: ['Ingress'] });
  await policy('web-out', { podSelector: { matchLabels: labels }, policyTypes: ['Ingress', 'Egress'] });
  await policy('db', { podSelector: { matchLabels: { app: 'db' } }, policyTypes: ['Egress'] });
  assert.equal(
    await line(),
    'Policies that select it: ingress NetworkPolicy shop/deny-all, shop/web-out; egress NetworkPolicy shop/web-out; requests none',
  );
});
