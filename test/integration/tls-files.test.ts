import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { FileCredentials } from '../../daemon/identity/file-credentials.ts';
import type { Credentials } from '../../daemon/identity/identity.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { metricValue } from '../support/daemon.ts';
import { makeAuthority, makeIdentity, type TestAuthority } from '../support/identity.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';

/** The common name of the certificates that are made here. */
const NAME = 'nodemesh-daemon';

/** A directory of files as a kubelet keeps a Secret volume: each file a link through `..data`, which is swapped whole. */
class SecretVolume {
  readonly dir: string;
  #generation = 0;

  constructor(dir: string) {
    this.dir = dir;
  }

  path(file: string): string {
    return join(this.dir, file);
  }

  async write(files: Readonly<Record<string, string>>): Promise<void> {
    this.#generation += 1;
    const data = `..${this.#generation}`;
    await mkdir(this.path(data));
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(this.dir, data, name), text);
      if (this.#generation === 1) await symlink(join('..data', name), this.path(name));
    }
    await symlink(data, this.path('..data_tmp'));
    await rename(this.path('..data_tmp'), this.path('..data'));
  }
}

function pems({ certificate = '', key = '', authorities }: Credentials) {
  return { 'tls.crt': certificate, 'tls.key': key, 'ca.crt': authorities.join('\n') };
}

