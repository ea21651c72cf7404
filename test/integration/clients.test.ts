import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { answer, echoMessages, type RunClient, runClient, seen, without } from '../support/client-app.ts';
import { type DiscoDaemon, runDiscoDaemon } from '../support/daemon.ts';

describe('real clients through a daemon', () => {
  let mesh: DiscoDaemon;
  let app: Server;
  let proxy: string;
  let dir: string;
  const big = randomBytes(3 * 1024 * 1024);
  const bigSum = createHash('sha256').update(big).digest('hex');

  before(async () => {
    app = createServer(answer);
    app.on('upgrade', echoMessages);
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    mesh = await runDiscoDaemon({ web: [`127.0.0.1 ${(app.address() as AddressInfo).port}`] });
    proxy = `http://127.0.0.1:${mesh.port}`;
    dir = await mkdtemp(join(tmpdir(), 'nodemesh-clients-'));
    await writeFile(join(dir, 'big'), big);
  });
  after(async () => {
    await mesh.stop();
    app.closeAllConnections();
    app.close();
    await rm(dir, { recursive: true });
  });

  const run: RunClient = (program, args, options) => runClient(program, args, { proxy, home: dir, ...options });

  describe('curl', { skip: without('curl') }, () => {
    const curl = (...args: string[]) => run('curl', ['-sS', ...args]);

    test('keeps its connection from request to request', async () => {
      const format = '%{http_code} %{num_connects}\n';
      const urls = ['http://web/1', 'http://web/chunked', 'http://web/3'];
      const out = await curl('-w', format, ...urls.flatMap((url) => ['-o', join(dir, 'out'), url]));
      assert.deepEqual(out.trim().split('\n'), ['200 1', '200 0', '200 0']);
    });

    test('a large body behind Expect: 100-continue', async () => {
      const got = seen(
        await curl('-H', 'Expect: 100-continue', '--data-binary', `@${join(dir, 'big')}`, 'http://web/a'),
      );
      assert.deepEqual([got.method, got.expect, got.length, got.sha256], ['POST', '100-continue', big.length, bigSum]);
    });

    test('an upload of unknown length', async () => {
      const got = seen(await run('curl', ['-sS', '-T', '-', 'http://web/put'], { input: big }));
      assert.deepEqual([got.method, got.encoding, got.sha256], ['PUT', 'chunked', bigSum]);
    });

    test('HTTP/1.0, also where the answer is chunked', async () => {
      for (const path of ['/a', '/chunked']) assert.equal(seen(await curl('-0', `http://web${path}`)).url, path);
    });

    test('HEAD', async () => {
      const out = await curl('-I', 'http://web/head');
      assert.match(out, /^HTTP\/1\.1 200 OK\r\n/);
      assert.match(out, /\r\nContent-Length: \d+\r\n/i);
    });

    test('CONNECT, with requests inside', async () => {
      assert.deepEqual(seen(await curl('--proxytunnel', 'http://web/tunnel')).url, '/tunnel');
    });

    test('CONNECT, with TLS inside', { skip: without('openssl') }, async () => {
      const [key, cert] = [join(dir, 'key'), join(dir, 'cert')];
      const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
      await run('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=tls']);
      const tls = createTlsServer({ key: await readFile(key), cert: await readFile(cert) }, answer);
      tls.listen(0, '127.0.0.1');
      await once(tls, 'listening');
      const other = await runDiscoDaemon({ tls: [`127.0.0.1 ${(tls.address() as AddressInfo).port}`] });
      try {
        const args = [
          '-x',
          `http://127.0.0.1:${other.port}`,
          '--cacert',
          cert,
          '--data-binary',
          `@${join(dir, 'big')}`,
        ];
        assert.equal(seen(await curl(...args, 'https://tls/secret')).sha256, bigSum);
      } finally {
        await other.stop();
        tls.closeAllConnections();
        tls.close();
      }
    });
  });

  test('wget', { skip: without('wget') }, async () => {
    const wget = (...args: string[]) => run('wget', ['-q', '-O', '-', ...args]);
    assert.equal(seen(await wget('http://web/chunked')).host, 'web');
    const posted = seen(await wget(`--post-file=${join(dir, 'big')}`, 'http://web/b'));
    assert.deepEqual([posted.method, posted.sha256], ['POST', bigSum]);
  });

  test("python's urllib and http.client", { skip: without('python3') }, async () => {
    const script = `
import http.client, sys, urllib.parse, urllib.request
print(urllib.request.urlopen('http://web/chunked').read().decode(), end='')
print(urllib.request.urlopen('http://web/post', data=open(sys.argv[1], 'rb').read()).read().decode(), end='')
tunnel = http.client.HTTPConnection(urllib.parse.urlsplit(sys.argv[2]).netloc)
tunnel.set_tunnel('web', 80)
for path in ('/one', '/two'):
    tunnel.request('PUT', path, body=iter([b'a', b'bc']), encode_chunked=True, headers={'Transfer-Encoding': 'chunked'})
    print(tunnel.getresponse().read().decode(), end='')
`;
    const out = await run('python3', ['-c', script, join(dir, 'big'), proxy]);
    const [got, posted, one, two] = out.trim().split('\n').map(seen);
    assert.deepEqual([got?.url, posted?.sha256], ['/chunked', bigSum]);
    assert.deepEqual([one?.url, one?.length, two?.url, two?.length], ['/one', 3, '/two', 3]);
  });

  describe('Node', () => {
    const node = (script: string) =>
      run(process.execPath, ['--input-type=module', '-e', script], {
        env: { NODE_USE_ENV_PROXY: '1', BIG: join(dir, 'big') },
      });

    test('fetch, with bodies and without', async () => {
      const out = await node(`
        import { createReadStream } from 'node:fs';
        const print = async (answer) => process.stdout.write(await (await answer).text());
        await print(fetch('http://web/fetch'));
        await print(fetch('http://web/chunked', { method: 'POST', body: 'known' }));
        await print(fetch('http://web/stream', { method: 'POST', body: createReadStream(process.env.BIG), duplex: 'half' }));
      `);
      const [get, post, stream] = out.trim().split('\n').map(seen);
      assert.deepEqual([get?.url, post?.length, stream?.sha256], ['/fetch', 5, bigSum]);
    });

    test('undici, asking the proxy and through a tunnel', async () => {
      const out = await node(`
        import { EnvHttpProxyAgent, ProxyAgent, request } from 'undici';
        const uri = process.env.http_proxy;
        for (const [path, agent] of [
          ['/env', new EnvHttpProxyAgent()],
          ['/asked', new ProxyAgent({ uri, proxyTunnel: false })],
          ['/tunnel', new ProxyAgent({ uri, proxyTunnel: true })],
        ]) {
          const { body } = await request('http://web' + path, { dispatcher: agent, method: 'POST', body: 'undici' });
          process.stdout.write(await body.text());
          await agent.close();
        }
      `);
      assert.deepEqual(urlsAndLengths(out), [
        ['/env', 6],
        ['/asked', 6],
        ['/tunnel', 6],
      ]);
    });

    test('http.Agent with proxyEnv, keeping its connection', async () => {
      const out = await node(`
        import { Agent, request } from 'node:http';
        const agent = new Agent({ keepAlive: true, maxSockets: 1, proxyEnv: process.env });
        for (const path of ['/1', '/chunked', '/3']) {
          await new Promise((resolve, reject) => {
            const call = request('http://web' + path, { agent, method: 'POST' }, (answer) => {
              answer.on('data', (piece) => process.stdout.write(piece)).on('end', resolve);
            });
            call.on('error', reject).end('body');
          });
        }
        agent.destroy();
      `);
      assert.deepEqual(urlsAndLengths(out), [
        ['/1', 4],
        ['/chunked', 4],
        ['/3', 4],
      ]);
    });

    test('WebSocket', async () => {
      const out = await node(`
        const socket = new WebSocket('ws://web/chat');
        socket.onopen = () => socket.send('hello');
        socket.onerror = (event) => { console.error(event.message ?? event.error); process.exit(1); };
        socket.onmessage = ({ data }) => { console.log(data); process.exit(0); };
      `);
      assert.equal(out, 'hello\n');
    });
  });
});

/** What was asked for and how long its body was, a line each. */
function urlsAndLengths(lines: string): unknown[] {
  return lines
    .trim()
    .split('\n')
    .map(seen)
    .map(({ url, length }) => [url, length]);
}
