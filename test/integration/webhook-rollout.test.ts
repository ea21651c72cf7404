import assert from 'node:assert/strict';
import { Agent, type RequestOptions, request } from 'node:https';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'node:tls';
import { type Replica, SERVING_NAME, WebhookCluster } from '../support/webhook-cluster.ts';

const CALLERS = 16;
/** How long a Service takes to hear that a pod of it is not ready, ms. */
const ENDPOINTS_DELAY_MS = 200;
const REVIEW = JSON.stringify({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: {
    uid: 'u-1',
    kind: { group: '', version: 'v1', kind: 'Pod' },
    operation: 'CREATE',
    namespace: 'shop',
    object: { metadata: { name: 'p' }, spec: { containers: [{ name: 'app' }] } },
  },
});

/**
 * Calls a Service as an API server does: a connection goes to one of the endpoints of its time, is kept, and used again and
 * again, whatever becomes of the endpoints.
 */
class ApiServerCalls {
  endpoints: readonly Replica[];
  answered = 0;
  readonly failures: string[] = [];
  readonly #ca: string;
  readonly #agent: Agent;
  #connections = 0;
  #stopped = false;

  constructor(endpoints: readonly Replica[], ca: string) {
    this.endpoints = endpoints;
    this.#ca = ca;
    // In turn, so that no connection is idle for long.
    this.#agent = new Agent({ keepAlive: true, scheduling: 'fifo', maxSockets: CALLERS });
    (this.#agent as { createConnection: unknown }).createConnection = () => {
      const { address } = (this.endpoints[this.#connections % this.endpoints.length] as Replica).webhook;
      this.#connections += 1;
      return connect({ host: address.ip, port: address.port, servername: SERVING_NAME, ca: this.#ca });
    };
  }

  async run(): Promise<void> {
    const caller = async () => {
      while (!this.#stopped) {
        try {
          const text = await this.#call();
          if (text.includes('"patch"')) this.answered += 1;
          else this.failures.push(text);
        } catch (error) {
          this.failures.push(String(error));
        }
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
    this.#agent.destroy();
  }

  stop(): void {
    this.#stopped = true;
  }

  async until(answered: number): Promise<void> {
    while (this.answered < answered && this.failures.length === 0) await delay(5);
  }

  #call(): Promise<string> {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(REVIEW) };
    const options: RequestOptions = {
      host: SERVING_NAME,
      method: 'POST',
      path: '/mutate',
      headers,
      agent: this.#agent,
    };
    return new Promise((resolve, reject) => {
      const outgoing = request(options, (incoming) => {
        let text = '';
        incoming.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        incoming.on('end', () => resolve(text));
        incoming.on('error', reject);
      });
      outgoing.on('error', reject);
      outgoing.end(REVIEW);
    });
  }
}

async function start(t: TestContext): Promise<{ cluster: WebhookCluster; replicas: Replica[]; calls: ApiServerCalls }> {
  const cluster = await WebhookCluster.start(t);
  const replicas = await cluster.serve(2, CONFIG);
  const calls = new ApiServerCalls(replicas, cluster.secret()['ca.crt'] as string);
  return { cluster, replicas, calls };
}
const CONFIG = 'proxyAddress: hostIP\ndrainSeconds: 1';

test('webhook: a rolling restart of both replicas under load fails no review', async (t) => {
  const { cluster, replicas, calls } = await start(t);
  const done = calls.run();
  let current = replicas;
  for (const old of replicas) {
    await calls.until(calls.answered + 200);
    const fresh = await cluster.replica(CONFIG);
    await fresh.readiness.whenReady();
    current = [...current, fresh];
    calls.endpoints = current;
    const stopped = old.webhook.stop();
    cluster.replicas.splice(cluster.replicas.indexOf(old), 1);
    assert.equal(old.readiness.ready, false);
    await delay(ENDPOINTS_DELAY_MS);
    current = current.filter((one) => one !== old);
    calls.endpoints = current;
    await stopped;
  }
  await calls.until(calls.answered + 200);
  calls.stop();
  await done;
  assert.deepEqual(calls.failures, []);
  for (const { lines } of current) assert.ok(lines.some(({ msg }) => msg === 'review'));
});

test('webhook: new certificates under load fail no review', async (t) => {
  const { cluster, calls } = await start(t);
  const done = calls.run();
  for (let i = 0; i < 5; i += 1) {
    const before = cluster.secret()['tls.crt'];
    await cluster.annotateSecret('serving');
    await cluster.untilSecret((files) => files['tls.crt'] !== before);
    await calls.until(calls.answered + 100);
  }
  calls.stop();
  await done;
  assert.deepEqual(calls.failures, []);
});
