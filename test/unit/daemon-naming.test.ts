import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseDiscoFile } from '../../daemon/discovery/disco-directory.ts';
import { readyEndpoints } from '../../daemon/discovery/service-entry.ts';
import { parseAuthority } from '../../daemon/http/request-target.ts';
import type { Endpoint, RoutedEndpoint } from '../../daemon/naming/endpoint.ts';
import { serviceNames } from '../../daemon/naming/identifier.ts';
import { choosePort } from '../../daemon/naming/kubernetes-namer.ts';
import { daemonset, gatewaysByNode } from '../../daemon/naming/transformers/daemonset.ts';
import { localnode } from '../../daemon/naming/transformers/localnode.ts';
import { namespaceOfProxyUser } from '../../daemon/router/outgoing-router.ts';
import type { EndpointAddress } from '../../lib/kubernetes/endpoints.ts';
import { trimService } from '../../lib/kubernetes/service.ts';

function endpoint(ip: string, nodeName: string | undefined, port = 80): Endpoint {
  return { ip, port, nodeName, pod: `pod-${ip}`, hostname: undefined, zone: undefined };
}
const direct = (...endpoints: Endpoint[]): RoutedEndpoint[] =>
  endpoints.map((one) => ({ endpoint: one, path: { kind: 'direct' } }));

describe('identifier', () => {
  const context = { callerNamespace: 'shop', clusterDomain: 'cluster.local' };
  const cases: readonly (readonly [string, string])[] = [
    ['world', 'world/shop'],
    ['world.other', 'world/other'],
    ['world.other.svc', 'world/other'],
    ['world.other.svc.cluster.local', 'world/other'],
    ['web-0.world.other', 'web-0@world/other'],
    ['web-0.world.other.svc', 'web-0@world/other'],
    ['web-0.world.other.svc.cluster.local', 'web-0@world/other'],
    ['a.b.c.d', ''],
  ];
  for (const [host, expected] of cases) {
    test(`${host} → ${expected || 'outside'}`, () => {
      const names = serviceNames(host, context).map(
        ({ hostname, service, namespace }) => `${hostname === undefined ? '' : `${hostname}@`}${service}/${namespace}`,
      );
      assert.deepEqual(names, expected === '' ? [] : [expected]);
    });
  }

  test('a short name without a caller is no name', () => {
    assert.deepEqual(serviceNames('world', { ...context, callerNamespace: undefined }), []);
  });
});

describe('ports of a Service', () => {
  const service = (ports: object[], clusterIP = '10.96.0.1') =>
    trimService({ metadata: { name: 'world', namespace: 'shop' }, spec: { clusterIP, ports } } as never);
  const two = service([
    { name: 'metrics', port: 9090 },
    { name: 'http', port: 7778 },
  ]);

  test('without a port: 80, else "http", else the only one', () => {
    assert.deepEqual(
      choosePort(
        service([
          { name: 'x', port: 80 },
          { name: 'http', port: 8080 },
        ]),
        undefined,
      ),
      { kind: 'named', name: 'x' },
    );
    assert.deepEqual(choosePort(two, undefined), { kind: 'named', name: 'http' });
    assert.deepEqual(choosePort(service([{ port: 7778 }]), undefined), { kind: 'named', name: '' });
    assert.throws(
      () =>
        choosePort(
          service([
            { name: 'a', port: 1 },
            { name: 'b', port: 2 },
          ]),
          undefined,
        ),
      /1 \(a\), 2 \(b\)/,
    );
  });

  test('a port that is not declared is refused, except on a headless Service', () => {
    assert.throws(() => choosePort(two, 1234), /has no port 1234/);
    assert.deepEqual(choosePort(service([{ name: 'http', port: 7778 }], 'None'), 1234), {
      kind: 'number',
      number: 1234,
    });
  });
});

describe('endpoints of a Service', () => {
  const address = (ip: string, state: Partial<EndpointAddress> = {}): EndpointAddress => ({
    ip,
    nodeName: 'node-1',
    pod: `pod-${ip}`,
    hostname: undefined,
    zone: undefined,
    forZones: undefined,
    forNodes: undefined,
    ready: true,
    serving: true,
    terminating: false,
    ...state,
  });
  const group = (...addresses: EndpointAddress[]) => [
    { ports: [{ name: 'http', port: 80, appProtocol: undefined }], addresses },
  ];
  const ips = (addresses: EndpointAddress[], doubted = false) =>
    readyEndpoints(group(...addresses), { kind: 'named', name: 'http' }, undefined, doubted).map(({ ip }) => ip);

  test('the ready ones; where there are none, those that terminate but still serve', () => {
    const draining = address('10.0.0.2', { ready: false, serving: true, terminating: true });
    const gone = address('10.0.0.3', { ready: false, serving: false, terminating: true });
    assert.deepEqual(ips([address('10.0.0.1'), draining, gone]), ['10.0.0.1']);
    assert.deepEqual(ips([draining, gone]), ['10.0.0.2']);
    const unready = address('10.0.0.4', { ready: false, serving: false });
    assert.deepEqual(ips([unready]), []);
    assert.deepEqual(ips([unready, draining], true), ['10.0.0.2']);
    assert.deepEqual(ips([unready, gone], true), ['10.0.0.4']);
    assert.deepEqual(ips([address('10.0.0.1'), unready], true), ['10.0.0.1']);
    const published = address('10.0.0.5', { ready: true, serving: false, terminating: true });
    assert.deepEqual(ips([published, draining]), ['10.0.0.5'], 'publishNotReadyAddresses');
  });

  test('a pod with an address of each family counts once', () => {
    assert.deepEqual(ips([address('10.0.0.1', { pod: 'a' }), address('fd00::1', { pod: 'a' })]), ['10.0.0.1']);
    assert.deepEqual(ips([address('fd00::1', { pod: 'a' })]), ['fd00::1']);
  });
});

