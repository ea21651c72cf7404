import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { describe, test } from 'node:test';
import { parseDaemonConfig } from '../../daemon/config.ts';
import { NodeAddresses } from '../../daemon/discovery/node-addresses.ts';
import { EgressNames } from '../../daemon/naming/egress-names.ts';
import type { Binding } from '../../daemon/naming/endpoint.ts';
import { EgressGuard } from '../../daemon/policy/egress-guard.ts';
import { OwnAddresses } from '../../daemon/policy/own-addresses.ts';
import { trimNode } from '../../lib/kubernetes/node.ts';
import type { KubernetesObject } from '../../lib/kubernetes/types.ts';

const isDaemon = (address: string) => address === '10.0.0.7' || address === 'fd00::7';

const ips = (binding: Binding) => binding.endpoints().map(({ ip }) => ip);

describe('egress guard', () => {
  test('by default everything outside is open but what must never be', () => {
    const guard = new EgressGuard({ default: 'allow', allow: [] }, isDaemon);
    assert.equal(guard.refusesName('example.com'), undefined);
    for (const open of ['93.184.216.34', '10.1.2.3', '2001:db8::1', '::ffff:a01:203', '64:ff9b::5db8:d822']) {
      assert.equal(guard.refusesAddress('example.com', open, 443), undefined, open);
    }
    for (const shut of [
      '127.0.0.1',
      '127.8.8.8',
      '::1',
      '::ffff:127.0.0.1',
      '169.254.169.254',
      '::ffff:169.254.169.254',
      '::ffff:7f00:1',
      '0:0:0:0:0:FFFF:a9fe:a9fe',
      '::ffff:a00:7',
      '0:0:0:0:0:0:0:1',
      '::7f00:1',
      '64:ff9b::a9fe:a9fe',
      'FD00:EC2:0::254',
      'fd00::7',
      'FD00:0::7',
      '::ffff:a9fe:a9fe',
      '0:0:0:0:0:ffff:7f00:1',
      '::127.0.0.1',
      '64:ff9b::a9fe:a9fe',
      '169.254.170.2',
      '100.100.100.200',
      '168.63.129.16',
      '192.0.0.192',
      'fd00:ec2::23',
      'FD00:0EC2:0:0::254',
      'fd20:ce::254',
      'fd00:c1::a9fe:a9fe',
      'fd00:42::42',
      '::ffff:10.0.0.7',
      '::ffff:a00:7',
      'fe80::1',
      'fd00:ec2::254',
      '0.0.0.0',
      '224.0.0.1',
      '255.255.255.255',
      '10.0.0.7',
    ]) {
      assert.notEqual(guard.refusesAddress('example.com', shut, 443), undefined, shut);
    }
  });

  test('deny lets through what is listed, by name or by network', () => {
    const guard = new EgressGuard(
      { default: 'deny', allow: ['api.example.com', '*.cdn.example', '192.0.2.0/24'] },
      isDaemon,
    );
    assert.equal(guard.refusesName('api.example.com'), undefined);
    assert.equal(guard.refusesName('a.b.cdn.example'), undefined);
    assert.match(guard.refusesName('cdn.example') ?? '', /egress\.allow/);
    assert.match(guard.refusesName('api.example.com.evil.example') ?? '', /egress\.allow/);
    assert.equal(guard.refusesAddress('192.0.2.9', '192.0.2.9', 443), undefined);
    assert.match(guard.refusesAddress('192.0.3.9', '192.0.3.9', 443) ?? '', /not among/);
  });

  test('a listed name that resolves to a guarded address stays refused; a listed network opens it', () => {
    const byName = new EgressGuard({ default: 'deny', allow: ['metadata.example'] }, isDaemon);
    assert.match(byName.refusesAddress('metadata.example', '169.254.169.254', 443) ?? '', /metadata/);
    const byNetwork = new EgressGuard({ default: 'allow', allow: ['169.254.169.254', '10.0.0.7/32'] }, isDaemon);
    assert.equal(byNetwork.refusesAddress('metadata.example', '169.254.169.254', 443), undefined);
    assert.equal(byNetwork.refusesAddress('10.0.0.7', '10.0.0.7', 443), undefined);
  });

  describe('nodes, whether or not a daemon runs there', () => {
    const nodes = new NodeAddresses();
    const node = trimNode({
      metadata: { name: 'plain' },
      spec: { podCIDR: '10.244.3.0/24', podCIDRs: ['10.244.3.0/24', 'fd10:3::/64'] },
      status: {
        addresses: [
          { type: 'Hostname', address: 'plain' },
          { type: 'InternalIP', address: '10.0.0.9' },
          { type: 'InternalIP', address: 'FD00:0::9' },
          { type: 'ExternalIP', address: '203.0.113.9' },
        ],
      },
    } as KubernetesObject);
    nodes.apply([{ key: 'plain', object: node, previous: undefined }]);
    const guard = new EgressGuard({ default: 'allow', allow: [] }, isDaemon, nodes);
    const refusal = (address: string, port: number) => guard.refusesAddress('example.com', address, port);

    test('their kubelets, kube-proxies and node ports are refused by name, at every address', () => {
      for (const address of ['10.0.0.9', '::ffff:10.0.0.9', 'fd00::9', '203.0.113.9']) {
        assert.match(refusal(address, 10_250) ?? '', /is the address of a node, and 10250 is the kubelet's port$/);
        for (const port of [10_248, 10_249, 10_255, 10_256])
          assert.match(refusal(address, port) ?? '', /node/, `${port}`);
        assert.match(refusal(address, 30_000) ?? '', /30000 is in the range of node ports$/);
        assert.match(refusal(address, 32_767) ?? '', /node ports/);
        for (const port of [80, 443, 9_100, 29_999, 32_768]) assert.equal(refusal(address, port), undefined, `${port}`);
      }
    });

    test('their kubelets are refused at their addresses in the pod network; pods there keep their ports', () => {
      for (const address of ['10.244.3.1', 'fd10:3::1']) {
        assert.match(refusal(address, 10_250) ?? '', /kubelet/);
        assert.equal(refusal(address, 30_000), undefined);
      }
      assert.equal(refusal('10.244.4.1', 10_250), undefined);
      assert.equal(refusal('93.184.216.34', 10_250), undefined);
    });

    test('a listed network opens them', () => {
      const open = new EgressGuard({ default: 'deny', allow: ['10.0.0.9'] }, isDaemon, nodes);
      assert.equal(open.refusesAddress('10.0.0.9', '10.0.0.9', 10_250), undefined);
      assert.notEqual(open.refusesAddress('203.0.113.9', '203.0.113.9', 10_250), undefined);
    });

    test('a node that leaves, or moves, takes its addresses along', () => {
      const changing = new NodeAddresses();
      const moved = { ...node, ips: ['10.0.0.10'], podCIDRs: ['10.244.9.0/24'] };
      changing.apply([{ key: 'plain', object: node, previous: undefined }]);
      changing.apply([{ key: 'plain', object: moved, previous: node }]);
      assert.deepEqual([changing.has('10.0.0.9'), changing.has('10.0.0.10')], [false, true]);
      assert.deepEqual([changing.inPodNetwork('10.244.3.1'), changing.inPodNetwork('10.244.9.1')], [false, true]);
      changing.apply([{ key: 'plain', object: undefined, previous: moved }]);
      assert.deepEqual([changing.has('10.0.0.10'), changing.inPodNetwork('10.244.9.1')], [false, false]);
    });
  });

  test("the host's own addresses are those that its interfaces have now", () => {
    let now = 0;
    let interfaces: NodeJS.Dict<NetworkInterfaceInfo[]> = {};
    const own = new OwnAddresses(
      '10.0.0.1',
      () => interfaces,
      () => now,
    );
    assert.deepEqual([own.has('10.0.0.1'), own.has('10.244.0.1')], [true, false]);
    interfaces = { cni0: [{ address: '10.244.0.1' } as NetworkInterfaceInfo] };
    now = 5_000;
    assert.equal(own.has('10.244.0.1'), true);
  });

  test('a name that resolves to something else the second time is judged by that', async () => {
    let now = 0;
    let answer = ['93.184.216.34'];
    const names = new EgressNames({
      resolve: async () => answer,
      guard: new EgressGuard({ default: 'deny', allow: ['rebind.example'] }, isDaemon),
      parentProxy: undefined,
      now: () => now,
    });
    const first = await names.find('rebind.example', 80);
    answer = ['169.254.169.254', '127.0.0.1'];
    assert.deepEqual(ips(await names.find('rebind.example', 80)), ['93.184.216.34'], 'what was judged is what is used');
    now = 5_000;
    await assert.rejects(names.find('rebind.example', 80), { code: 'egress_refused' });
    assert.deepEqual(ips(first), ['93.184.216.34'], 'no binding resolves its name again');
    answer = ['127.0.0.1', '198.51.100.7'];
    now = 10_000;
    assert.deepEqual(
      ips(await names.find('rebind.example', 80)),
      ['198.51.100.7'],
      'only what is open is connected to',
    );
  });

  test('the config takes a word or lists, and refuses what is neither', () => {
    const environment = { nodeName: 'n', nodeIp: undefined, podNamespace: undefined };
    const parse = (egress: string) =>
      parseDaemonConfig('f', `routers: [{protocol: http}]\negress: ${egress}`, environment).egress;
    assert.deepEqual(parse('deny'), { default: 'deny', allow: [] });
    assert.deepEqual(parse('{allow: ["*.example.com", 10.0.0.0/8]}'), {
      default: 'deny',
      allow: ['*.example.com', '10.0.0.0/8'],
    });
    assert.throws(() => parse('maybe'), /egress/);
    assert.throws(() => parse('{allow: ["not a name"]}'), /egress/);
  });
});
