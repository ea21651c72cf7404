import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LocalContainer } from '../../scripts/playground/container.ts';
import { isReady } from '../../scripts/playground/objects.ts';
import { Playground } from '../../scripts/playground/playground.ts';
import { Steps } from '../../scripts/playground/steps.ts';
import { nodemesh } from '../support/cli.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NAMESPACE = 'shop';
const WORLD_PORT = 7778;
const WAIT_MS = 30_000;

const steps = new Steps(
  () => {},
  () => performance.now(),
);

suite('a cluster of the playground, without the mesh', () => {
  const playground = new Playground({
    root: ROOT,
    nodePath: process.execPath,
    path: process.env.PATH ?? '',
    steps,
    random: Math.random,
    now: () => new Date(),
  });
  const worlds = () => playground.pods(NAMESPACE, 'world');
  const scale = (replicas: number) =>
    playground.cluster.patch(`/apis/apps/v1/namespaces/${NAMESPACE}/deployments/world`, { spec: { replicas } });

  before(async () => {
    await playground.start();
    await playground.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
    await playground.applyFile('manifests/examples/hello-world.yaml', NAMESPACE);
    await playground.ready(NAMESPACE);
  });
  after(() => playground.stop());

  test('pods run on both nodes, with addresses of their node, and answer there', async () => {
    assert.deepEqual([...new Set(worlds().map(({ spec }) => spec.nodeName))].sort(), ['node-1', 'node-2']);
    for (const pod of worlds()) {
      const node = playground.plan.nodes.find(({ name }) => name === pod.spec.nodeName);
      assert.ok(node?.pods.includes(pod.status?.podIP ?? ''));
      assert.equal(pod.status?.hostIP, node?.ip);
      assert.equal((await playground.call(pod, WORLD_PORT)).body, `world (${pod.status?.podIP})`);
    }
  });

  test('Endpoints and EndpointSlices follow a Deployment up and down, and the processes too', async () => {
    type Endpoints = { readonly subsets?: readonly { readonly addresses?: readonly { readonly ip: string }[] }[] };
    type Slice = { readonly endpoints: readonly { readonly addresses: readonly string[] }[] };
    const published = () => {
      const { subsets = [] } = playground.cluster.get(
        `/api/v1/namespaces/${NAMESPACE}/endpoints/world`,
      ) as unknown as Endpoints;
      return subsets.flatMap(({ addresses = [] }) => addresses.map(({ ip }) => ip)).sort();
    };
    const sliced = () => {
      const slices = playground.cluster
        .list(`/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`)
        .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === 'world') as unknown as Slice[];
      return slices.flatMap(({ endpoints }) => endpoints.flatMap(({ addresses }) => addresses)).sort();
    };
    const settled = async (count: number) => {
      await steps.wait(
        () =>
          published().length === count && worlds().length === count ? undefined : `${published().length} endpoints`,
        WAIT_MS,
      );
      const ips = worlds().map((pod) => pod.status?.podIP ?? '');
      assert.deepEqual(published(), ips.sort());
      await steps.wait(() => (sliced().join() === ips.join() ? undefined : `slices ${sliced()}`), WAIT_MS);
    };
    await scale(5);
    await settled(5);
    const five = worlds();
    await scale(2);
    await settled(2);
    const left = new Set(worlds().map(({ metadata }) => metadata.uid));
    const gone = five.filter(({ metadata }) => !left.has(metadata.uid));
    assert.equal(gone.length, 3);
    for (const pod of gone) await assert.rejects(playground.call(pod, WORLD_PORT), /ECONNREFUSED/);
  });

  test('a pod that is asked for by a wrong image waits, says why, and is not an endpoint', async () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'stranger', namespace: NAMESPACE, labels: { app: 'stranger' } },
      spec: { containers: [{ name: 'c', image: 'nginx' }] },
    };
    await playground.apply(pod);
    const stranger = () => playground.pods(NAMESPACE, 'stranger')[0];
    await steps.wait(() => (stranger()?.status?.conditions === undefined ? 'a status' : undefined), WAIT_MS);
    const found = stranger();
    assert.ok(found !== undefined && !isReady(found));
    assert.match(JSON.stringify(found.status), /the playground has no image \\"nginx\\", only nodemesh:dev/);
  });
});

