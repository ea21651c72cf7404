import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { rename } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { replaceFiles } from '../../cli/manifests/sources.ts';
import { nodemesh } from '../support/cli.ts';

const pod = (name: string, spec = 'containers: [{name: app}]', annotations = '{}') =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, annotations: ${annotations}}\nspec: {${spec}}\n`;

/** A folder with these files, which goes with the test. */
function folder(t: TestContext, files: Readonly<Record<string, string | Uint8Array>>): string {
  const root = mkdtempSync(join(tmpdir(), 'nodemesh-cli-'));
  t.after(() => rmSync(root, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(root, name, '..'), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

test('inject: standard input to standard output, and uninject gives it back', async () => {
  const injected = await nodemesh(['inject', '-'], { stdin: pod('web') });
  assert.equal(injected.status, 0);
  assert.match(injected.out, /"http:\/\/\$\(NODE_IP\):4140"/);
  assert.equal(injected.err, 'stdin:1:1: Pod/web: injected: app\n');
  const back = await nodemesh(['uninject', '-'], { stdin: injected.out });
  assert.deepEqual(back, { status: 0, out: pod('web'), err: 'stdin:1:1: Pod/web: uninjected: app\n' });
});

test('inject: a folder with what is below it, in order, as one stream of documents', async (t) => {
  const root = folder(t, {
    'b.yaml': pod('b').trimEnd(),
    'a/z.json': JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'z' },
      spec: { containers: [{ name: 'c' }] },
    }),
    'c.yml': pod('c'),
    'notes.txt': 'not: [a manifest',
    '.hidden.yaml': 'not: [a manifest',
  });
  const { status, out, err } = await nodemesh(['inject', root]);
  assert.equal(status, 0);
  const names = parseAllDocuments(out).map((document) => document.toJS().metadata.name);
  assert.deepEqual(names, ['z', 'b', 'c']);
  assert.equal(err.split('\n').length, 4);
  assert.match(err, /a\/z\.json:1:1: Pod\/z: injected: c\n/);
});

test('inject: --write changes the files in place, through links and with their modes', async (t) => {
  const root = folder(t, { 'a.yaml': pod('a'), 'plain.yaml': 'a:   1\n' });
  symlinkSync(join(root, 'a.yaml'), join(root, 'link.yaml'));
  const mode = statSync(join(root, 'a.yaml')).mode;
  const { status, out } = await nodemesh(['inject', '--write', join(root, 'link.yaml'), join(root, 'plain.yaml')]);
  assert.deepEqual([status, out], [0, '']);
  assert.match(readFileSync(join(root, 'a.yaml'), 'utf8'), /http_proxy/);
  assert.equal(statSync(join(root, 'a.yaml')).mode, mode);
  assert.deepEqual(readdirSync(root).sort(), ['a.yaml', 'link.yaml', 'plain.yaml']);
  await nodemesh(['uninject', '-w', root]);
  assert.equal(readFileSync(join(root, 'a.yaml'), 'utf8'), pod('a'));
});

test('inject: an error in one of many files writes nothing, and every error is told with its place', async (t) => {
  const files = {
    'a.yaml': pod('a'),
    'b.yaml': `${pod('b')}  bad: [\n`,
    'c.yaml': pod('c', 'containers: [{image: x}]'),
  };
  const root = folder(t, files);
  for (const flags of [[], ['--write']]) {
    const { status, out, err } = await nodemesh(['inject', ...flags, root]);
    assert.deepEqual([status, out], [1, '']);
    assert.match(err, /b\.yaml:5:1: /);
    assert.match(err, /c\.yaml:4:21: Pod\/c: spec\.containers\[0\] has no name/);
    assert.match(err, /nothing was written\n$/);
    for (const [name, text] of Object.entries(files)) assert.equal(readFileSync(join(root, name), 'utf8'), text);
  }
});

test('inject: what cannot be read is named, all of it', async (t) => {
  const root = folder(t, { 'latin.yaml': new Uint8Array([0x61, 0x3a, 0x20, 0xe9]) });
  const { status, out, err } = await nodemesh(['inject', join(root, 'none.yaml'), root, join(root, 'nor.yaml')]);
  assert.deepEqual([status, out], [1, '']);
  assert.match(err, /none\.yaml: ENOENT.*\n.*latin\.yaml: it is not UTF-8 text\n.*nor\.yaml: ENOENT/);
});

test('inject: a URL is not fetched, and the error says how it is done', async () => {
  for (const url of ['http://shop.example/web.yaml', 'https://shop.example/web.yaml']) {
    const { status, out, err } = await nodemesh(['inject', url]);
    assert.deepEqual([status, out], [1, '']);
    assert.equal(err, `${url}: only files are read here; fetch it first: curl -fsSL <url> | nodemesh … -\n`);
  }
});

test('inject: where a file cannot be written, none is', async (t) => {
  const root = folder(t, { 'a.yaml': pod('a'), 'b.yaml': pod('b'), 'b.yaml.nodemesh': 'in the way' });
  const { status, err } = await nodemesh(['inject', '-w', root]);
  assert.equal(status, 1);
  assert.match(err, /^nothing was written: EEXIST/);
  assert.equal(readFileSync(join(root, 'a.yaml'), 'utf8'), pod('a'));
  assert.deepEqual(readdirSync(root).sort(), ['a.yaml', 'b.yaml', 'b.yaml.nodemesh']);
});

test('inject: says why pods and containers stay as they are', async () => {
  const stdin = [
    pod('host', 'hostNetwork: true, containers: [{name: app}]'),
    pod('out', 'containers: [{name: app}]', '{mesh-inject: disabled}'),
    pod('part', 'containers: [{name: own, env: [{name: HTTP_PROXY, value: x}]}, {name: app}]'),
    pod('odd', 'containers: [{name: app}]', '{nodemesh.dev/skip-containers: other}'),
  ].join('---\n');
  const { status, err } = await nodemesh(['inject', '-'], { stdin });
  assert.equal(status, 2);
  assert.match(err, /^stdin:1:1: Pod\/host: not injected: .*host.*\(host_network\)$/m);
  assert.match(err, /^stdin:6:1: Pod\/out: not injected: .*\(pod_disabled\)$/m);
  assert.match(err, /^stdin:11:1: Pod\/part: injected: app$/m);
  assert.match(
    err,
    /^stdin:11:1: Pod\/part: but not all: container "own" sets HTTP_PROXY itself.*\(container_has_proxy\)$/m,
  );
  assert.match(err, /^stdin:16:1: Pod\/odd: warning: .*skip-containers names "other"/m);
});

test('inject: where a file cannot take its place, those before it are put back', async (t) => {
  const files = { 'a.yaml': 'a', 'b.yaml': 'b', 'c.yaml': 'c' };
  const root = folder(t, files);
  const changes = Object.entries(files).map(([name, text]) => ({ file: join(root, name), text: `new ${text}` }));
  const busy = new Error('EBUSY: mounted by itself');
  const fails = (when: (from: string, to: string) => boolean) =>
    replaceFiles(changes, (from, to) =>
      when(String(from), String(to)) ? Promise.reject(busy) : rename(String(from), to),
    );
  await assert.rejects(
    fails((from, to) => to.endsWith('c.yaml') && from.endsWith('.nodemesh')),
    { name: 'CommandError', message: 'nothing was written: EBUSY: mounted by itself' },
  );
  const now = () => readdirSync(root).map((name) => [name, readFileSync(join(root, name), 'utf8')]);
  assert.deepEqual(now(), Object.entries(files));

  // What cannot be put back either is kept, and named.
  await assert.rejects(
    fails((from, to) => to.endsWith('c.yaml') || (to.endsWith('a.yaml') && from.endsWith('-before'))),
    {
      message: /EBUSY.*\n.*a\.yaml was written and cannot be put back; as it was it is in .*a\.yaml\.nodemesh-before$/,
    },
  );
  assert.deepEqual(now(), [
    ['a.yaml', 'new a'],
    ['a.yaml.nodemesh-before', 'a'],
    ['b.yaml', 'b'],
    ['c.yaml', 'c'],
  ]);
});

test('inject: the status is 2 where a pod or container could not get what was asked for, whatever it wished itself', async () => {
  const statusOf = async (...pods: string[]) => (await nodemesh(['inject', '-'], { stdin: pods.join('---\n') })).status;
  const own = 'containers: [{name: own, env: [{name: HTTP_PROXY, value: x}]}, {name: app}]';
  const disabled = '{mesh-inject: disabled}';
  const { out: injected } = await nodemesh(['inject', '-'], { stdin: pod('web') });
  assert.equal(await statusOf(pod('web')), 0);
  assert.equal(await statusOf(pod('web'), pod('host', 'hostNetwork: true, containers: [{name: app}]')), 2);
  assert.equal(await statusOf(pod('part', own)), 2);
  assert.equal(await statusOf(pod('part', own, '{nodemesh.dev/skip-containers: own}')), 0);
  assert.equal(await statusOf(pod('bad', 'containers: [{name: app}]', '{mesh-inject: "yes"}')), 2);
  assert.equal(await statusOf(pod('out', 'containers: [{name: app}]', disabled)), 0);
  assert.equal(await statusOf(pod('out', 'hostNetwork: true, containers: [{name: app}]', disabled)), 0);
  assert.equal(await statusOf(injected), 0);
  assert.equal(await statusOf('apiVersion: v1\nkind: ConfigMap\n'), 0);
});

test('inject: -o json says on standard error, for each pod, where it is, what it got and why not', async () => {
  const stdin = [pod('web'), pod('host', 'hostNetwork: true, containers: [{name: app}]')].join('---\n');
  const text = await nodemesh(['inject', '-'], { stdin });
  const { status, out, err } = await nodemesh(['inject', '-o', 'json', '-'], { stdin });
  assert.deepEqual([status, out], [2, text.out]);
  const asked = { id: 'namespace_enabled', text: 'namespace default has label mesh-inject=enabled' };
  const hostNetwork = "the pod uses its host's network, where the mesh cannot tell it from the host";
  assert.deepEqual(JSON.parse(err), {
    refused: 1,
    pods: [
      { where: 'stdin:1:1', workload: 'Pod/web', containers: ['app'], reasons: [asked], warnings: [], refused: false },
      {
        where: 'stdin:6:1',
        workload: 'Pod/host',
        containers: [],
        reasons: [{ id: 'host_network', text: hostNetwork }],
        warnings: [],
        refused: true,
      },
    ],
  });
  const back = await nodemesh(['uninject', '-o', 'json', '-'], { stdin: text.out });
  assert.deepEqual([back.status, back.out], [0, stdin]);
  const pods: { workload: string; containers: string[] }[] = JSON.parse(back.err).pods;
  assert.deepEqual(
    pods.map(({ workload, containers }) => [workload, containers]),
    [
      ['Pod/web', ['app']],
      ['Pod/host', []],
    ],
  );
});

test('inject: by --config and --proxy-address, and by the namespace of -n', async (t) => {
  const root = folder(t, {
    'webhook.yaml': 'proxyAddress: nodeName\nproxyPort: 15001\nnamespaceInProxyUrl: true\nhttps: {ip: pod}\n',
    'bad.yaml': 'proxyPrt: 1\n',
  });
  const config = join(root, 'webhook.yaml');
  const url = async (...flags: string[]) => {
    const { out } = await nodemesh(['inject', ...flags, '-'], { stdin: pod('web') });
    return /"(http:[^"]*)"/.exec(out)?.[1];
  };
  assert.equal(await url(), 'http://$(NODE_IP):4140');
  assert.equal(await url('--proxy-address', 'hostIPv6'), 'http://[$(NODE_IP)]:4140');
  assert.equal(await url('--config', config, '-n', 'shop'), 'http://shop@$(NODE_NAME):15001');
  assert.equal(await url('--config', config, '--proxy-address=hostIP'), 'http://default@$(NODE_IP):15001');
  const bad = await nodemesh(['inject', '--config', join(root, 'bad.yaml'), '-'], { stdin: pod('web') });
  assert.equal(bad.status, 1);
  assert.match(bad.err, /bad\.yaml: proxyPrt: unknown key; did you mean "proxyPort"\?/);
});
