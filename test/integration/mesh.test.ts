import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { metricValue } from '../support/daemon.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';
import { type RawAnswer, splitAnswers } from '../support/raw-http.ts';

const NODES = { 'node-1': '127.66.1.1', 'node-2': '127.66.2.1' };

/** Asks a node's outgoing router as a pod of a given address. */
async function askFrom(
  mesh: TestMesh,
  node: keyof typeof NODES,
  from: string,
  url: string,
  more = '',
): Promise<RawAnswer> {
  return askRouter(mesh, node, 'outgoing', from, `GET ${url} HTTP/1.1\r\nHost: x\r\n${more}`);
}

async function askRouter(
  mesh: TestMesh,
  node: keyof typeof NODES,
  router: 'outgoing' | 'incoming',
  from: string,
  head: string,
): Promise<RawAnswer> {
  const socket = connect({ host: NODES[node], port: mesh.daemon(node).port(router), localAddress: from });
  socket.write(`${head}Connection: close\r\n\r\n`);
  let wire = '';
  socket.on('data', (piece: Buffer) => {
    wire += piece.toString('latin1');
  });
  await once(socket, 'close');
  const [answer] = splitAnswers(wire);
  if (answer === undefined) throw new Error('no answer');
  return answer;
}

for (const endpointSlices of [true, false]) {
  describe(`two nodes, ${endpointSlices ? 'EndpointSlices' : 'Endpoints'}`, () => {
    let mesh: TestMesh;
    let caller: TestPod;
    let worlds: TestPod[];

    before(async () => {
      mesh = await TestMesh.start(NODES, endpointSlices);
      caller = await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.66.1.10', node: 'node-1' });
      worlds = [
        await mesh.pod({ namespace: 'shop', name: 'world-1', ip: '127.66.1.11', node: 'node-1' }),
        await mesh.pod({ namespace: 'shop', name: 'world-2', ip: '127.66.2.11', node: 'node-2' }),
        await mesh.pod({ namespace: 'shop', name: 'world-3', ip: '127.66.2.12', node: 'node-2' }),
      ];
      await mesh.service('shop', 'world', [{ name: 'http', port: 7778 }]);
      await mesh.endpoints('shop', 'world', worlds);
      for (const node of ['node-1', 'node-2'] as const) {
        const from = node === 'node-1' ? caller.ip : '127.66.2.11';
        await until(
          () => askFrom(mesh, node, from, 'http://world/'),
          ({ status }) => status === 200,
        );
      }
    });
    after(() => mesh.stop());

    test("a short name is of the caller's namespace; other forms are qualified; all reach all pods", async () => {
      for (const name of [
        'world',
        'world:7778',
        'world.shop',
        'world.shop.svc',
        'world.shop.svc.cluster.local',
        'WORLD.shop.',
      ]) {
        const seen = new Set<string>();
        const answers = await until(
          async () => {
            const answer = await askFrom(mesh, 'node-1', caller.ip, `http://${name}/`);
            assert.equal(answer.status, 200, `${name}: ${answer.body}`);
            return seen.add(answer.body);
          },
          ({ size }) => size === 3,
        );
        assert.deepEqual([...answers].sort(), worlds.map(({ ip }) => ip).sort());
      }
    });

    test("each request is counted once by the source's outgoing and once by the destination's incoming router", async () => {
      const count = async () => {
        const labels = { dst_namespace: 'shop', dst_service: 'world' };
        const texts = { one: await mesh.daemon('node-1').metrics(), two: await mesh.daemon('node-2').metrics() };
        return [
          metricValue(texts.one, 'request_total', { ...labels, router: 'outgoing' }),
          metricValue(texts.two, 'request_total', { ...labels, router: 'outgoing' }),
          metricValue(texts.one, 'request_total', { ...labels, router: 'incoming' }) +
            metricValue(texts.two, 'request_total', { ...labels, router: 'incoming' }),
          ...worlds.map(({ name }) =>
            Object.values(texts).reduce(
              (sum, text) => sum + metricValue(text, 'endpoint_request_total', { dst_pod: name }),
              0,
            ),
          ),
        ];
      };
      const before = await count();
      for (let i = 0; i < 300; i += 1) {
        assert.equal((await askFrom(mesh, 'node-1', caller.ip, 'http://world/')).status, 200);
      }
      const [out1, out2, incoming, ...pods] = (await count()).map((value, i) => value - (before[i] ?? 0));
      assert.deepEqual([out1, out2, incoming], [300, 0, 300]);
      for (const share of pods) assert.ok(share > 60 && share < 140, `shares of 300: ${pods}`);
    });

    test('an address of another node, or of nobody, is refused and counted', async () => {
      const count = async () =>
        metricValue(await mesh.daemon('node-1').metrics(), 'rejected_total', {
          router: 'outgoing',
          reason: 'not_local_pod',
        });
      const before = await count();
      const elsewhere = await askFrom(mesh, 'node-1', '127.66.2.11', 'http://world/');
      assert.deepEqual([elsewhere.status, elsewhere.fields['l5d-err']], [403, 'not_local_pod']);
      const nobody = await askFrom(mesh, 'node-1', '127.0.0.1', 'http://world/');
      assert.deepEqual([nobody.status, nobody.fields['l5d-err']], [403, 'not_local_pod']);
      assert.equal(await count(), before + 2);
    });

    test('names that lead nowhere say why', async () => {
      for (const [url, code] of [
        ['http://nothing/', 'unknown_name'],
        ['http://world.nowhere.svc/', 'unknown_name'],
        ['http://world.shop:99999/', 'bad_authority'],
      ] as const) {
        const answer = await askFrom(mesh, 'node-1', caller.ip, url);
        assert.equal(answer.fields['l5d-err'], code, url);
      }
      await mesh.service('shop', 'empty', [{ name: 'http', port: 80 }]);
      const empty = await until(
        () => askFrom(mesh, 'node-1', caller.ip, 'http://empty/'),
        ({ fields }) => fields['l5d-err'] !== 'unknown_name',
      );
      assert.deepEqual([empty.status, empty.fields['l5d-err']], [502, 'no_endpoints']);
    });

    test('a pod address is reached through its node', async () => {
      const target = worlds[1] as TestPod;
      const answer = await askFrom(mesh, 'node-1', caller.ip, `http://${target.ip}:${target.port}/`);
      assert.deepEqual([answer.status, answer.body], [200, target.ip]);
      assert.equal(answer.fields.via, '1.1 nodemesh-node-2, 1.1 nodemesh-node-1');
    });

    test('two namespaces with the same names stay apart', async () => {
      const stranger = await mesh.pod({ namespace: 'other', name: 'hello', ip: '127.66.1.20', node: 'node-1' });
      const own = await mesh.pod({ namespace: 'other', name: 'world', ip: '127.66.2.20', node: 'node-2' });
      await mesh.service('other', 'world', [{ name: 'http', port: 80 }]);
      await mesh.endpoints('other', 'world', [own]);
      await until(
        () => askFrom(mesh, 'node-1', stranger.ip, 'http://world/'),
        ({ status }) => status === 200,
      );
      for (let i = 0; i < 10; i += 1) {
        assert.equal((await askFrom(mesh, 'node-1', stranger.ip, 'http://world/')).body, own.ip);
      }
    });

    test('an incoming router takes a picked pod only if it is its own, and says that another may be tried', async () => {
      const here = worlds[1] as TestPod;
      const elsewhere = worlds[0] as TestPod;
      const pick = (pod: TestPod, service: string) =>
        askRouter(
          mesh,
          'node-2',
          'incoming',
          NODES['node-1'],
          `POST / HTTP/1.1\r\nHost: world\r\nmesh-endpoint: ${pod.ip}:${pod.port}\r\nmesh-service: ${service}\r\n`,
        );
      assert.equal((await pick(here, 'world.shop')).body, here.ip);
      const gone = await pick(elsewhere, 'world.shop');
      assert.deepEqual(
        [gone.status, gone.fields['mesh-error'], gone.fields['mesh-retryable']],
        [503, 'endpoint_gone', 'true'],
      );
    });

    test('nothing is counted by the names that a stranger makes up', async () => {
      const here = worlds[1] as TestPod;
      const { status, fields } = await askRouter(
        mesh,
        'node-2',
        'incoming',
        caller.ip,
        `GET / HTTP/1.1\r\nHost: world\r\nmesh-endpoint: ${here.ip}:${here.port}\r\nmesh-service: made-up.shop\r\n`,
      );
      assert.deepEqual([status, fields['mesh-error']], [503, 'endpoint_gone']);
      assert.doesNotMatch(await mesh.daemon('node-2').metrics(), /dst_service="made-up"/);
    });

    test('without a pick the incoming router serves the name from its own pods alone', async () => {
      for (let i = 0; i < 10; i += 1) {
        const answer = await askRouter(
          mesh,
          'node-1',
          'incoming',
          '127.0.0.1',
          'GET / HTTP/1.1\r\nHost: world.shop\r\n',
        );
        assert.equal(answer.body, (worlds[0] as TestPod).ip);
      }
    });

    test('a pod that starts to call before the watch shows it is waited for', async () => {
      const asked = askFrom(mesh, 'node-1', '127.66.1.30', 'http://world/');
      await mesh.pod({ namespace: 'shop', name: 'early', ip: '127.66.1.30', node: 'node-1' });
      assert.equal((await asked).status, 200);
    });

    test('a loop ends in 508', async () => {
      const passed = Array.from({ length: 5 }, () => '1.1 nodemesh-node-1').join(', ');
      const answer = await askFrom(mesh, 'node-1', caller.ip, 'http://world/', `Via: ${passed}\r\n`);
      assert.deepEqual([answer.status, answer.fields['l5d-err']], [508, 'loop']);
    });

    test('when endpoints change, requests follow, and none fails', async () => {
      const fourth = await mesh.pod({ namespace: 'shop', name: 'world-4', ip: '127.66.1.14', node: 'node-1' });
      const ok = async () => {
        const answer = await askFrom(mesh, 'node-1', caller.ip, 'http://world/');
        assert.equal(answer.status, 200, answer.body);
        return answer.body;
      };
      await mesh.endpoints('shop', 'world', [...worlds, fourth]);
      await until(ok, (body) => body === fourth.ip);
      await mesh.endpoints('shop', 'world', [fourth]);
      let run = 0;
      await until(ok, (body) => {
        run = body === fourth.ip ? run + 1 : 0;
        return run === 30;
      });
      await mesh.endpoints('shop', 'world', worlds);
      await until(ok, (body) => body !== fourth.ip);
    });

    test('without the API server what was last known stays in force', async () => {
      await mesh.kubernetes.goDown();
      for (let i = 0; i < 50; i += 1) {
        assert.equal((await askFrom(mesh, 'node-1', caller.ip, 'http://world/')).status, 200);
      }
      assert.equal(mesh.daemon('node-1').readiness.ready, true);
      await mesh.kubernetes.comeUp();
    });
  });
}
