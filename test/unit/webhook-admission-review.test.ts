import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatReview, parseReview, ReviewError } from '../../webhook/admission-review.ts';

function body(version: string, request: unknown): unknown {
  return { apiVersion: `admission.k8s.io/${version}`, kind: 'AdmissionReview', request };
}

const REQUEST = {
  uid: '705ab4f5',
  kind: { group: '', version: 'v1', kind: 'Pod' },
  resource: { group: '', version: 'v1', resource: 'pods' },
  operation: 'CREATE',
  namespace: 'shop',
  object: { metadata: { generateName: 'hello-' } },
};

interface Answer {
  apiVersion: string;
  kind: string;
  response: { uid: string; allowed: boolean; patchType?: string; patch?: string; warnings?: string[] };
}

function answer(version: string, patch: unknown[], warnings: string[] = []): Answer {
  const request = parseReview(body(version, REQUEST));
  return formatReview(request, { patch, warnings }) as unknown as Answer;
}

test('admission review: v1 and v1beta1 are answered in their own version, with the uid', () => {
  for (const version of ['v1', 'v1beta1']) {
    assert.deepEqual(answer(version, []), {
      apiVersion: `admission.k8s.io/${version}`,
      kind: 'AdmissionReview',
      response: { uid: '705ab4f5', allowed: true },
    });
  }
});

test('admission review: patch and patchType come together, the patch in base64', () => {
  const patch = [{ op: 'add', path: '/spec/x', value: 'ü' }];
  const { response } = answer('v1', patch);
  assert.equal(response.patchType, 'JSONPatch');
  assert.deepEqual(JSON.parse(Buffer.from(response.patch ?? '', 'base64').toString()), patch);
});

test('admission review: warnings keep to what an API server passes on', () => {
  const many =
    answer(
      'v1',
      [],
      [...Array(40).keys()].map((i) => `${i} ${'x'.repeat(400)}`),
    ).response.warnings ?? [];
  assert.ok(many.length > 10);
  assert.ok(many.every((w) => w.length <= 256));
  assert.ok(many.join('').length <= 4096);
  assert.deepEqual(answer('v1', [], ['a\r\nb\u0000ü']).response.warnings, ['nodemesh: a??b??']);
});

const BAD: readonly [string, unknown][] = [
  ['null', null],
  ['a list', []],
  ['an empty object', {}],
  ['another kind', { ...(body('v1', REQUEST) as object), kind: 'Review' }],
  ['another version', body('v2', REQUEST)],
  ['no request', body('v1', undefined)],
  ['a request that is a text', body('v1', 'SECRET')],
  ['no uid', body('v1', { ...REQUEST, uid: undefined })],
  ['an empty uid', body('v1', { ...REQUEST, uid: '' })],
  ['a uid that is a number', body('v1', { ...REQUEST, uid: 7 })],
];
for (const [name, bad] of BAD) {
  test(`admission review: ${name} is refused without repeating it`, () => {
    assert.throws(
      () => parseReview(bad),
      (error) => error instanceof ReviewError && !error.message.includes('SECRET'),
    );
  });
}
