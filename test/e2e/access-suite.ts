import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { describe, it } from 'node:test';
import { type Cluster, increase } from './cluster.ts';
import { inPod, type Pod, pods } from './kubectl.ts';
import { greeter } from './load.ts';
import { proxiedGet, rawRequest } from './raw-request.ts';

/** Who may use a node's outgoing router, and what a short name means to whom. */
export function accessSuite(cluster: Cluster, namespace: string): void {
  describe('the outgoing router', () => {
    const needsCallers = cluster.seesCallers ? false : 'a hostPort hides who calls';

    it('answers 403 to a pod of another node, and counts it', { skip: needsCallers }, async () => {
      const [hello] = await pods(namespace, 'app=hello');
      const daemon = (await cluster.daemons()).find((one) => one.node !== hello?.node);
      assert.ok(hello && daemon);
      await isRefused(cluster, daemon, async () => {
        const from = { namespace, pod: hello.name };
        const answer = await rawRequest(from, proxiedGet(`http://world.${namespace}/`), `${daemon.ip}:4140`);
        return { status: answer.status, reason: answer.fields['l5d-err'] };
      });
    });

    const needsHost = cluster.settings.lab === undefined ? 'LAB is not set' : needsCallers;
    it('answers 403 to the machine that the nodes run on, and counts it', { skip: needsHost }, async () => {
      const [daemon] = await cluster.daemons();
      assert.ok(daemon);
      await isRefused(cluster, daemon, async () => {
        const request = get({ host: daemon.ip, port: 4140, path: `http://world.${namespace}/`, agent: false });
        const [answer]: IncomingMessage[] = await once(request, 'response');
        answer?.resume();
        return { status: answer?.statusCode, reason: answer?.headers['l5d-err'] };
      });
    });

    it('takes a short name as one of the calling pod’s own namespace', async () => {
      for (const name of ['a', 'b']) await cluster.createNamespace(name);
      await Promise.all(['a', 'b'].map((name) => cluster.startHelloWorld(name)));
      for (const name of ['a', 'b']) {
        const worlds = (await pods(name, 'app=world')).map((pod) => pod.ip);
        for (const hello of await pods(name, 'app=hello')) {
          const text = await inPod(
            name,
            hello.name,
            `console.log(await (await fetch('http://${hello.ip}:7777/')).text())`,
          );
          assert.ok(worlds.includes(greeter(text)), `hello of ${name}: ${text}`);
        }
      }
    });
  });
}

/** Checks that a request is refused as one of no pod of the node, and that this adds one to the daemon's count of such. */
async function isRefused(
  cluster: Cluster,
  daemon: Pod,
  ask: () => Promise<{ status: number | undefined; reason: unknown }>,
): Promise<void> {
  const count = () => cluster.count('rejected_total', { router: 'outgoing', reason: 'not_local_pod' });
  const before = await count();
  assert.deepEqual(await ask(), { status: 403, reason: 'not_local_pod' });
  assert.equal(increase(before, await count()).get(daemon.node), 1);
}
