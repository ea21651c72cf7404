import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpointSlices, endpointSubsets } from '../../scripts/playground/endpoints.ts';
import type { NodeObject, PodObject, ServiceObject, WorkloadObject } from '../../scripts/playground/objects.ts';
import { ownerUid, pickNode, planDaemonSet, planDeployment } from '../../scripts/playground/workloads.ts';

const READY = [{ type: 'Ready', status: 'True' }];

function pod(name: string, fields: Partial<PodObject> = {}): PodObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', uid: `uid-${name}`, labels: { app: 'world' } },
    spec: { nodeName: 'node-1', containers: [{ name: 'c', ports: [{ name: 'web', containerPort: 7778 }] }] },
    ...fields,
  };
}

function service(spec: ServiceObject['spec']): ServiceObject {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name: 'world', namespace: 'shop' }, spec };
}

function deployment(replicas: number, image = 'one'): WorkloadObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'world', namespace: 'shop', uid: 'uid-world' },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'world' } },
      template: { metadata: { labels: { app: 'world' } }, spec: { containers: [{ name: 'c', image }] } },
    },
  };
}

const nodes = ['node-1', 'node-2'].map((name): NodeObject => ({ apiVersion: 'v1', kind: 'Node', metadata: { name } }));

/** A different, never ending run of names each time it is called. */
function sequence(): () => number {
  let i = 0;
  return () => {
    i += 1;
    return (i * 0.37) % 1;
  };
}

test('Endpoints hold the ready and the unready pods of the selector, with node, pod and resolved port', () => {
  const ready = pod('b', { status: { podIP: '127.77.1.11', conditions: READY } });
  const unready = pod('a', { status: { podIP: '127.77.1.10' } });
  const others = [
    pod('no-address'),
    pod('other-namespace', {
      metadata: { name: 'x', namespace: 'bar', labels: { app: 'world' } },
      status: { podIP: '127.77.1.12', conditions: READY },
    }),
    pod('terminating', {
      metadata: { name: 'y', namespace: 'shop', labels: { app: 'world' }, deletionTimestamp: '2026-01-01T00:00:00Z' },
      status: { podIP: '127.77.1.13', conditions: READY },
    }),
    pod('other-label', {
      metadata: { name: 'z', namespace: 'shop', labels: { app: 'hello' } },
      status: { podIP: '127.77.1.14', conditions: READY },
    }),
  ];
  const world = service({ selector: { app: 'world' }, ports: [{ name: 'http', port: 80, targetPort: 'web' }] });
  const target = (name: string) => ({ kind: 'Pod', name, namespace: 'shop', uid: `uid-${name}` });
  assert.deepEqual(endpointSubsets(world, [ready, unready, ...others]), [
    {
      addresses: [{ ip: '127.77.1.11', nodeName: 'node-1', targetRef: target('b') }],
      notReadyAddresses: [{ ip: '127.77.1.10', nodeName: 'node-1', targetRef: target('a') }],
      ports: [{ name: 'http', port: 7778, protocol: 'TCP' }],
    },
  ]);
});

test('a port without a target port is its own target, and pods with other numbers get their own subset', () => {
  const one = pod('a', { status: { podIP: '127.77.1.10', conditions: READY } });
  const two = pod('b', {
    spec: { containers: [{ name: 'c', ports: [{ name: 'web', containerPort: 9 }] }] },
    status: { podIP: '127.77.1.11', conditions: READY },
  });
  const ports = (targetPort?: string) =>
    endpointSubsets(
      service({
        selector: { app: 'world' },
        ports: [{ port: 7, ...(targetPort === undefined ? {} : { targetPort }) }],
      }),
      [one, two],
    ).map((subset) => subset.ports.map(({ port }) => port));
  assert.deepEqual(ports(), [[7]]);
  assert.deepEqual(ports('web'), [[7778], [9]]);
});

