import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { applyPatch, type Operation } from 'rfc6902';
import { decide } from '../../cli/decision.ts';
import { parseManifest } from '../../cli/manifests/manifest.ts';
import { valueAt } from '../../cli/manifests/pointers.ts';
import { injectManifest, uninjectManifest } from '../../cli/manifests/rewrite.ts';
import { findPods } from '../../cli/manifests/workloads.ts';
import type { InjectionSettings } from '../../webhook/injection.ts';
import { chanceFrom, manifestText } from '../support/manifest-texts.ts';

const BY_NAME: InjectionSettings = {
  proxyAddress: { by: 'nodeName' },
  proxyPort: 4140,
  clusterDomain: 'cluster.local',
  namespaceInProxyUrl: false,
  envFrom: 'inject',
};
const SETTINGS: readonly InjectionSettings[] = [BY_NAME, { ...BY_NAME, proxyAddress: { by: 'hostIP', family: 4 } }];
const PLACE = { namespace: 'default', ownNamespace: 'mesh' };

function inject(text: string, settings = BY_NAME): string {
  return injectManifest('m.yaml', text, { ...PLACE, settings }).text;
}

function uninject(text: string): string {
  return uninjectManifest('m.yaml', text).text;
}

/** What the documents of a text become by the webhook's patches, applied by another library, without the mark of what was replaced. */
function expected(text: string, settings: InjectionSettings): unknown[] {
  const manifest = parseManifest('m.yaml', text);
  const documents = manifest.documents.map(({ value }) => structuredClone(value));
  for (const { document, path, namespace = 'default', pod } of findPods(manifest)) {
    const place = { ...PLACE, namespace, namespaceEnabled: true };
    applyPatch(valueAt(documents[document], path), decide(pod, place, settings).patch as Operation[]);
  }
  return documents;
}

function documentsOf(text: string): unknown[] {
  return parseManifest('m.yaml', text).documents.map(({ value }) => value);
}

function withoutMarks(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, item) => {
      if (key !== 'nodemesh.dev/status') return item;
      const { was, ...status } = JSON.parse(item);
      return was === undefined ? item : JSON.stringify(status);
    }),
  );
}

function isSubsequence(lines: readonly string[], of: readonly string[]): boolean {
  let next = 0;
  for (const line of of) if (line === lines[next]) next += 1;
  return next === lines.length;
}

const numRuns = Number(process.env.NODEMESH_FUZZ_COUNT ?? 300);

test('inject: generated manifests become what the patch says, and uninject gives every byte back', () => {
  let injected = 0;
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(...SETTINGS), (seed, settings) => {
      const text = manifestText(chanceFrom(seed));
      const after = inject(text, settings);
      assert.deepEqual(withoutMarks(documentsOf(after)), withoutMarks(expected(text, settings)));
      assert.equal(uninject(after), text);
      assert.equal(inject(after, settings), after, 'twice is once');
      if (after === text) return;
      injected += 1;
      // Lines are only added, unless they hold a flow collection or an empty value that something joins.
      if (!/[{[]|: *(~|null)?\r?$|: *#/m.test(text.replaceAll(/#.*|'.*?'|".*?"/g, ''))) {
        assert.ok(isSubsequence(text.trimEnd().split(/\r?\n/), after.split(/\r?\n/)));
      }
    }),
    { numRuns },
  );
  assert.ok(injected > numRuns / 4, `only ${injected} of ${numRuns} had something to inject`);
});

const POD = `apiVersion: v1
kind: Pod
metadata:
  name: web # its name
spec:
  containers:
  - name: app
    image: "app"   # kept
`;

test('inject: what a person reads', () => {
  const added = inject(POD, { ...BY_NAME, clusterDomain: 'c' })
    .replaceAll(/"localhost,[^"]*"/g, '"..."')
    .replace(/"version":1,.*"containers"/, '"version":1,"containers"');
  assert.equal(
    added,
    `apiVersion: v1
kind: Pod
metadata:
  name: web # its name
  annotations:
    nodemesh.dev/status: '{"version":1,"containers":[{"name":"app","env":["NODE_NAME","http_proxy","no_proxy","NO_PROXY"]}]}'
spec:
  containers:
  - name: app
    env:
    - name: NODE_NAME
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
    - name: http_proxy
      value: "http://$(NODE_NAME):4140"
    - name: no_proxy
      value: "..."
    - name: NO_PROXY
      value: "..."
    image: "app"   # kept
`,
  );
});

