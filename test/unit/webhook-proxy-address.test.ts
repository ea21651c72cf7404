import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../../lib/log.ts';
import { AutoProxyAddress } from '../../webhook/auto-proxy-address.ts';
import { decideProxyAddress, hostIpFamily, type NodeAddresses, trimNode } from '../../webhook/proxy-address.ts';

const NODES: readonly NodeAddresses[] = [
  { name: 'node-1', internalIps: ['10.0.0.1', 'fd00::1'] },
  { name: 'node-2', internalIps: ['10.0.0.2'] },
];

function decide(names: Record<string, string[]>, nodes = NODES) {
  return decideProxyAddress(nodes, new Map(Object.entries(names)), undefined);
}

test('proxy address: by name where every name resolves to its node, to all or the first of its addresses', () => {
  assert.deepEqual(decide({ 'node-1': ['fd00::1', '10.0.0.1'], 'node-2': ['10.0.0.2'] }).address, { by: 'nodeName' });
  assert.deepEqual(decide({ 'node-1': ['10.0.0.1'], 'node-2': ['10.0.0.2'] }).address, { by: 'nodeName' });
});

const BY_IP: readonly [string, Record<string, string[]>, RegExp][] = [
  ['one does not resolve', { 'node-1': ['10.0.0.1'] }, /node-2 does not resolve/],
  ['one resolves elsewhere', { 'node-1': ['10.0.0.1'], 'node-2': ['127.0.1.1'] }, /node-2 resolves to 127\.0\.1\.1/],
  ['one resolves elsewhere too', { 'node-1': ['10.0.0.1'], 'node-2': ['10.0.0.2', '9.9.9.9'] }, /9\.9\.9\.9/],
  ['one resolves to its second address only', { 'node-1': ['fd00::1'], 'node-2': ['10.0.0.2'] }, /node-1 resolves/],
];
for (const [name, resolved, why] of BY_IP) {
  test(`proxy address: by host IP where ${name}`, () => {
    const decision = decide(resolved);
    assert.deepEqual(decision.address, { by: 'hostIP', family: 4 });
    assert.match(decision.why, why);
  });
}

test('proxy address: by host IP where no node is known, or a node has no address', () => {
  assert.deepEqual(decide({}, []).address, { by: 'hostIP', family: 4 });
  const none = [{ name: 'n', internalIps: [] }];
  assert.deepEqual(decide({ n: ['10.0.0.1'] }, none).address, { by: 'hostIP', family: 4 });
});

test("proxy address: the host IP's family is that of the nodes, else that of the own pod, else IPv4", () => {
  const six = [{ name: 'n', internalIps: ['fd00::1'] }];
  assert.equal(hostIpFamily(six, '10.0.0.1'), 6);
  assert.equal(hostIpFamily(NODES, 'fd00::9'), 4);
  assert.equal(hostIpFamily([], 'fd00::9'), 6);
  assert.equal(hostIpFamily([], undefined), 4);
});

test('proxy address: a node is trimmed to its internal addresses', () => {
  const status = {
    addresses: [
      { type: 'Hostname', address: 'n' },
      { type: 'ExternalIP', address: '1.2.3.4' },
      { type: 'InternalIP', address: '10.0.0.1' },
    ],
  };
  const node = { metadata: { name: 'n' }, status };
  assert.deepEqual(trimNode(node), { name: 'n', internalIps: ['10.0.0.1'] });
  assert.deepEqual(trimNode({ metadata: { name: 'n' } }), { name: 'n', internalIps: [] });
});

test('proxy address: auto follows nodes and asks only for names that are new', async (t) => {
  const asked: string[] = [];
  const dns: Record<string, string[]> = { 'node-1': ['10.0.0.1'], 'node-2': ['10.0.0.2'] };
  let nodes: readonly NodeAddresses[] = NODES;
  const auto = new AutoProxyAddress({
    lookup: async (name) => {
      asked.push(name);
      const found = dns[name];
      if (found === undefined) throw new Error(`getaddrinfo ENOTFOUND ${name}`);
      return found;
    },
    nodes: () => nodes,
    ownIp: undefined,
    log: createLog('test', 'silent'),
  });
  t.after(() => auto.stop());
  assert.deepEqual(auto.current, { by: 'hostIP', family: 4 });
  await auto.check();
  assert.deepEqual(auto.current, { by: 'nodeName' });
  assert.deepEqual(asked, ['node-1', 'node-2']);

  nodes = [...NODES, { name: 'node-3', internalIps: ['10.0.0.3'] }];
  await auto.check();
  assert.deepEqual(auto.current, { by: 'hostIP', family: 4 });
  assert.deepEqual(asked, ['node-1', 'node-2', 'node-3']);

  nodes = NODES;
  await auto.check();
  assert.deepEqual(auto.current, { by: 'nodeName' });
  assert.deepEqual(asked, ['node-1', 'node-2', 'node-3']);
});
