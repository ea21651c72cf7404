import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import jsonPatch, { type Operation } from 'fast-json-patch';
import { type EnvEntry, expandEnv } from '../../lib/kubernetes/env-expansion.ts';
import { mutate } from '../../webhook/mutation.ts';
import { answer, runClient, seen, without } from '../support/client-app.ts';
import { type DiscoDaemon, runDiscoDaemon } from '../support/daemon.ts';

const NODE_IP = '127.0.0.1';
const SETTINGS = {
  proxyAddress: { by: 'hostIP', family: 4 },
  proxyPort: 4140,
  clusterDomain: 'cluster.local',
  namespaceInProxyUrl: false,
  envFrom: 'inject',
} as const;

const JAVA = `
import java.io.*; import java.net.*; import java.net.http.*;
public class Plain {
  public static void main(String[] urls) throws Exception {
    try (InputStream in = URI.create(urls[0]).toURL().openStream()) { in.transferTo(System.out); }
    HttpRequest request = HttpRequest.newBuilder(URI.create(urls[1])).build();
    System.out.print(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    try (InputStream in = URI.create(urls[2]).toURL().openStream()) { in.transferTo(System.out); }
  }
}`;
const NODE = `
  import { get } from 'node:http';
  const [first, second, direct] = process.argv.slice(1);
  for (const url of [first, direct]) process.stdout.write(await (await fetch(url)).text());
  get(second, (response) => response.pipe(process.stdout));
`;

/** The environment that a kubelet makes of what injection gives to a pod with this profile, whose node is this machine. */
function environmentOf(profile: string, proxyPort: number): Record<string, string> {
  const annotations = { 'nodemesh.dev/profile': profile, 'nodemesh.dev/proxy-port': String(proxyPort) };
  const object = { metadata: { annotations }, spec: { containers: [{ name: 'app', env: [] as EnvEntry[] }] } };
  const what = { kind: '/v1/Pod', subResource: '', operation: 'CREATE', namespace: 'shop', object, dryRun: false };
  const review = { apiVersion: 'admission.k8s.io/v1', uid: 'u', ...what };
  const { patch } = mutate(review, { ownNamespace: 'nodemesh', namespaceEnabled: true, settings: SETTINGS });
  jsonPatch.applyPatch(object, structuredClone(patch) as Operation[]);
  return expandEnv(object.spec.containers[0]?.env ?? [], {
    services: { KUBERNETES_SERVICE_HOST: '10.96.0.1' },
    valueFrom: (source) => (JSON.stringify(source).includes('hostIP') ? NODE_IP : 'node-1'),
  });
}

describe('programs with the environment of a profile, and nothing else, go through the daemon', () => {
  let mesh: DiscoDaemon;
  let app: Server;
  let home: string;
  /** The Host that each request came with. */
  const asked: string[] = [];

  before(async () => {
    app = createServer((request, response) => {
      asked.push(request.headers.host ?? '');
      answer(request, response);
    });
    app.listen(0, NODE_IP);
    await once(app, 'listening');
    mesh = await runDiscoDaemon({ web: [`${NODE_IP} ${(app.address() as AddressInfo).port}`] });
    home = await mkdtemp(join(tmpdir(), 'nodemesh-profiles-'));
  });
  after(async () => {
    await mesh.stop();
    app.closeAllConnections();
    app.close();
    await rm(home, { recursive: true });
  });

  /** Two names that only the daemon knows, and one that is in no_proxy. */
  const urls = () => [
    'http://web/one',
    'http://web/two',
    `http://localhost:${(app.address() as AddressInfo).port}/direct`,
  ];

  async function run(profile: string, program: string, args: readonly string[]): Promise<(string | undefined)[]> {
    const env = { https_proxy: undefined, ...environmentOf(profile, mesh.port) };
    const out = await runClient(program, [...args, ...urls()], { proxy: '', home, env });
    const hosts = asked.splice(0);
    assert.equal(hosts.filter((host) => host === 'web').length, 2);
    return out
      .trim()
      .split('\n')
      .map((line) => seen(line).url)
      .sort();
  }
  const ALL = ['/direct', '/one', '/two'];

  test('java: URL and HttpClient, by JAVA_TOOL_OPTIONS; localhost directly', { skip: without('javac') }, async () => {
    await writeFile(join(home, 'Plain.java'), JAVA);
    assert.deepEqual(await run('java', 'java', [join(home, 'Plain.java')]), ALL);
  });

  test('node: fetch and http, by NODE_USE_ENV_PROXY; localhost directly', async () => {
    assert.deepEqual(await run('node', process.execPath, ['--input-type=module', '-e', NODE]), ALL);
    await assert.rejects(run('cgi', process.execPath, ['--input-type=module', '-e', NODE]));
  });
});