test('inject: every manifest of the repository comes back byte for byte', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const files = execFileSync('git', ['ls-files', '*.yaml', '*.yml', '*.json'], { cwd: root, encoding: 'utf8' });
  let pods = 0;
  for (const file of files.trim().split('\n')) {
    const text = readFileSync(`${root}/${file}`, 'utf8');
    const injected = injectManifest(file, text, { ...PLACE, settings: BY_NAME });
    pods += injected.pods.filter(({ containers }) => containers.length > 0).length;
    assert.equal(uninjectManifest(file, injected.text).text, text, file);
  }
  assert.ok(pods >= 5, `${pods} pods`);
});

const template = 'template: {metadata: {labels: {a: b}}, spec: {containers: [{name: app}]}}';
const KINDS: Readonly<Record<string, string>> = {
  Pod: 'apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: app}]}\n',
  PodTemplate: `apiVersion: v1\nkind: PodTemplate\n${template}\n`,
  ReplicationController: `apiVersion: v1\nkind: ReplicationController\nspec:\n  ${template}\n`,
  Deployment: `apiVersion: apps/v1\nkind: Deployment\nspec:\n  ${template}\n`,
  ReplicaSet: `apiVersion: apps/v1\nkind: ReplicaSet\nspec:\n  ${template}\n`,
  StatefulSet: `apiVersion: apps/v1\nkind: StatefulSet\nspec:\n  ${template}\n`,
  DaemonSet: `apiVersion: extensions/v1beta1\nkind: DaemonSet\nspec:\n  ${template}\n`,
  Job: `apiVersion: batch/v1\nkind: Job\nspec:\n  ${template}\n`,
  CronJob: `apiVersion: batch/v1beta1\nkind: CronJob\nspec:\n  jobTemplate:\n    spec:\n      ${template}\n`,
  List: `apiVersion: v1\nkind: List\nitems:\n- apiVersion: apps/v1\n  kind: Deployment\n  spec:\n    ${template}\n- null\n`,
  DeploymentList: `apiVersion: apps/v1\nkind: DeploymentList\nitems:\n- spec:\n    ${template}\n`,
};

for (const [kind, text] of Object.entries(KINDS)) {
  test(`inject: ${kind}`, () => {
    const after = inject(text);
    assert.match(after, /http_proxy/);
    assert.equal(uninject(after), text);
  });
}

test('inject: kinds of other groups, and what is no workload, stay as they are', () => {
  for (const type of [
    'apiVersion: batch.volcano.sh/v1alpha1\nkind: Job',
    'apiVersion: v1\nkind: Service',
    'kind: Helm',
  ]) {
    const text = `${type}\nspec:\n  ${template}\n`;
    assert.equal(inject(text), text);
  }
  for (const text of ['', '# nothing\n', '---\n---\n', 'null\n', '[]\n', 'a: 1\n']) assert.equal(inject(text), text);
});

test('inject: JSON stays JSON', () => {
  const value = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web' },
    spec: { containers: [{ name: 'a', env: [] }, { name: 'b' }] },
  };
  for (const indent of [undefined, 2, '\t']) {
    const text = JSON.stringify(value, null, indent);
    const after = inject(text);
    assert.deepEqual(JSON.parse(after).spec.containers[1].env[1], {
      name: 'http_proxy',
      value: 'http://$(NODE_NAME):4140',
    });
    assert.equal(uninject(after), text);
  }
});

const SHARED = `apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: one}
  spec:
    containers:
    - &app
      name: app
      image: app
      env: &env # of all
      - {name: A, value: b}
- apiVersion: v1
  kind: Pod
  metadata: {name: two}
  spec:
    containers:
    - *app
    - name: alias
      env: *env
    - <<: *app
      name: merged
`;

test('inject: what aliases and merge keys share is changed once', () => {
  const after = inject(SHARED);
  assert.equal(after.match(/name: http_proxy/g)?.length, 1);
  assert.deepEqual(documentsOf(after), expected(SHARED, BY_NAME));
  assert.equal(uninject(after), SHARED);
});

