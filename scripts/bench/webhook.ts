import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { type Manifest, MemoryKubernetes } from '../playground/kubernetes-api/memory-kubernetes.ts';
import { buildDaemon } from './daemon.ts';
import { freePorts, LOAD_CPU, PROXY_CPU, type Processes, usage } from './processes.ts';
import { median, quantile } from './statistics.ts';
import { type Verdict, verdict } from './wanted.ts';

const HOST = 'nodemesh-webhook.nodemesh.svc';
const SECRET_PATH = '/api/v1/namespaces/nodemesh/secrets/nodemesh-webhook-tls';
const CONFIGURATION = 'manifests/base/webhook/mutating-webhook-configuration.yaml';
const CONNECTIONS = 16;
const WARM_UP = 2_000;
/** Sizes of pods, and how many reviews of each. */
const FLOODS = [
  [5, 10_000],
  [100, 2_000],
  [1_000, 300],
] as const;
/** Sizes of pods, and reviews of them a second. */
const PACES = [
  [100, 100],
  [1_000, 20],
] as const;
/** Of which the median counts: what other programs take now and then falls out. */
const ROUNDS = 7;
const ROUND_SECONDS = 2;
const KB = 1_000;

interface Quantiles {
  readonly p50: number;
  readonly p99: number;
}

interface Target {
  readonly port: number;
  readonly pid: number;
  readonly ca: string;
}

/**
 * What the webhook as shipped takes to answer, over TLS connections that are kept, with an API server in memory behind it: the
 * 99th percentile for big pods at a steady pace, and CPU and reviews a second for ordinary ones on one core. `ownPid` is this process,
 * which makes the load.
 */
export async function measureWebhook(
  processes: Processes,
  dir: string,
  root: string,
  ownPid: number,
  say: (line: string) => void,
): Promise<Verdict[]> {
  if (processes.pinned) spawnSync('taskset', ['-acp', String(LOAD_CPU), String(ownPid)]);
  const kubernetes = await MemoryKubernetes.start();
  try {
    const target = await startWebhook(processes, kubernetes, dir, root);
    const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
    await flood(target, agent, review(5 * KB), WARM_UP);
    const costs: number[] = [];
    for (const [kilobytes, count] of FLOODS) {
      const { reviewsPerSecond, cpuUs } = await flood(target, agent, review(kilobytes * KB), count);
      say(
        `${kilobytes} KB pods: ${reviewsPerSecond.toFixed(0)} reviews/s on one core, ${cpuUs.toFixed(0)} µs CPU each`,
      );
      costs.push(cpuUs);
    }
    const tails: number[] = [];
    for (const [kilobytes, perSecond] of PACES) {
      const rounds: Quantiles[] = [];
      for (let i = 0; i < ROUNDS; i += 1) rounds.push(await paced(target, agent, review(kilobytes * KB), perSecond));
      const middle = median(rounds.map(({ p50 }) => p50));
      tails.push(median(rounds.map(({ p99 }) => p99)));
      say(`${kilobytes} KB pods, ${perSecond} reviews/s: half of them within ${middle.toFixed(2)} ms`);
    }
    agent.destroy();
    say(
      `load average ${(loadavg()[0] ?? 0).toFixed(2)}: where it is more than this benchmark's own 1, the times below are others' too`,
    );
    return [
      verdict('CPU of a review, 5 KB pod (1 000/s on a core)', 1_000, costs[0] ?? Number.NaN, ' µs'),
      verdict('p99, 100 KB pod, 100 reviews/s', 5, tails[0] ?? Number.NaN, ' ms'),
      verdict('p99, 1 MB pod, 20 reviews/s', 50, tails[1] ?? Number.NaN, ' ms'),
    ];
  } finally {
    await kubernetes.stop();
  }
}

