import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Cluster, increase } from './cluster.ts';
import { inPod, kubectl, pods } from './kubectl.ts';
import { greeter } from './load.ts';

/** Enough that a third of them lies within a quarter of its mean by chance alone, but for once in millions of runs. */
const REQUESTS = 900;

/** The article's example: who answers, over which daemons, and how the requests are spread. */
export function helloWorldSuite(cluster: Cluster, namespace: string): void {
  describe('hello-world', () => {
    const { lab, labNodeDns } = cluster.settings;
    const skip = lab === undefined ? 'only of the lab it is known whether node names resolve (LAB is not set)' : false;
    it('gets the proxy of its own node, by name where node names resolve and by address elsewhere', {
      skip,
    }, async () => {
      const nodes: {
        items: { metadata: { name: string }; status: { addresses: { type: string; address: string }[] } }[];
      } = JSON.parse(await kubectl(['get', 'nodes', '-o', 'json']));
      for (const hello of await pods(namespace, 'app=hello')) {
        const { status } = nodes.items.find((node) => node.metadata.name === hello.node) ?? {};
        const ip = status?.addresses.find(({ type }) => type === 'InternalIP')?.address;
        const user = cluster.seesCallers ? '' : `${namespace}@`;
        assert.equal(
          (await inPod(namespace, hello.name, 'console.log(process.env.http_proxy)')).trim(),
          `http://${user}${labNodeDns ? hello.node : ip}:4140`,
        );
      }
    });

    it('is answered by every hello with the greeting of a world', async () => {
      const worlds = (await pods(namespace, 'app=world')).map((pod) => pod.ip);
      for (const hello of await pods(namespace, 'app=hello')) {
        const text = await inPod(
          namespace,
          hello.name,
          `console.log(await (await fetch('http://${hello.ip}:7777/')).text())`,
        );
        assert.match(text, /^Hello \(\S+\) world \(\S+\)!!\n/);
        assert.ok(text.startsWith(`Hello (${hello.ip}) `), text);
        assert.ok(worlds.includes(greeter(text)), text);
      }
    });

    it('spreads requests over worlds and not over nodes, each counted once where it leaves and once where it arrives', async () => {
      const worlds = await pods(namespace, 'app=world');
      const [hello] = await pods(namespace, 'app=hello');
      assert.ok(hello);
      const nodes = new Set(worlds.map((world) => world.node));
      assert.ok(nodes.size > 1, 'the scheduler put all worlds on one node');
      const count = (router: string) =>
        cluster.count('request_total', { router, dst_namespace: namespace, dst_service: 'world' });
      const [outgoing, incoming] = [await count('outgoing'), await count('incoming')];

      const answers: string[] = JSON.parse(await inPod(namespace, hello.name, manyRequests(REQUESTS)));
      const greetings = new Map(worlds.map((world) => [world.ip, 0]));
      for (const answer of answers) greetings.set(greeter(answer), (greetings.get(greeter(answer)) ?? 0) + 1);

      const share = REQUESTS / worlds.length;
      for (const [ip, greeted] of greetings) {
        assert.ok(Math.abs(greeted - share) < share / 4, `${ip} got ${greeted} of ${REQUESTS}, not about ${share}`);
      }
      for (const [node, sent] of increase(outgoing, await count('outgoing'))) {
        assert.equal(sent, node === hello.node ? REQUESTS : 0, `outgoing router of ${node}`);
      }
      for (const [node, received] of increase(incoming, await count('incoming'))) {
        const here = worlds.filter((world) => world.node === node).map((world) => greetings.get(world.ip) ?? 0);
        const expected = here.reduce((sum, one) => sum + one, 0);
        assert.equal(received, expected, `incoming router of ${node}`);
      }
    });
  });
}

/** Source of a module that GETs http://world/ so many times, one by one, through the pod's proxy, and prints the bodies. */
function manyRequests(count: number): string {
  return `
    import { Agent, get } from 'node:http';
    const agent = new Agent({ keepAlive: true, maxSockets: 1, proxyEnv: process.env });
    const one = () => new Promise((resolve, reject) => get('http://world/', { agent }, (answer) => {
      let text = '';
      answer.on('data', (part) => { text += part; });
      answer.on('end', () => resolve(answer.statusCode + ' ' + text.trim()));
    }).on('error', reject));
    console.log(JSON.stringify(await Promise.all(Array.from({ length: ${count} }, one))));
    process.exit(0);`;
}
