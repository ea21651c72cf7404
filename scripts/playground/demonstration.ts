import { inNamespace, PATHS } from './cluster.ts';
import { growths, total } from './daemon-counts.ts';
import { type AnyObject, isReady, type PodObject } from './objects.ts';
import { ADMIN_PORT, MESH_NAMESPACE, type Playground } from './playground.ts';
import { resolveContainer } from './pod-environment.ts';
import { type RequestPath, requestPath } from './request-path.ts';
import type { Steps } from './steps.ts';

export const NAMESPACE = 'hello';
export const HELLO_PORT = 7777;
/** The webhook's admin port. */
const CONSOLE_PORT = 8080;
const WORLD = { namespace: NAMESPACE, service: 'world' };
const CA_LIMIT_MS = 20_000;
const CROSSING_TRIES = 40;
const CHECKED_CALLS_PER_HELLO = 20;

/** Installs nodemesh and the example, and says so step by step. Throws an Error with what is wrong. */
export async function install(playground: Playground, steps: Steps): Promise<void> {
  const { nodes } = playground.plan;
  steps.say(
    `Kubernetes API in memory at ${playground.cluster.url}, nodes ${nodes.map((n) => `${n.name} ${n.ip}`).join(', ')}`,
  );
  const installed = await playground.applyFile('manifests/nodemesh.yaml');
  steps.say(`applied manifests/nodemesh.yaml (${installed.length} objects); daemons and webhooks start`);
  await playground.ready(MESH_NAMESPACE);
  await steps.wait(() => missingCaBundle(playground), CA_LIMIT_MS);
  const mesh = playground.pods(MESH_NAMESPACE);
  steps.say(`ready: ${mesh.map((pod) => `${pod.metadata.name} ${pod.status?.podIP}`).join(', ')}`);
  await playground.apply({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: NAMESPACE, labels: { 'mesh-inject': 'enabled' } },
  });
  await playground.applyFile('manifests/examples/hello-world.yaml', NAMESPACE);
  steps.say(`namespace ${NAMESPACE}, labelled mesh-inject=enabled; applied manifests/examples/hello-world.yaml`);
  await playground.ready(NAMESPACE);
  steps.say('ready:');
  for (const pod of playground.pods(NAMESPACE)) {
    steps.more(`${pod.metadata.name}  ${pod.status?.podIP} on ${pod.spec.nodeName}`);
  }
  const [hello] = playground.pods(NAMESPACE, 'hello');
  if (hello === undefined) throw new Error('there is no hello pod');
  tellInjection(playground, steps, hello);
}

/** Calls hello until a request goes from one node to the other, and tells its way from what the daemons counted. */
export async function showRequestPath(playground: Playground, steps: Steps): Promise<void> {
  const [hello] = playground.pods(NAMESPACE, 'hello');
  if (hello === undefined) throw new Error('there is no hello pod');
  for (let i = 0; i < CROSSING_TRIES; i += 1) {
    const before = await playground.readings();
    const { body } = await greeting(playground, hello);
    const path = requestPath(before, await playground.readings(), WORLD);
    if (path.sourceNode === path.destinationNode) continue;
    steps.say(`GET http://${hello.status?.podIP}:${HELLO_PORT}/  →  ${body}`);
    tellPath(playground, steps, hello, path);
    return;
  }
  throw new Error(
    `${CROSSING_TRIES} requests from ${hello.spec.nodeName} all stayed on it: the other node's world gets none`,
  );
}

/**
 * The self-check of `--once`: every hello answers, every world is reached, both nodes receive, and each request is counted
 * once on each side. Throws an Error with one line for each thing that is not so.
 */