test('inject: what is shared and would have to differ is refused, with its place', () => {
  const text = SHARED.replace('metadata: {name: one}', 'metadata: {name: one, annotations: {mesh-inject: disabled}}');
  assert.throws(
    () => inject(text),
    /^ManifestError: m\.yaml:\d+:\d+: this document cannot be changed in place: .*alias.*write them out/,
  );
});

const FAULTS: readonly [string, string, RegExp][] = [
  ['bad YAML', `${POD}  bad: [`, /^m\.yaml:9:9: /],
  ['a key twice', `${POD}    image: other\n`, /^m\.yaml:9:5: Map keys must be unique/],
  ['a template', POD.replace('"app"', '{{ .Values.image }}'), /^m\.yaml:8:\d+: /],
  [
    'a container without a name',
    POD.replace('- name: app\n    image', '- image'),
    /^m\.yaml:7:5: Pod\/web: spec\.containers\[0\] has no name$/,
  ],
  ['an unknown alias', POD.replace('"app"', '*app'), /^m\.yaml:8:12: alias \*app has no anchor/],
  ['aliases without end', bomb(), /^m\.yaml:1:1: Excessive alias count/],
];

/** Each line refers to the one before nine times. */
function bomb(): string {
  const lines = Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(', ')}]`);
  return `a0: &a0 x\n${lines.join('\n')}\n`;
}

for (const [name, text, message] of FAULTS) {
  test(`inject: ${name} is an error that says where`, () => {
    for (const rewrite of [inject, uninject]) {
      if (rewrite === uninject && name.includes('without a name')) continue;
      assert.throws(
        () => rewrite(text),
        (error: Error) => error.name === 'ManifestError' && message.test(error.message),
      );
    }
  });
}

test('uninject: keeps what came after the injection, and goes by names where a tool has laid the text out anew', () => {
  const edited = inject(POD)
    .replace('    - name: http_proxy', '    # mine\n    - name: MINE\n      value: x\n    - name: http_proxy')
    .replace('  annotations:\n', '  annotations:\n    mine: x\n');
  const [document] = documentsOf(uninject(edited)) as { metadata: unknown; spec: { containers: { env: unknown }[] } }[];
  assert.deepEqual(document?.metadata, { name: 'web', annotations: { mine: 'x' } });
  assert.deepEqual(document?.spec.containers[0]?.env, [{ name: 'MINE', value: 'x' }]);
  assert.match(uninject(edited), /# mine/);

  const sorted = `apiVersion: v1
kind: Pod
metadata:
  annotations: {nodemesh.dev/status: '{"version":1,"containers":[{"name":"app","env":["http_proxy"]}]}'}
spec:
  containers:
  - env:
    - name: http_proxy
      value: http://$(NODE_IP):4140
    image: app
    name: app
`;
  assert.equal(uninject(sorted), 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: app\n    name: app\n');
});

test('inject: a text whose last line is not ended stays so when it is uninjected', () => {
  const head = 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: app';
  const own = `${head}\n    env:\n    - name: NODE_NAME\n      valueFrom:\n        fieldRef:\n          fieldPath: spec.nodeName`;
  for (const text of [head, own, `${own} # the last`]) {
    for (const written of [text, text.replaceAll('\n', '\r\n')]) {
      const after = inject(written);
      assert.match(after, /http_proxy.*[^\n]$/s);
      assert.equal(after.includes('\r\n'), written !== text);
      assert.equal(uninject(after), written);
    }
  }
});

test('inject: a comment stays with what it stands above', () => {
  const after = inject(
    POD.replace(
      '    image',
      '    env:\n    # why\n\n    # of debugging\n    - {name: LOG, value: debug}\n    # the image\n    image',
    ),
  );
  assert.match(after, / {4}env:\n {4}- name: NODE_NAME\n/);
  assert.match(after, / {4}# why\n\n {4}# of debugging\n {4}- \{name: LOG, value: debug\}\n {4}# the image\n {4}image/);
});

test('inject: depth ends in an error that says where, however deep', () => {
  for (const depth of [500, 1_000, 2_000, 4_000, 20_000]) {
    const text = `${'['.repeat(depth)}${']'.repeat(depth)}`;
    try {
      assert.equal(inject(text), text);
      assert.ok(depth < 20_000);
    } catch (error) {
      assert.match(String(error), /^ManifestError: m\.yaml:1:\d+: (it is nested too deeply|Maximum call stack)/);
    }
  }
});