describe('transformers', () => {
  const daemons = gatewaysByNode([endpoint('10.0.0.1', 'node-1', 4141), endpoint('10.0.0.2', 'node-2', 4141)]);

  test('daemonset gives each pod the daemon of its node, and keeps a pod a pod', () => {
    const pods = [
      endpoint('10.1.0.1', 'node-1'),
      endpoint('10.1.1.1', 'node-2'),
      endpoint('10.1.1.2', 'node-2'),
      endpoint('10.1.2.1', 'node-3'),
    ];
    assert.deepEqual(
      daemonset(direct(...pods), daemons, 'node-1', 'direct').map(({ path }) =>
        path.kind === 'gateway' ? path.ip : path.kind,
      ),
      ['self', '10.0.0.2', '10.0.0.2', 'direct'],
    );
    assert.equal(daemonset(direct(...pods), daemons, 'node-1', 'fail').length, 3);
  });

  test('localnode keeps the pods of its node, by name', () => {
    const kept = localnode(direct(endpoint('10.1.0.1', 'node-1'), endpoint('10.1.0.2', 'node-2')), 'node-1');
    assert.deepEqual(
      kept.map(({ endpoint: { ip } }) => ip),
      ['10.1.0.1'],
    );
  });

  test("daemonset then localnode of the pod's node never loses a pod that has a daemon", () => {
    const pod = fc.record({ ip: fc.ipV4(), node: fc.constantFrom('node-1', 'node-2', 'node-3') });
    fc.assert(
      fc.property(
        fc.uniqueArray(pod, { selector: ({ ip }) => ip }),
        fc.constantFrom('node-1', 'node-2'),
        (pods, self) => {
          const set = direct(...pods.map(({ ip, node }) => endpoint(ip, node)));
          for (const { endpoint: one, path } of daemonset(set, daemons, self, 'fail')) {
            assert.notEqual(one.nodeName, 'node-3');
            assert.equal(path.kind === 'self', one.nodeName === self);
            if (path.kind === 'gateway') assert.equal(path.nodeName, one.nodeName);
            assert.equal(localnode([{ endpoint: one, path }], one.nodeName ?? '').length, 1);
          }
        },
      ),
    );
  });
});

describe('authorities', () => {
  test('hosts, ports, brackets', () => {
    assert.deepEqual(parseAuthority('World.Shop.:80'), { host: 'world.shop', port: 80, isAddress: false });
    assert.deepEqual(parseAuthority('[FD00:0::1]:80'), { host: 'fd00::1', port: 80, isAddress: true });
    assert.deepEqual(parseAuthority('[::ffff:7f00:1]'), { host: '127.0.0.1', port: undefined, isAddress: true });
    assert.deepEqual(parseAuthority('10.0.0.1'), { host: '10.0.0.1', port: undefined, isAddress: true });
  });

  test('any text either reads or is refused as bad_authority', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (text) => {
        try {
          const { host, port } = parseAuthority(text);
          assert.match(host, /^[0-9a-z_~.:-]+$/);
          assert.ok(port === undefined || (port > 0 && port < 65_536));
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'bad_authority');
        }
      }),
    );
  });
});

test("the proxy URL's user names a namespace, and nothing else passes for one", () => {
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
  assert.equal(namespaceOfProxyUser(basic('shop:')), 'shop');
  assert.equal(namespaceOfProxyUser(basic('shop:secret')), 'shop');
  for (const bad of [undefined, '', 'Bearer c2hvcDo=', basic(':'), basic('Shop:'), basic('a b:'), basic('a/b:')]) {
    assert.equal(namespaceOfProxyUser(bad), undefined);
  }
});

test('endpoint files: one "host port" a line, comments and weights', () => {
  const read = (text: string) => parseDiscoFile(text, 'disco/web').map(({ ip, port }) => `${ip} ${port}`);
  assert.deepEqual(read('127.0.0.1 80\n# note\n\nlocalhost 81 * 2.0\nfd00::1 82'), [
    '127.0.0.1 80',
    '127.0.0.1 81',
    'fd00::1 82',
  ]);
  assert.throws(() => read('127.0.0.1 80\nexample.com 80'), /disco\/web: line 2/);
  assert.throws(() => read('127.0.0.1'), /disco\/web: line 1/);
});
