import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expand, expandEnv } from '../../lib/kubernetes/env-expansion.ts';

/** After the cases of Kubernetes' own expand_test.go, and with its variables. */
const KNOWN: Readonly<Record<string, string>> = {
  VAR_A: 'A',
  VAR_B: 'B',
  VAR_C: 'C',
  VAR_REF: '$(VAR_A)',
  VAR_EMPTY: '',
};
const EXPANSIONS: readonly (readonly [text: string, expected: string])[] = [
  ['$(VAR_A)', 'A'],
  ['___$(VAR_B)___', '___B___'],
  ['___$(VAR_C)', '___C'],
  ['$(VAR_A)-$(VAR_A)', 'A-A'],
  ['$(VAR_REF)-1', '$(VAR_A)-1'],
  ['%%$(VAR_REF)--$(VAR_REF)%%', '%%$(VAR_A)--$(VAR_A)%%'],
  ['foo$(VAR_EMPTY)bar', 'foobar'],
  ['foo\\\\$(VAR_A)bar', 'foo\\\\Abar'],
  ['$$(VAR_A)', '$(VAR_A)'],
  ['___$$(VAR_A)___', '___$(VAR_A)___'],
  ['$$$(VAR_A)', '$A'],
  ['$$$$(VAR_A)', '$$(VAR_A)'],
  ['$$$$$(VAR_A)', '$$A'],
  ['$VAR_A', '$VAR_A'],
  ['VAR_A', 'VAR_A'],
  ['$(VAR_A', '$(VAR_A'],
  ['f000-$$VAR_A', 'f000-$VAR_A'],
  ['$$(VAR_A$$', '$(VAR_A$'],
  ['$(VAR_DNE)', '$(VAR_DNE)'],
  ['$(VAR_A$(VAR_B)', '$(VAR_A$(VAR_B)'],
  ['$(VAR_A))', 'A)'],
  ['$()', '$()'],
  ['$(VAR_A)$', 'A$'],
  ['$', '$'],
  ['', ''],
  ['$?', '$?'],
  ['abc$(', 'abc$('],
];

for (const [text, expected] of EXPANSIONS) {
  test(`env expansion: ${JSON.stringify(text)}`, () => {
    assert.equal(
      expand(text, (name) => KNOWN[name]),
      expected,
    );
  });
}

test('env expansion: an entry sees the entries before it, not those after', () => {
  const env = [
    { name: 'FIRST', value: '$(LATER)' },
    { name: 'NODE_NAME', value: 'node-1' },
    { name: 'http_proxy', value: 'http://$(NODE_NAME):4140' },
    { name: 'LATER', value: 'x' },
  ];
  assert.deepEqual(expandEnv(env), {
    FIRST: '$(LATER)',
    NODE_NAME: 'node-1',
    http_proxy: 'http://node-1:4140',
    LATER: 'x',
  });
});

test('env expansion: of two entries with one name the later wins, and sees the earlier', () => {
  assert.deepEqual(
    expandEnv([
      { name: 'A', value: '1' },
      { name: 'A', value: '$(A)2' },
    ]),
    { A: '12' },
  );
});

test('env expansion: what a valueFrom gives is not expanded, and a missing one defines nothing', () => {
  const env = [
    { name: 'A', value: '1' },
    { name: 'B', valueFrom: 'secret' },
    { name: 'C', value: '', valueFrom: 'missing' },
    { name: 'D', value: '$(B) $(C)' },
    { name: 'E' },
  ];
  const valueFrom = (source: unknown) => (source === 'secret' ? '$(A)' : undefined);
  assert.deepEqual(expandEnv(env, { valueFrom }), { A: '1', B: '$(A)', D: '$(A) $(C)', E: '' });
});

test('env expansion: envFrom comes before env, and Service variables give way to both', () => {
  const env = [
    { name: 'URL', value: '$(KUBERNETES_SERVICE_HOST):$(PORT)' },
    { name: 'WEB_SERVICE_HOST', value: 'mine' },
  ];
  const services = { KUBERNETES_SERVICE_HOST: '10.96.0.1', WEB_SERVICE_HOST: '10.96.0.2' };
  assert.deepEqual(expandEnv(env, { envFrom: { PORT: '443' }, services }), {
    KUBERNETES_SERVICE_HOST: '10.96.0.1',
    WEB_SERVICE_HOST: 'mine',
    PORT: '443',
    URL: '10.96.0.1:443',
  });
});
