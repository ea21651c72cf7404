import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { runDaemon, type TestDaemon } from '../support/daemon.ts';
import { TestMesh, until } from '../support/mesh.ts';
import { ask, RawServer } from '../support/raw-http.ts';

const NODE_IP = '127.68.1.1';

describe('what a daemon opens to no pod', () => {
  let mesh: TestMesh;
  let port: number;

  before(async () => {
    mesh = await TestMesh.start({ 'node-1': NODE_IP }, true);
    await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.68.1.10', node: 'node-1' });
    await mesh.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'without-daemon' },
      spec: { podCIDRs: ['198.51.100.0/24'] },
      status: { addresses: [{ type: 'InternalIP', address: '192.0.2.9' }] },
    });
    port = mesh.daemon('node-1').port('outgoing');
    await until(
      async () => refusal('192.0.2.9:10250'),
      (text) => text.includes('node'),
    );
  });
  after(() => mesh.stop());

  async function refusal(authority: string): Promise<string> {
    const to = { host: NODE_IP, port, localAddress: '127.68.1.10' };
    const { status, fields, body } = await ask(to, `GET http://${authority}/ HTTP/1.1\r\nHost: x`);
    return `${status} ${fields['l5d-err']} ${body.split('\n')[0]}`;
  }

  test("the kubelet and the node ports of a node that has no daemon, and its kubelet at its pods' network", async () => {
    assert.match(await refusal('192.0.2.9:10250'), /^403 egress_refused .*192\.0\.2\.9.* the kubelet's port$/);
    assert.match(await refusal('192.0.2.9:30080'), /^403 egress_refused .* node ports$/);
    assert.match(await refusal('[::ffff:192.0.2.9]:10255'), /^403 egress_refused .* read-only port$/);
    assert.match(await refusal('198.51.100.1:10250'), /^403 egress_refused .* the kubelet's port$/);
  });

  test("the daemon's own listeners, at an address that a Service has too", async () => {
    assert.match(await refusal(`${NODE_IP}:10250`), /^403 egress_refused /);
    assert.match(await refusal(`${NODE_IP}:30080`), /^403 egress_refused /);
  });

  test('cloud metadata and loopback, however they are written', async () => {
    for (const authority of [
      '169.254.169.254',
      '[::ffff:169.254.169.254]',
      '[::ffff:a9fe:a9fe]',
      '[64:ff9b::a9fe:a9fe]',
      '[fd00:ec2::254]',
      '100.100.100.200',
      '127.1',
      '0x7f.0.0.1',
      '0177.0.0.1',
      '127.3.2.1',
      '[::ffff:7f00:1]',
      '[::]',
      '0.0.0.0',
    ]) {
      assert.match(await refusal(authority), /^403 egress_refused /, authority);
    }
  });
});

describe('egress: deny', () => {
  let server: RawServer;
  let daemon: TestDaemon;

  before(async () => {
    server = await RawServer.answering('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    daemon = await runDaemon(`admin: {port: 0, shutdownGraceMs: 100}
namers: [{kind: io.l5d.fs, rootDir: ${import.meta.dirname}}]
routers: [{protocol: http, label: outgoing, servers: [{port: 0}]}]
egress: {default: deny, allow: [127.0.0.1/32, listed.example]}`);
  });
  after(async () => {
    await daemon.stop();
    await server.stop();
  });

  test('lets through what is listed, and names the list where it does not', async () => {
    const to = daemon.port('outgoing');
    const listed = await ask(to, `GET http://127.0.0.1:${server.port}/ HTTP/1.1\r\nHost: x`);
    assert.deepEqual([listed.status, listed.body], [200, 'ok']);
    for (const authority of ['unlisted.example', '127.0.0.2', 'api.listed.example', '93.184.216.34']) {
      const answer = await ask(to, `GET http://${authority}:${server.port}/ HTTP/1.1\r\nHost: x`);
      assert.deepEqual([answer.status, answer.fields['l5d-err']], [403, 'egress_refused'], authority);
    }
    const named = await ask(to, 'GET http://unlisted.example/ HTTP/1.1\r\nHost: x');
    assert.match(named.body, /egress\.allow/);
  });

  test('judges tunnels alike', async () => {
    const { port } = server;
    const refused = await ask(daemon.port('outgoing'), `CONNECT 127.0.0.2:${port} HTTP/1.1\r\nHost: x`);
    assert.equal(refused.fields['l5d-err'], 'egress_refused');
  });
});
