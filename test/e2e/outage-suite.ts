import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { Cluster } from './cluster.ts';
import { eventually, kubectl, type Pod, run } from './kubectl.ts';
import { failures, Load } from './load.ts';

const RPS = 50;
const OUTAGE_MS = 60_000;
/** Watches are opened again after 10 s at most; then the webhook signs for a daemon that has just started. */
const BACK_TIMEOUT_MS = 120_000;

/** The API server goes away. Only the host of the lab can make it. */
export function outageSuite(cluster: Cluster, namespace: string): void {
  const { lab } = cluster.settings;
  describe('without an API server', { skip: lab === undefined ? 'LAB is not set' : false }, () => {
    const control = (command: string) => run(`${lab}/cluster.sh`, [command]);

    it('no request fails for a minute', async () => {
      const nodes = (await cluster.daemons()).map((daemon) => daemon.node);
      const load = await Load.start(cluster, { namespace, url: 'http://world/', nodes, rps: RPS });
      await control('apiserver-down');
      const begin = Date.now();
      try {
        await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS));
      } finally {
        await control('apiserver-up');
      }
      const end = Date.now();
      await allReady();
      const shots = await load.stop();
      const during = shots.filter((shot) => shot.at > begin && shot.at < end).length;
      assert.ok(during > (RPS * nodes.length * OUTAGE_MS) / 1000 / 2, `only ${during} requests in the outage`);
      assert.deepEqual(failures(shots), []);
    });

    it('a daemon that starts lives, is not ready, and says why; it is ready once the server is back', async () => {
      const [daemon] = await cluster.daemons();
      assert.ok(daemon);
      await control('apiserver-down');
      try {
        await endDaemonProcess(daemon.node);
        const unready = await eventually('the daemon runs again and is not ready', BACK_TIMEOUT_MS, async () => {
          const answer = await fetch(`http://${daemon.ip}:9990/readyz`);
          const text = await answer.text();
          return answer.status === 503 && /^identity: /m.test(text) ? text : undefined; // under tls: required
        });
        assert.match(unready, /^\w[^:]*: .+/m);
        assert.equal((await fetch(`http://${daemon.ip}:9990/livez`)).status, 200);
      } finally {
        await control('apiserver-up');
      }
      await allReady();
      await ready(daemon);
    });

    async function allReady(): Promise<void> {
      await eventually('the API server is back', BACK_TIMEOUT_MS, () => kubectl(['get', '--raw', '/readyz']));
      for (const node of (await cluster.daemons()).map((daemon) => daemon.node)) {
        await kubectl(['wait', '--for=condition=Ready', `node/${node}`, `--timeout=${BACK_TIMEOUT_MS / 1000}s`]);
      }
    }
  });
}

async function ready(daemon: Pod): Promise<void> {
  await eventually('the daemon is ready', BACK_TIMEOUT_MS, async () =>
    (await fetch(`http://${daemon.ip}:9990/readyz`)).status === 200 ? true : undefined,
  );
}

/** Kills the daemon of a node, whose processes are this machine's own; its kubelet starts another. */
async function endDaemonProcess(node: string): Promise<void> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const [command, environment] = await Promise.all(
      ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
    );
    const isDaemon = command?.split('\0').includes('/app/daemon.js');
    if (isDaemon && environment?.split('\0').includes(`NODE_NAME=${node}`)) process.kill(Number(pid), 'SIGKILL');
  }
}