describe('TLS by files', () => {
  let ca: TestAuthority;
  let otherCa: TestAuthority;
  let dir: string;
  let volume: SecretVolume;
  const registry = new MetricsRegistry();
  const loads = registry.counter('loads', '', ['result']);
  const log = createLog('test', 'silent');

  before(async () => {
    [ca, otherCa] = await Promise.all([makeAuthority(), makeAuthority()]);
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nodemesh-tls-'));
    volume = new SecretVolume(dir);
  });
  afterEach(() => rm(dir, { recursive: true }));

  const read = () =>
    new FileCredentials(
      {
        certPath: volume.path('tls.crt'),
        keyPath: volume.path('tls.key'),
        intermediateCertsPath: undefined,
        authorityPaths: [volume.path('ca.crt')],
      },
      log,
      loads,
    );
  const counted = (result: string) => metricValue(registry.render(), 'loads', { result });

  test('a volume that is swapped counts at once, and tells whoever listens', async () => {
    const [one, two] = [makeIdentity(ca, 'node-1'), makeIdentity(otherCa, 'node-1')];
    await volume.write(pems(one));
    const files = read();
    assert.equal(files.current.certificate, one.certificate.trim());
    const { ticketKeys } = files.current;
    assert.deepEqual(read().current.ticketKeys, ticketKeys, 'the same in every thread');
    let changes = 0;
    files.onChange(() => {
      changes += 1;
    });
    await volume.write(pems(two));
    assert.equal(files.current.certificate, two.certificate.trim());
    assert.deepEqual(files.current.authorities, [otherCa['ca.crt'].replaceAll('\r', '').trim()]);
    assert.notDeepEqual(files.current.ticketKeys, ticketKeys);
    assert.deepEqual([changes, counted('success')], [1, 1]);
  });

  test('what cannot be used leaves the last good files in force, and is counted once', async () => {
    const [one, two] = [makeIdentity(ca, 'node-1'), makeIdentity(ca, 'node-1')];
    await volume.write(pems(one));
    const files = read();
    const bad = [
      { ...pems(two), 'tls.key': one.key },
      { ...pems(two), 'tls.crt': 'no PEM' },
      { ...pems(two), 'tls.key': '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n' },
      { ...pems(two), 'ca.crt': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
    ];
    for (const [i, texts] of bad.entries()) {
      await volume.write(texts);
      for (let j = 0; j < 2; j += 1) assert.equal(files.current.certificate, one.certificate.trim());
      assert.equal(counted('failure'), i + 1);
    }
    await rm(volume.path('..data'));
    assert.equal(files.current.certificate, one.certificate.trim());
    await volume.write(pems(two));
    assert.equal(files.current.certificate, two.certificate.trim());
  });

  test('files that cannot be used at the start are an error that names the path and the reason', async () => {
    assert.throws(read, /ca\.crt.*no such file|ENOENT.*ca\.crt/);
    await volume.write({ ...pems(makeIdentity(ca, 'node-1')), 'tls.key': makeIdentity(ca, 'node-1').key });
    assert.throws(read, /tls\.key is not the key of the certificate in .*tls\.crt/);
  });
});

describe('two daemons with certificates from files', () => {
  let ca: TestAuthority;
  let dir: string;
  let volume: SecretVolume;
  let mesh: TestMesh;
  let world: TestPod;

  const ask = (fields: Record<string, string> = {}) =>
    new Promise<{ status: number; error: unknown; body: string }>((resolve, reject) => {
      const { ip: host, port } = mesh.daemon('node-1').listening.outgoing?.[0] ?? { ip: '', port: 0 };
      const headers = { host: 'world', ...fields };
      const sent = request({ host, port, path: 'http://world/', headers, localAddress: '127.69.1.10', agent: false });
      sent.on('error', reject);
      sent.on('response', async (response) => {
        let body = '';
        for await (const piece of response) body += piece;
        resolve({ status: response.statusCode ?? 0, error: response.headers['l5d-err'], body });
      });
      sent.end();
    });
  const metric = async (node: string, name: string, labels: Record<string, string>) =>
    metricValue(await mesh.daemon(node).metrics(), name, labels);
  const incoming = () => ({ host: '127.69.2.1', port: mesh.daemon('node-2').port('incoming') });

  before(async () => {
    ca = await makeAuthority();
    dir = await mkdtemp(join(tmpdir(), 'nodemesh-tls-'));
    volume = new SecretVolume(dir);
    await volume.write(pems(makeIdentity(ca, 'any')));
    const pair = `certPath: ${volume.path('tls.crt')}, keyPath: ${volume.path('tls.key')}`;
    const client = `{commonName: ${NAME}, trustCertsBundle: ${volume.path('ca.crt')}, clientAuth: {${pair}}}`;
    mesh = await TestMesh.start({ 'node-1': '127.69.1.1', 'node-2': '127.69.2.1' }, true, {
      incomingKeys: `tls: {${pair}, caCertPath: ${volume.path('ca.crt')}, requireClientAuth: true}`,
      outgoingRouterKeys: [`client: {tls: ${client}}`],
    });
    await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.69.1.10', node: 'node-1' });
    world = await mesh.pod({ namespace: 'shop', name: 'world', ip: '127.69.2.11', node: 'node-2' });
    await mesh.service('shop', 'world', [{ name: 'http', port: 7778 }]);
    await mesh.endpoints('shop', 'world', [world]);
    await until(ask, ({ status }) => status === 200);
  });
  after(async () => {
    await mesh.stop();
    await rm(dir, { recursive: true });
  });

  test('requests go over mutual TLS', async () => {
    assert.deepEqual(await ask(), { status: 200, error: undefined, body: world.ip });
    assert.ok((await metric('node-2', 'tls_connection_total', { side: 'server', handshake: 'full' })) >= 1);
  });

  test('a caller in plaintext, without a certificate or of another CA is refused', async () => {
    const other = makeIdentity(await makeAuthority(), 'any');
    const cases = [
      ['plaintext', () => connectTcp(incoming())],
      ['no_certificate', () => connect({ ...incoming(), rejectUnauthorized: false })],
      [
        'wrong_authority',
        () => connect({ ...incoming(), rejectUnauthorized: false, cert: other.certificate, key: other.key }),
      ],
    ] as const;
    for (const [reason, open] of cases) {
      const socket = open();
      socket.write(`GET / HTTP/1.1\r\nHost: world.shop\r\nmesh-endpoint: ${world.ip}:1\r\n\r\n`);
      let answer = '';
      for await (const piece of socket) answer += piece;
      assert.match(answer, /^HTTP\/1\.1 502 .*\r\nmesh-error: peer_refused/, reason);
      assert.equal(await metric('node-2', 'tls_refused_total', { side: 'server', reason }), 1);
    }
  });

  test('a caller with a certificate of that CA counts as a daemon: it may pick the pod', async () => {
    const { certificate: cert, key } = makeIdentity(ca, 'other');
    const socket = connect({ ...incoming(), rejectUnauthorized: false, cert, key });
    const picked = `mesh-endpoint: ${world.ip}:${world.port}\r\nmesh-service: none.shop`;
    socket.write(`GET / HTTP/1.1\r\nHost: nowhere\r\nConnection: close\r\n${picked}\r\n\r\n`);
    let answer = '';
    for await (const piece of socket) answer += piece;
    assert.match(answer, /^HTTP\/1\.1 200 /);
  });

  test('a certificate for another name is sent nothing, and the 502 says so', async () => {
    const { ip, port } = mesh.daemon('node-2').listening.incoming?.[0] ?? { ip: '', port: 0 };
    const daemons = [{ namespace: 'nodemesh', name: 'daemon-node-2', node: 'node-2', ip, port }];
    const wrong = await TestMesh.start({ 'node-1': '127.69.3.1' }, true, {
      outgoingRouterKeys: [`client: {tls: {commonName: linkerd, trustCerts: [${volume.path('ca.crt')}]}}`],
    });
    try {
      await wrong.pod({ namespace: 'shop', name: 'hello', ip: '127.69.3.10', node: 'node-1' });
      await wrong.endpoints('nodemesh', 'nodemesh-daemon', daemons, 'incoming');
      await wrong.service('shop', 'world', [{ name: 'http', port: 7778 }]);
      await wrong.endpoints('shop', 'world', [world]);
      const at = { host: '127.69.3.1', port: wrong.daemon('node-1').port('outgoing'), localAddress: '127.69.3.10' };
      const get = () =>
        new Promise<{ error: unknown; body: string }>((resolve, reject) => {
          const sent = request({ ...at, path: 'http://world/', headers: { host: 'world' }, agent: false });
          sent.on('error', reject).end();
          sent.on('response', async (response) => {
            let body = '';
            for await (const piece of response) body += piece;
            resolve({ error: response.headers['l5d-err'], body });
          });
        });
      const { body } = await until(get, ({ error }) => error === 'peer_not_trusted');
      assert.match(body, /its certificate is not for "linkerd" but for URI:spiffe/);
    } finally {
      await wrong.stop();
    }
  });

  test('/metrics says how long the certificates of files are still good, and follows the files', async () => {
    const expiry = () => metric('node-2', 'identity_expiry_seconds', { file: volume.path('tls.crt') });
    const endsIn = (certificate: string) => (Date.parse(new X509Certificate(certificate).validTo) - Date.now()) / 1_000;
    const first = makeIdentity(ca, 'any');
    assert.ok(Math.abs((await expiry()) - endsIn(first.certificate)) < 60);
    const long = makeIdentity(ca, 'any', { to: 240 });
    await volume.write(pems(long));
    assert.ok(Math.abs((await expiry()) - endsIn(long.certificate)) < 60);
  });

  test('files that are swapped serve the next connection, another CA too; connections that stand go on', async () => {
    const full = () => metric('node-2', 'tls_connection_total', { side: 'server', handshake: 'full' });
    const before = await full();
    const next = await makeAuthority();
    await volume.write(pems({ ...makeIdentity(next, 'any'), authorities: [next['ca.crt']] }));
    assert.equal((await ask()).status, 200);
    assert.equal(await full(), before, 'over the connection that stood');
    const { certificate: cert, key } = makeIdentity(next, 'any');
    const socket = connect({ ...incoming(), cert, key, ca: next['ca.crt'], checkServerIdentity: () => undefined });
    socket.write('GET / HTTP/1.1\r\nHost: world.shop\r\nConnection: close\r\n\r\n');
    let answer = '';
    for await (const piece of socket) answer += piece;
    assert.match(answer, /^HTTP\/1\.1 200 /);
  });
});
