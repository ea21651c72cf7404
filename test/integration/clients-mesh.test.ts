import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { answer, echoMessages, type RunClient, runClient, type Seen, seen, without } from '../support/client-app.ts';
import { TestMesh, until } from '../support/mesh.ts';
import { ask } from '../support/raw-http.ts';

const NODES = { 'node-1': '127.72.1.1', 'node-2': '127.72.2.1' };
/** Where programs that say nothing of their address come from. */
const CALLER = '127.0.0.1';
const SOURCES = new URL('../support/clients/', import.meta.url).pathname;

/** Go's compiler: on the path, or where Debian puts it; undefined where there is none. */
async function findGo(): Promise<string | undefined> {
  const installed = (await readdir('/usr/lib').catch(() => [])).filter((name) => /^go-\d/.test(name)).sort();
  const candidates = ['go', ...installed.reverse().map((name) => `/usr/lib/${name}/bin/go`)];
  return candidates.find((one) => spawnSync(one, ['version']).status === 0);
}

const go = await findGo();
const withoutRequests =
  spawnSync('python3', ['-c', 'import requests']).status === 0 ? false : "Python's requests is not installed";

describe('real clients through two daemons, with TLS between them', () => {
  let mesh: TestMesh;
  let dir: string;
  let run: RunClient;
  let proxy: { host: string; port: number };
  const big = randomBytes(3 * 1024 * 1024);
  const bigSum = createHash('sha256').update(big).digest('hex');

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nodemesh-clients-'));
    await writeFile(join(dir, 'big'), big);
    mesh = await TestMesh.start(NODES, true, { tls: 'required' });
    await mesh.pod({ namespace: 'shop', name: 'client', ip: CALLER, node: 'node-1' });
    const place = { namespace: 'shop', name: 'web', ip: '127.72.2.10', node: 'node-2' };
    const web = await mesh.pod(place, answer, echoMessages);
    await mesh.service('shop', 'web', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'web', [web]);
    proxy = { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing') };
    const url = `http://${proxy.host}:${proxy.port}`;
    run = (program, args, options) => runClient(program, args, { proxy: url, home: dir, ...options });
    await until(
      () => ask({ ...proxy, localAddress: CALLER }, 'GET http://web/ HTTP/1.1\r\nHost: web'),
      ({ status }) => status === 200,
    );
  });
  after(async () => {
    await mesh.stop();
    await rm(dir, { recursive: true });
  });

  const lines = (out: string): Seen[] => out.trim().split('\n').map(seen);
  const brief = ({ method, url, length, sha256 }: Seen) => [method, url, length === big.length ? sha256 : length];

  test('curl', { skip: without('curl') }, async () => {
    const curl = async (args: string[], input?: Buffer) =>
      brief(seen(await run('curl', ['-sS', ...args], input && { input })));
    const upload = ['--data-binary', `@${join(dir, 'big')}`];
    assert.deepEqual(await curl(['-0', ...upload, 'http://web/old']), ['POST', '/old', bigSum]);
    assert.deepEqual(await curl(['-T', '-', 'http://web/put'], big), ['PUT', '/put', bigSum]);
    const expects = ['-H', 'Expect: 100-continue', '--expect100-timeout', '20'];
    assert.deepEqual(await curl([...expects, ...upload, 'http://web/a']), ['POST', '/a', bigSum]);
    assert.deepEqual(await curl(['--proxytunnel', ...upload, 'http://web/b']), ['POST', '/b', bigSum]);
    assert.deepEqual(await curl(['--http2', 'http://web/h2c']), ['GET', '/h2c', 0]);
  });

  test('wget', { skip: without('wget') }, async () => {
    const out = await run('wget', ['-q', '-O', '-', `--post-file=${join(dir, 'big')}`, 'http://web/b']);
    assert.deepEqual(brief(seen(out)), ['POST', '/b', bigSum]);
  });

  test("python's requests", { skip: withoutRequests }, async () => {
    const script = `
import requests, sys
session = requests.Session()
for call in (
    lambda: session.get('http://web/chunked'),
    lambda: session.post('http://web/py/file', data=open(sys.argv[1], 'rb')),
    lambda: session.put('http://web/py/stream', data=iter([b'a', b'bc'])),
):
    print(call().text, end='')
`;
    const out = await run('python3', ['-c', script, join(dir, 'big')]);
    assert.deepEqual(lines(out).map(brief), [
      ['GET', '/chunked', 0],
      ['POST', '/py/file', bigSum],
      ['PUT', '/py/stream', 3],
    ]);
  });

  test('Go', { skip: go === undefined ? 'go is not installed' : false }, async () => {
    const [program, cache] = [join(dir, 'go-client'), join(dir, 'go-cache')];
    const build = ['build', '-o', program, join(SOURCES, 'client.go')];
    await run(go ?? 'go', build, { env: { GOCACHE: cache, GO111MODULE: 'off', CGO_ENABLED: '0' } });
    const out = await run(program, [join(dir, 'big')]);
    const answers = out.trim().split('\n');
    assert.equal(answers.pop(), '101');
    assert.deepEqual(answers.map(seen).map(brief), [
      ['GET', '/go/get', 0],
      ['GET', '/chunked', 0],
      ['POST', '/go/none', 0],
      ['PUT', '/go/stream', bigSum],
      ['POST', '/go/expects', bigSum],
    ]);
  });

  test("Java's HttpClient, HttpURLConnection and WebSocket", { skip: without('javac') }, async () => {
    const out = await run('java', [join(SOURCES, 'Client.java'), proxy.host, String(proxy.port), join(dir, 'big')]);
    const answers = out.trim().split('\n');
    assert.equal(answers.pop(), 'hello');
    assert.deepEqual(answers.map(seen).map(brief), [
      ['GET', '/java/get', 0],
      ['GET', '/chunked', 0],
      ['POST', '/java/file', bigSum],
      ['PUT', '/java/stream', bigSum],
      ['GET', '/java/url', 0],
      ['POST', '/java/url/stream', bigSum],
    ]);
  });

  test("Node's WebSocket", async () => {
    const script = `
      const socket = new WebSocket('ws://web/chat');
      socket.onopen = () => socket.send('hello');
      socket.onerror = (event) => { console.error(event.message ?? event.error); process.exit(1); };
      socket.onmessage = ({ data }) => { console.log(data); process.exit(0); };
    `;
    const out = await run(process.execPath, ['--input-type=module', '-e', script], {
      env: { NODE_USE_ENV_PROXY: '1' },
    });
    assert.equal(out, 'hello\n');
  });
});
