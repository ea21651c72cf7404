import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KubernetesApi, KubernetesError } from '../../lib/kubernetes/types.ts';
import { createLog } from '../../lib/log.ts';
import { NamespaceLabels } from '../../webhook/namespaces.ts';

/** Namespace labels with a watch's copy that says `known`, and an API server that gives `answer`. */
function setUp(known: boolean | undefined, answer: () => unknown) {
  const asked: string[] = [];
  const api: KubernetesApi = {
    server: '',
    request: async ({ path, timeoutMs }) => {
      assert.ok((timeoutMs ?? Infinity) < 3_000, 'an API server gives a webhook no longer');
      asked.push(path);
      return answer();
    },
    list: () => assert.fail('nothing is watched'),
    stream: () => assert.fail('nothing is watched'),
  };
  const copy = (name: string) => (known === undefined ? undefined : { name, enabled: known });
  return { labels: new NamespaceLabels(api, createLog('test', 'silent'), copy), asked };
}

const labelled = (value: string) => ({ metadata: { name: 'shop', labels: { 'mesh-inject': value } } });
const refuse = (status: number) => () => {
  throw new KubernetesError(status, 'Reason', 'refused');
};

test('namespaces: a label that the copy has is believed, one that it lacks may be newer than the copy', async () => {
  const present = setUp(true, () => labelled('disabled'));
  assert.equal(await present.labels.enabled('shop'), true);
  assert.deepEqual(present.asked, []);
  for (const known of [false, undefined]) {
    const newer = setUp(known, () => labelled('enabled'));
    assert.equal(await newer.labels.enabled('shop'), true);
    assert.deepEqual(newer.asked, ['/api/v1/namespaces/shop']);
    assert.equal(await setUp(known, () => labelled('disabled')).labels.enabled('shop'), false);
  }
});

test('namespaces: where the API server does not say, the copy does, and without one it stays open', async () => {
  for (const status of [403, 404, 500]) {
    assert.equal(await setUp(false, refuse(status)).labels.enabled('shop'), false);
    assert.equal(await setUp(undefined, refuse(status)).labels.enabled('shop'), undefined);
  }
});

test('namespaces: reviews that wait for the same answer ask once, and later ones anew; what is no name is not asked for', async () => {
  const { labels, asked } = setUp(undefined, () => labelled('enabled'));
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => labels.enabled('shop'))), [true, true, true]);
  assert.equal(asked.length, 1);
  await labels.enabled('shop');
  assert.equal(asked.length, 2);
  for (const name of ['', '../secrets', 'Shop', 'x'.repeat(64)]) assert.equal(await labels.enabled(name), undefined);
  assert.equal(asked.length, 2);
});
