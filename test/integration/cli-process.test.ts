import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MemoryKubernetes } from '../../scripts/playground/kubernetes-api/memory-kubernetes.ts';

const ROOT = new URL('../..', import.meta.url);
const CLI = fileURLToPath(new URL('cli/nodemesh.js', ROOT));
/** Nothing is kept for later runs. */
const ENV = { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' };
const POD = 'apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: app}]}\n';

/** Preloaded: tells at the end what was imported, on a line of standard error that begins with LOADED. */
const RECORDER = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  import { writeSync } from 'node:fs';
  const loaded = new Set();
  registerHooks({ load: (url, context, next) => (loaded.add(url), next(url, context)) });
  process.on('exit', () => writeSync(2, 'LOADED ' + JSON.stringify([...loaded]) + '\\n'));
`)}`;

/** Runs the command as shipped, in a process of its own; gives its output and the files that it imported, by packages. */
function start(argv: readonly string[], input = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', RECORDER, CLI, ...argv], {
    input,
    encoding: 'utf8',
    env: ENV,
  });
  const line = /^LOADED (.*)$/m.exec(stderr)?.[1] ?? '[]';
  const urls = (JSON.parse(line) as string[]).filter((url) => url.startsWith('file:') && url !== RECORDER);
  const packages = urls.flatMap((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []);
  const own = urls.filter((url) => !url.includes('/node_modules/')).map((url) => url.slice(ROOT.href.length));
  return { status, stdout, stderr, packages: [...new Set(packages)].sort(), own: own.sort() };
}

test('cli: --help, --version and completion load no package, and no command', () => {
  for (const argv of [['--help'], ['--version'], ['help', 'inject'], ['completion', 'bash'], ['nonsense']]) {
    const { packages, own } = start(argv);
    assert.deepEqual(packages, []);
    assert.ok(own.includes('cli/run.ts'));
    assert.ok(own.length <= 10, own.join(' '));
  }
});

test('cli: inject and uninject load what reads YAML and decides, and nothing of Kubernetes, servers or schemas', () => {
  for (const name of ['inject', 'uninject']) {
    const { status, stdout, packages, own } = start([name, '-'], POD);
    assert.equal(status, 0);
    assert.equal(stdout.includes('http_proxy'), name === 'inject');
    assert.deepEqual(packages, ['fast-json-patch', 'yaml']);
    assert.ok(own.includes('webhook/injection.ts'));
    for (const module of [
      'lib/kubernetes/client.ts',
      'lib/log.ts',
      'webhook/config.ts',
      'webhook/app.ts',
      'daemon/main.ts',
    ]) {
      assert.ok(!own.includes(module), module);
    }
  }
});

test('cli: what asks daemons loads no server, no schema and nothing of the webhook', () => {
  for (const argv of [
    ['stat', 'all'],
    ['top', 'all'],
    ['tap', 'all'],
    ['endpoints', '/'],
    ['resolve'],
    ['dashboard', '--port', 'x'],
  ]) {
    const { status, packages, own } = start(argv);
    assert.equal(status, 1);
    assert.ok(own.includes(`cli/commands/${argv[0]}.ts`));
    for (const name of ['fastify', 'zod', '@kubernetes/client-node']) assert.ok(!packages.includes(name), name);
    assert.deepEqual(
      own.filter((file) => /^(?:webhook|daemon|scripts)\//.test(file)),
      [],
    );
  }
});

test('cli: the status of a failure reaches the shell, and a reader that stops early is no failure', () => {
  assert.equal(start(['inject', '-'], 'a: [').status, 1);
  assert.equal(start(['injct']).status, 1);
  assert.equal(start(['inject', '-'], POD.replace('{containers', '{hostNetwork: true, containers')).status, 2);
  const { stdout, stderr } = spawnSync('sh', ['-c', `"${process.execPath}" "${CLI}" inject - | head -c 10`], {
    input: POD.replace('app', `app, image: "${'x'.repeat(1_000_000)}"`),
    encoding: 'utf8',
    env: ENV,
  });
  assert.equal(stdout, 'apiVersion');
  assert.doesNotMatch(stderr, /EPIPE/);
});

test('cli: the launcher finds the sources through links and the Node of the packages, and hands over what it was given', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'nodemesh-cli-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const launcher = fileURLToPath(new URL('cli/nodemesh', ROOT));
  symlinkSync(launcher, join(folder, 'first'));
  symlinkSync('first', join(folder, 'second'));
  const env = { ...ENV, PATH: '/usr/bin:/bin' };
  const { status, stdout, stderr } = spawnSync('./second', ['inject', '-n', 'a b', '-'], {
    cwd: folder,
    input: POD,
    encoding: 'utf8',
    env,
  });
  assert.equal(stderr, 'stdin:1:1: Pod/web: injected: app\n');
  assert.equal(status, 0);
  assert.match(stdout, /http_proxy/);
  assert.equal(spawnSync('./first', ['injct'], { cwd: folder, env }).status, 1);
});

test('cli: check speaks to a cluster, and ends when it is done', async (t) => {
  const kubernetes = await MemoryKubernetes.start();
  t.after(() => kubernetes.stop());
  const folder = mkdtempSync(join(tmpdir(), 'nodemesh-cli-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'config'), kubernetes.kubeconfig());
  const env = { ...ENV, KUBECONFIG: join(folder, 'config'), KUBERNETES_SERVICE_HOST: '' };
  const [status, stdout, stderr] = await new Promise<[unknown, string, string]>((resolve) => {
    execFile(process.execPath, [CLI, 'check'], { env }, (error, out, err) => resolve([error?.code, out, err]));
  });
  assert.equal(stderr, '');
  assert.equal(status, 1);
  assert.match(stdout, /^ok {6}api\.reachable: /);
  assert.match(stdout, /^ERROR {3}webhook\.configuration: there is no MutatingWebhookConfiguration/m);
});