async function startWebhook(
  processes: Processes,
  kubernetes: MemoryKubernetes,
  dir: string,
  root: string,
): Promise<Target> {
  const labelled = { name: 'shop', labels: { 'mesh-inject': 'enabled' } };
  for (const metadata of [{ name: 'nodemesh' }, labelled]) {
    await kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata });
  }
  await kubernetes.apply(parse(readFileSync(join(root, CONFIGURATION), 'utf8')) as Manifest);
  const own = join(dir, 'webhook');
  mkdirSync(own);
  const [port = 0, adminPort = 0] = await freePorts(2);
  const config = join(own, 'webhook.yaml');
  writeFileSync(
    config,
    `proxyAddress: nodeName\nhttps: {ip: pod, port: ${port}}\nadmin: {ip: pod, port: ${adminPort}}\n`,
  );
  const kubeconfig = join(own, 'kubeconfig');
  writeFileSync(kubeconfig, kubernetes.kubeconfig());
  const env = { KUBECONFIG: kubeconfig, POD_IP: '127.0.0.1', POD_NAMESPACE: 'nodemesh' };
  const main = join(dirname(buildDaemon(root)), 'webhook.js');
  const child = processes.start(process.execPath, [main, config], { cpu: PROXY_CPU, env });
  const pid = await processes.listening(child, adminPort);
  while ((await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status !== 200) await sleep(50);
  const { data } = kubernetes.get(SECRET_PATH) as unknown as { data: Record<string, string> };
  return { port, pid, ca: Buffer.from(data['ca.crt'] ?? '', 'base64').toString() };
}

/** Reviews as fast as they are answered, over all connections. */
async function flood(
  target: Target,
  agent: Agent,
  body: Buffer,
  count: number,
): Promise<{ reviewsPerSecond: number; cpuUs: number }> {
  let left = count;
  const before = usage([target.pid]).cpuUs;
  const began = performance.now();
  const caller = async () => {
    for (; left > 0; left -= 1) await ask(target, agent, body);
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, caller));
  const seconds = (performance.now() - began) / 1_000;
  return { reviewsPerSecond: count / seconds, cpuUs: (usage([target.pid]).cpuUs - before) / count };
}

/** Reviews at a steady pace, each after the one before. */
async function paced(target: Target, agent: Agent, body: Buffer, perSecond: number): Promise<Quantiles> {
  const times = new Float64Array(perSecond * ROUND_SECONDS);
  for (let i = 0; i < times.length; i += 1) {
    const began = performance.now();
    await ask(target, agent, body);
    times[i] = performance.now() - began;
    await sleep(Math.max(0, 1_000 / perSecond - (times[i] ?? 0)));
  }
  times.sort();
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

/** Throws where the answer has no patch. */
function ask({ port, ca }: Target, agent: Agent, body: Buffer): Promise<void> {
  const headers = { 'content-type': 'application/json', 'content-length': body.length };
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path: '/mutate', method: 'POST', headers, servername: HOST, ca, agent };
    const outgoing = request(options, (incoming) => {
      let text = '';
      incoming.setEncoding('latin1').on('data', (chunk) => {
        text += chunk;
      });
      incoming.on('end', () => (text.includes('"patch"') ? resolve() : reject(new Error(`no patch: ${text}`))));
      incoming.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** A review of a pod of about so many bytes: half of it variables of ten containers, half of it annotations. */
function review(bytes: number): Buffer {
  const env = Array.from({ length: 10 }, (_, i) => ({ name: `SETTING_${i}`, value: 'v'.repeat(bytes / 200) }));
  const containers = Array.from({ length: 10 }, (_, i) => ({
    name: `c-${i}`,
    image: `registry.example/app-${i}`,
    env,
  }));
  const annotations = Object.fromEntries(
    Array.from({ length: 10 }, (_, i) => [`example.com/a-${i}`, 'a'.repeat(bytes / 20)]),
  );
  const object = { metadata: { generateName: 'web-', namespace: 'shop', annotations }, spec: { containers } };
  const kind = { group: '', version: 'v1', kind: 'Pod' };
  const asked = { uid: '705ab4f5-6393-11e8-b7cc-42010a800002', kind, namespace: 'shop', operation: 'CREATE', object };
  return Buffer.from(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request: asked }));
}
