import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as client from '@kubernetes/client-node';
import { applyPatch, type Operation } from 'rfc6902';
import { parse, parseAllDocuments } from 'yaml';
import { PROVIDED_SECRET } from '../../webhook/provided-certificate.ts';
import { servingNames } from '../../webhook/serving-certificate.ts';

/** Every field of every manifest is one that Kubernetes has, by the models that its own client is generated with. */

const MANIFESTS = fileURLToPath(new URL('../../manifests/', import.meta.url));
const OVERLAYS = readdirSync(`${MANIFESTS}overlays`).sort();

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}
interface Model {
  getAttributeTypeMap(): readonly { readonly baseName: string; readonly type: string }[];
}

/** What of a value is not as its type has it, as `path: what`. */
function misfits(type: string, value: unknown, path: string): string[] {
  if (value === null) return [];
  const item = /^Array<(.*)>$/.exec(type)?.[1];
  if (item !== undefined) {
    if (!Array.isArray(value)) return [`${path}: not a list`];
    return value.flatMap((one, i) => misfits(item, one, `${path}[${i}]`));
  }
  const valueType = /^\{ \[key: string\]: (.*); \}$/.exec(type)?.[1];
  if (valueType !== undefined) {
    return Object.entries(value as object).flatMap(([key, one]) => misfits(valueType, one, `${path}.${key}`));
  }
  if (['string', 'number', 'boolean'].includes(type)) {
    return typeof value === type ? [] : [`${path}: ${JSON.stringify(value)} is no ${type}`];
  }
  const model = (client as unknown as Record<string, Model | undefined>)[type];
  if (typeof model?.getAttributeTypeMap !== 'function') return []; // IntOrString, any
  const fields = new Map(model.getAttributeTypeMap().map((one) => [one.baseName, one.type]));
  return Object.entries(value as object).flatMap(([key, one]) => {
    const known = fields.get(key);
    return known === undefined ? [`${path}.${key}: no field of ${type}`] : misfits(known, one, `${path}.${key}`);
  });
}

function check(manifest: Manifest): void {
  const { apiVersion, kind, metadata } = manifest;
  const [version = '', group = ''] = apiVersion.split('/').reverse();
  assert.ok(!group.includes('.') || group.endsWith('.k8s.io'), `${apiVersion} ${kind} is checked apart`);
  const type = version[0]?.toUpperCase() + version.slice(1) + kind;
  assert.ok(Object.hasOwn(client, type), `Kubernetes has no ${apiVersion} ${kind}`);
  assert.deepEqual(misfits(type, manifest, `${kind} ${metadata.name}`), []);
}

/** As JSON, without anchors. */
const objectsIn = (text: string): Manifest[] =>
  parseAllDocuments(text).map((document) => JSON.parse(JSON.stringify(document.toJS())));
const read = (file: string) => readFileSync(MANIFESTS + file, 'utf8');
const isForeign = ({ apiVersion }: Manifest) => apiVersion.startsWith('cert-manager.io/');

test('schema: nodemesh.yaml, the disruption budget, the examples and the admission policy have no field that Kubernetes has not', () => {
  const files = ['nodemesh.yaml', 'base/webhook/pod-disruption-budget.yaml', 'examples/hello-world.yaml'];
  for (const file of [...files, 'overlays/admission-policy/policy.yaml']) objectsIn(read(file)).forEach(check);
  assert.throws(
    () =>
      check(
        objectsIn('{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{nmae: x}]}}')[0] as Manifest,
      ),
    /containers\[0\]\.nmae: no field of V1Container/,
  );
});

test('schema: overlay match-conditions makes a configuration that Kubernetes has the fields for', () => {
  const [configuration] = objectsIn(read('base/webhook/mutating-webhook-configuration.yaml'));
  assert.ok(configuration !== undefined);
  const failures = applyPatch(configuration, parse(read('overlays/match-conditions/entries.yaml')) as Operation[]);
  assert.deepEqual(
    failures.filter((failure) => failure !== null),
    [],
  );
  check(configuration);
});

interface CertManagerObject extends Manifest {
  readonly spec: {
    readonly secretName?: string;
    readonly ca?: { readonly secretName: string };
    readonly isCA?: boolean;
    readonly dnsNames?: readonly string[];
    readonly issuerRef?: { readonly kind: string; readonly name: string };
  };
}
/** Of cert-manager.io/v1, as its API reference has them: what the overlay may use. */
const CERT_MANAGER_FIELDS: Readonly<Record<string, readonly string[]>> = {
  Issuer: ['selfSigned', 'ca'],
  Certificate: ['isCA', 'commonName', 'dnsNames', 'secretName', 'usages', 'duration', 'privateKey', 'issuerRef'],
};

test("schema: overlay cert-manager's chain leads from the root to the Secret and the name that the webhook serves", () => {
  const objects = objectsIn(read('overlays/cert-manager/certificate.yaml')) as CertManagerObject[];
  for (const { apiVersion, kind, spec } of objects) {
    assert.equal(apiVersion, 'cert-manager.io/v1');
    for (const key of Object.keys(spec)) assert.ok(CERT_MANAGER_FIELDS[kind]?.includes(key), `${kind}: ${key}`);
  }
  const issuer = (name: string | undefined) =>
    objects.find(({ kind, metadata }) => kind === 'Issuer' && metadata.name === name);
  const serving = objects.find(({ spec }) => spec.secretName === PROVIDED_SECRET);
  assert.ok(serving?.spec.dnsNames?.includes(servingNames('nodemesh', 'cluster.local')[0] ?? ''));
  const signing = issuer(serving?.spec.issuerRef?.name)?.spec.ca?.secretName;
  const authority = objects.find(({ kind, spec }) => kind === 'Certificate' && spec.secretName === signing);
  assert.equal(authority?.spec.isCA, true);
  assert.ok(issuer(authority?.spec.issuerRef?.name) !== undefined);
});

const withoutKubectl = spawnSync('kubectl', ['version', '--client']).error === undefined ? false : 'no kubectl here';
for (const overlay of OVERLAYS) {
  test(`schema: overlay ${overlay}, as kubectl renders it, has fields that Kubernetes has`, {
    skip: withoutKubectl,
  }, () => {
    const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', `${MANIFESTS}overlays/${overlay}`], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    const objects = objectsIn(stdout);
    assert.ok(objects.length >= 18);
    objects.filter((one) => !isForeign(one)).forEach(check);
  });
}