suite('a container', () => {
  const directory = mkdtempSync(join(tmpdir(), 'nodemesh-test-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  const script = (name: string, text: string): string => {
    const file = join(directory, name);
    writeFileSync(file, text);
    return file;
  };
  const command = (file: string, args: readonly string[] = []) => ({
    args: [file, ...args],
    env: { ONLY: 'this' },
    directory,
    logFile: `${file}.log`,
  });

  test('that ends is started again with nothing but its own env, and keeps its log', async () => {
    const file = script('crash.mjs', 'console.log("env " + Object.keys(process.env)); process.exit(3);');
    const container = new LocalContainer(command(file), {
      nodePath: process.execPath,
      random: () => 0,
      onChange: () => {},
    });
    container.start();
    await steps.wait(() => (container.restarts >= 1 && !container.running ? undefined : 'a second end'), WAIT_MS);
    await container.stop(0);
    assert.equal(container.lastExit, 'exit code 3');
    assert.deepEqual(container.lastLines(2), ['env ONLY', 'env ONLY']);
  });

  test('that ignores SIGTERM is killed after its grace', async () => {
    const file = script('deaf.mjs', "process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1e6);");
    const container = new LocalContainer(command(file), {
      nodePath: process.execPath,
      random: () => 0,
      onChange: () => {},
    });
    container.start();
    await steps.wait(() => (container.lastLines(1)[0] === 'up' ? undefined : 'its first line'), WAIT_MS);
    await container.stop(1);
    assert.equal(container.lastExit, 'signal SIGKILL');
  });

  test('dies with a playground that is killed hard', async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const file = script(
      'stay.mjs',
      "import { connect } from 'node:net'; connect(Number(process.argv[2]), '127.0.0.1');",
    );
    const parent = script(
      'parent.ts',
      `import { LocalContainer } from ${JSON.stringify(join(ROOT, 'scripts/playground/container.ts'))};
       new LocalContainer(${JSON.stringify(command(file, [String(port)]))}, {
         nodePath: process.execPath, random: Math.random, onChange: () => {},
       }).start();
       setInterval(() => {}, 1e6);`,
    );
    const connected = once(server, 'connection');
    const process_ = spawn(process.execPath, [parent], { stdio: 'inherit' });
    const [socket] = (await connected) as [import('node:net').Socket];
    const gone = new Promise<void>((resolve) => socket.on('error', () => {}).on('close', () => resolve()));
    socket.resume();
    process_.kill('SIGKILL');
    await gone;
    server.close();
  });
});

suite('npm start', () => {
  const run = (args: readonly string[]) => {
    const child = spawn(process.execPath, [join(ROOT, 'scripts/playground/main.ts'), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    return { child, exited: once(child, 'close'), output: () => output };
  };

  test('-- --once shows a request from node to node, checks itself and exits 0', async () => {
    const { child, exited, output } = run(['--once']);
    await exited;
    assert.equal(child.exitCode, 0, output());
    assert.match(output(), /Hello \([\d.]+\) world \([\d.]+\)!!/);
    assert.match(output(), /→ node-1 outgoing [\d.]+:4140/);
    assert.match(output(), /→ node-2 incoming [\d.]+:4141/);
    assert.match(output(), /checked: 60 requests/);
  });

  test('stays up until a signal, which leaves nothing behind', async () => {
    const { child, exited, output } = run([]);
    await steps.wait(
      () => (output().includes('tail -f') ? undefined : 'the commands to try'),
      60_000,
      () => (child.exitCode === null ? undefined : output()),
    );
    const [, directory = ''] = /tail -f (\S+)\/logs/.exec(output()) ?? [];
    const [, hello = ''] = /curl (http:\S+:7777\/)/.exec(output()) ?? [];
    assert.ok(existsSync(directory), output());
    assert.match(await (await fetch(hello)).text(), /^Hello/);
    const check = await nodemesh(['check'], { env: { KUBECONFIG: join(directory, 'kubeconfig') } });
    assert.match(check.out, /\n0 errors, 0 warnings\n$/, check.out);
    const [, ...explain] = /npx nodemesh (explain) (\S+)/.exec(output()) ?? [];
    const explained = await nodemesh(explain, { env: { KUBECONFIG: join(directory, 'kubeconfig') } });
    assert.match(explained.out, /^ {5}\+ http_proxy=http:\/\/127\.\S+:4140$/m, explained.err);
    child.kill('SIGTERM');
    await exited;
    assert.equal(child.exitCode, 0, output());
    assert.equal(existsSync(directory), false);
    await assert.rejects(fetch(hello));
  });

  test('refuses what it does not know', async () => {
    const { child, exited, output } = run(['--twice']);
    await exited;
    assert.equal(child.exitCode, 2);
    assert.match(output(), /^usage: npm start/);
  });
});