export async function check(playground: Playground, steps: Steps): Promise<void> {
  const hellos = playground.pods(NAMESPACE, 'hello');
  const worlds = playground.pods(NAMESPACE, 'world');
  const before = await playground.readings();
  const answered = new Map<string, number>();
  const problems: string[] = [];
  await Promise.all(
    hellos.map(async (hello) => {
      for (let i = 0; i < CHECKED_CALLS_PER_HELLO; i += 1) {
        try {
          const { world } = await greeting(playground, hello);
          answered.set(world, (answered.get(world) ?? 0) + 1);
        } catch (error) {
          problems.push((error as Error).message);
        }
      }
    }),
  );
  const after = await playground.readings();
  const labels = { dst_namespace: WORLD.namespace, dst_service: WORLD.service };
  const counted = (router: string) =>
    after.map((reading, i) =>
      total(growths(before[i]?.samples ?? [], reading.samples, 'request_total', { ...labels, router })),
    );
  const sent = hellos.length * CHECKED_CALLS_PER_HELLO;
  const sum = (counts: readonly number[]) => counts.reduce((a, b) => a + b, 0);
  const outgoing = counted('outgoing');
  const incoming = counted('incoming');
  for (const world of worlds) {
    if (!answered.has(world.status?.podIP ?? ''))
      problems.push(`${world.metadata.name} answered none of ${sent} requests`);
  }
  for (const [i, count] of incoming.entries()) {
    if (count === 0) problems.push(`${after[i]?.node}: its incoming router counted no request`);
  }
  if (sum(outgoing) !== sent || sum(incoming) !== sent) {
    problems.push(
      `${sent} requests, but the outgoing routers counted ${outgoing.join(' + ')} and the incoming ones ${incoming.join(' + ')}`,
    );
  }
  const tls = await tlsConnections(playground);
  if (tls.secure === 0) problems.push('no connection between the nodes was by mutual TLS');
  if (tls.plaintext > 0) problems.push(`${tls.plaintext} connections between the nodes were in plaintext`);
  if (problems.length > 0) throw new Error([...new Set(problems)].join('\n'));
  const shares = worlds.map((pod) => answered.get(pod.status?.podIP ?? '')).join(' + ');
  steps.say(
    `checked: ${sent} requests, answered by the worlds ${shares}; counted ${outgoing.join(' + ')} outgoing, ${incoming.join(' + ')} incoming`,
  );
  steps.say(`between the nodes: ${tls.secure} connections by mutual TLS, ${tls.plaintext} in plaintext`);
}

/** Connections that the daemons have taken from each other. */
async function tlsConnections(playground: Playground): Promise<{ secure: number; plaintext: number }> {
  const counts = { secure: 0, plaintext: 0 };
  for (const { samples } of await playground.readings()) {
    for (const { name, labels, value } of samples) {
      if (name !== 'tls_connection_total' || labels.side !== 'server') continue;
      counts[labels.handshake === 'plaintext' ? 'plaintext' : 'secure'] += value;
    }
  }
  return counts;
}

/** Where the console of the whole mesh is, as a browser takes it; undefined where no webhook is ready. */
export function consoleUrl(playground: Playground): string | undefined {
  const webhooks = playground.pods(MESH_NAMESPACE).filter((pod) => pod.metadata.name.startsWith('nodemesh-webhook-'));
  const ip = webhooks.find(isReady)?.status?.podIP;
  return ip === undefined ? undefined : `http://${ip}:${CONSOLE_PORT}/`;
}