test('EndpointSlices say the same as Endpoints', () => {
  const ready = pod('b', { status: { podIP: '127.77.1.11', conditions: READY } });
  const world = service({ selector: { app: 'world' }, ports: [{ port: 7778 }] });
  const [slice] = endpointSlices(world, endpointSubsets(world, [ready])) as [
    { metadata: { labels: Record<string, string> }; endpoints: { addresses: string[]; nodeName: string }[] },
  ];
  assert.equal(slice.metadata.labels['kubernetes.io/service-name'], 'world');
  assert.deepEqual(
    slice.endpoints.map(({ addresses, nodeName }) => [addresses, nodeName]),
    [[['127.77.1.11'], 'node-1']],
  );
});

test('a Deployment gets its pods, and loses the unready ones first', () => {
  const random = sequence();
  const made = planDeployment(deployment(3), [], random).create;
  assert.equal(made.length, 3);
  assert.equal(new Set(made.map(({ metadata }) => metadata.name)).size, 3);
  assert.ok(made.every((one) => ownerUid(one) === 'uid-world' && one.metadata.labels?.app === 'world'));
  const running = made.map((one, i) => ({ ...one, status: { conditions: i === 1 ? [] : READY } }));
  const { create, remove } = planDeployment(deployment(2), running, random);
  assert.deepEqual(create, []);
  assert.deepEqual(remove, [running[1]]);
});

test('a changed template rolls one by one and is never short of ready pods', () => {
  const random = sequence();
  const asReady = (one: PodObject): PodObject => ({ ...one, status: { conditions: READY } });
  let pods = planDeployment(deployment(3), [], random).create.map(asReady);
  const old = new Set(pods);
  for (let step = 0; step < 20 && [...pods].some((one) => old.has(one)); step += 1) {
    const { create, remove } = planDeployment(deployment(3, 'two'), pods, random);
    pods = pods.filter((one) => !remove.includes(one));
    assert.ok(pods.length >= 3, `${pods.length} ready pods`);
    assert.ok(pods.length + create.length <= 4, `${pods.length + create.length} pods at once`);
    pods = [...pods, ...create.map(asReady)];
  }
  assert.equal(pods.filter((one) => old.has(one)).length, 0);
  assert.equal(planDeployment(deployment(3, 'two'), pods, random).create.length, 0);
});

test('a template with its keys in another order is the same template', () => {
  const made = planDeployment(deployment(1), [], sequence()).create;
  const { template } = deployment(1).spec;
  const reordered = {
    ...deployment(1),
    spec: { ...deployment(1).spec, template: { spec: template.spec, metadata: template.metadata ?? {} } },
  };
  assert.deepEqual(planDeployment(reordered, made, sequence()), { create: [], remove: [] });
});

test('a DaemonSet puts one pod on each node, and none where one still ends', () => {
  const daemonSet = { ...deployment(0), kind: 'DaemonSet' };
  const { create } = planDaemonSet(daemonSet, [], nodes, sequence());
  assert.deepEqual(
    create.map(({ spec }) => spec.nodeName),
    ['node-1', 'node-2'],
  );
  const [first, second] = create as [PodObject, PodObject];
  const ending = { ...first, metadata: { ...first.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
  assert.deepEqual(planDaemonSet(daemonSet, [ending, second], nodes, sequence()), { create: [], remove: [] });
});

test('the scheduler spreads the pods of one owner, then all pods', () => {
  const random = sequence();
  const scheduled: PodObject[] = [];
  for (const one of planDeployment(deployment(3), [], random).create) {
    const nodeName = pickNode(one, scheduled, nodes);
    assert.ok(nodeName !== undefined);
    scheduled.push({ ...one, spec: { ...one.spec, nodeName } });
  }
  assert.deepEqual(
    scheduled.map(({ spec }) => spec.nodeName),
    ['node-1', 'node-2', 'node-1'],
  );
  assert.equal(pickNode(pod('other'), scheduled, nodes), 'node-2');
  assert.equal(pickNode(pod('other'), scheduled, []), undefined);
});