/** Commands for another terminal, each with what it is for. */
export function commandsToTry(playground: Playground): (readonly [purpose: string, ...commands: string[]])[] {
  const [hello] = playground.pods(NAMESPACE, 'hello');
  const node = playground.plan.nodes.find(({ name }) => name === hello?.spec.nodeName);
  const ip = hello?.status?.podIP;
  const api = playground.cluster.url;
  const proxy = `http://${node?.ip}:4140`;
  return [
    ['ask hello again and again: each of the worlds answers', `curl http://${ip}:${HELLO_PORT}/`],
    [
      "call world yourself, from hello's address, through its node's proxy",
      `curl --interface ${ip} --proxy ${proxy} http://world/`,
    ],
    [
      'the same from an address that is no pod of that node: 403',
      `curl -i --proxy ${proxy} http://world.${NAMESPACE}/`,
    ],
    [
      'what each node counted',
      ...playground.plan.nodes.map(({ ip }) => `curl -s http://${ip}:${ADMIN_PORT}/metrics | grep request_total`),
    ],
    [
      'six worlds instead of three; then ask hello again',
      `curl -s -X PATCH -H 'content-type: application/merge-patch+json' -d '{"spec":{"replicas":6}}' \\\n    ${api}${inNamespace(PATHS.deployments, NAMESPACE, 'world')}`,
    ],
    ['a pod as the webhook changed it', `curl -s ${api}${inNamespace(PATHS.pods, NAMESPACE, hello?.metadata.name)}`],
    [
      'whether all is well, and why a pod is in the mesh',
      `export KUBECONFIG=${playground.kubeconfigFile}`,
      'npx nodemesh check',
      `npx nodemesh explain ${NAMESPACE}/${hello?.metadata.name}`,
    ],
    [
      'with kubectl, where you have it',
      'kubectl get pods -A',
      `kubectl -n ${NAMESPACE} patch deployment world -p '{"spec":{"replicas":2}}'`,
      `kubectl -n ${NAMESPACE} rollout restart deployment world`,
    ],
    ['what the processes say', `tail -f ${playground.directory}/logs/*`],
  ];
}

async function greeting(
  playground: Playground,
  hello: PodObject,
): Promise<{ readonly body: string; readonly world: string }> {
  const { status, body } = await playground.call(hello, HELLO_PORT);
  const [, from, world = ''] = /^Hello \((\S+)\) world \((\S+)\)!!$/.exec(body) ?? [];
  if (status === 200 && from === hello.status?.podIP && world !== '') return { body, world };
  throw new Error(
    `${hello.metadata.name} answered ${status} "${body}", not "Hello (${hello.status?.podIP}) world (…)!!"`,
  );
}

/** What admission added, and what a kubelet makes of it on that pod's node. */
function tellInjection(playground: Playground, steps: Steps, hello: PodObject): void {
  const [container] = hello.spec.containers;
  const injected = container?.env?.find(({ name }) => name === 'http_proxy');
  if (container === undefined || injected === undefined) {
    throw new Error(`${hello.metadata.name} was admitted without http_proxy: the webhook did not change it`);
  }
  const { podIP = '', hostIP = '' } = hello.status ?? {};
  const { env } = resolveContainer(container, hello, { podIp: podIP, hostIp: hostIP, api: playground.plan.api });
  steps.say(
    `the webhook gave every container http_proxy=${injected.value}, on ${hello.spec.nodeName}: ${env.http_proxy}`,
  );
}

function tellPath(playground: Playground, steps: Steps, hello: PodObject, path: RequestPath): void {
  steps.say("its call of http://world/, hop by hop, each with the daemon's counter that moved:");
  steps.more(`pod ${hello.metadata.name} ${hello.status?.podIP}`);
  const worlds = playground.pods(NAMESPACE, 'world');
  const addressOf = (where: string) =>
    worlds.find(({ metadata }) => where.endsWith(metadata.name))?.status?.podIP ?? '';
  for (const { where, evidence } of path.hops) {
    steps.more(`  → ${where} ${addressOf(where)}`.trimEnd());
    steps.more(`      ${evidence}`);
  }
}

function missingCaBundle(playground: Playground): string | undefined {
  const path = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/nodemesh';
  const configuration = playground.cluster.get<
    AnyObject & { readonly webhooks?: readonly { readonly clientConfig: { readonly caBundle?: string } }[] }
  >(path);
  const entries = configuration?.webhooks ?? [];
  const done = entries.length > 0 && entries.every(({ clientConfig }) => (clientConfig.caBundle ?? '') !== '');
  return done ? undefined : 'the caBundle in MutatingWebhookConfiguration nodemesh, which a webhook writes';
}
