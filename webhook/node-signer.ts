import { createPrivateKey, X509Certificate } from 'node:crypto';
import { jitteredBackoffMs } from '../lib/backoff.ts';
import {
  CA_CONFIG_MAP,
  CA_FILE,
  CERTIFICATE_LIFE_SECONDS,
  SIGNER_NAME,
  splitBundle,
} from '../lib/certificates/node-identity.ts';
import { type Pod, trimPod } from '../lib/kubernetes/pod.ts';
import { Reflector } from '../lib/kubernetes/reflector.ts';
import { type KubernetesApi, KubernetesError, type KubernetesObject } from '../lib/kubernetes/types.ts';
import type { Log } from '../lib/log.ts';
import type { Counter, Family, MetricsRegistry } from '../lib/metrics.ts';
import type { CertificateSet } from './certificate-authority.ts';
import { createNodeCertificate } from './node-certificate.ts';
import {
  type Condition,
  isPending,
  judgeNodeRequest,
  type NodeRequestVerdict,
  requestingPod,
  type SigningRequest,
} from './node-request.ts';
import { SerialTask } from './serial-task.ts';

const REQUESTS_PATH = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const RETRY = { minMs: 500, maxMs: 30_000 };
/** The ConfigMap is looked after this often, whoever may have changed it. */
const CHECK_MS = 60_000;
const MIN_LIFE_SECONDS = 600; // the API's own minimum for expirationSeconds
/** Daemons' clocks may be behind ours. */
const CLOCK_SKEW_MS = 3_600_000;
/** A CA is told to daemons this long before it signs: whoever is shown a certificate of it must know it already. */
const OVERLAP_MS = 20_000;
/** CAs that are told to daemons: the one that signs, and those before it that certificates may still be of. */
const MAX_AUTHORITIES = 4;

interface ConfigMap extends KubernetesObject {
  readonly data?: Readonly<Record<string, string>> | null;
}

export interface NodeSignerOptions {
  readonly api: KubernetesApi;
  /** The mesh's own. */
  readonly namespace: string;
  readonly trustDomain: string;
  /** The CA; undefined while it has not been read. */
  readonly authority: () => CertificateSet | undefined;
  readonly metrics: MetricsRegistry;
  readonly log: Log;
  /** ms since 1970. */
  readonly now: () => number;
  /** Undefined: 20 s. */
  readonly overlapMs?: number | undefined;
  readonly random: () => number;
}

/**
 * The signer `nodemesh.dev/daemon`: answers the CertificateSigningRequests of daemons, and tells daemons by ConfigMap
 * `nodemesh-ca` whom to trust: another CA comes behind the one that signs at first, and before it 20 s later, from when on it signs.
 * Every replica does this; who comes second finds it done.
 */
export class NodeSigner {
  readonly #options: NodeSignerOptions;
  readonly #requests: Reflector<true>;
  readonly #task = new SerialTask(() => this.#work());
  readonly #answers: Family<Counter>;
  /** The CA that is to sign next, and when daemons were first seen to be told of it. */
  #next: { readonly pem: string; readonly since: number } | undefined;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: NodeSignerOptions) {
    const { api, log, metrics, now, random } = options;
    this.#options = options;
    this.#answers = metrics.counter('node_certificates_total', "Daemons' requests answered.", ['answer']);
    this.#requests = new Reflector<true>({
      api,
      resource: { path: REQUESTS_PATH, fieldSelector: `spec.signerName=${SIGNER_NAME}` },
      trim: (object) => (isPending(object as SigningRequest) ? true : undefined),
      log,
      metrics,
      now,
      random,
    });
    this.#requests.onChange(() => this.check());
  }

  start(): void {
    this.#requests.start();
    this.check();
  }

  /** Does what there is to do now. */
  check(): void {
    if (!this.#stopped) void this.#task.request();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#requests.stop();
    await this.#task.idle();
  }

  async #work(): Promise<void> {
    const set = this.#options.authority();
    if (set === undefined || this.#stopped) return;
    let waitMs = 0;
    try {
      waitMs = await this.#publish(set['ca.crt']);
      for (const name of this.#requests.items.keys()) {
        if (!this.#stopped && waitMs === 0) await this.#answer(name, set);
      }
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      this.#options.log.warn({ err: error }, "a daemon's request for a certificate could not be answered yet");
    }
    if (this.#stopped) return;
    const { random } = this.#options;
    const idleMs = waitMs === 0 ? CHECK_MS : waitMs;
    const delayMs = this.#failures === 0 ? idleMs : jitteredBackoffMs(this.#failures - 1, RETRY, random);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.check(), delayMs);
    this.#timer.unref();
  }

  /** Answers one request. What another replica has done meanwhile, is done. */
  async #answer(name: string, set: CertificateSet): Promise<void> {
    const { api, log } = this.#options;
    const path = `${REQUESTS_PATH}/${name}`;
    try {
      const request = (await api.request({ method: 'GET', path })) as SigningRequest;
      if (!isPending(request)) return;
      const verdict = await this.#judge(request);
      if ('refusal' in verdict) {
        await this.#condition(request, { type: 'Denied', reason: 'NotThisNode', message: verdict.refusal });
        this.#answers.with('denied').inc();
        log.warn({ request: name }, `a request for a daemon's certificate was denied: ${verdict.refusal}`);
        return;
      }
      const message = `its pod runs on node ${verdict.node}`;
      const approved = await this.#condition(request, { type: 'Approved', reason: 'NodeProved', message });
      const certificate = Buffer.from(this.#sign(verdict, request, set)).toString('base64');
      const body = { ...approved, status: { ...approved.status, certificate } };
      await api.request({ method: 'PUT', path: `${path}/status`, body });
      this.#answers.with('signed').inc();
      log.info({ request: name, node: verdict.node }, "a daemon's certificate was signed");
    } catch (error) {
      if (error instanceof KubernetesError && (error.status === 409 || error.status === 404)) return;
      throw error;
    }
  }

  /** A node's pods outlive it by minutes: that it is there is looked at too. */
  async #judge(request: SigningRequest): Promise<NodeRequestVerdict> {
    const verdict = judgeNodeRequest(request, await this.#podOf(request), this.#options);
    if ('refusal' in verdict || (await this.#find(`/api/v1/nodes/${verdict.node}`)) !== undefined) return verdict;
    return { refusal: `there is no node ${verdict.node}` };
  }

  async #podOf(request: SigningRequest): Promise<Pod | undefined> {
    const bound = requestingPod(request);
    if (bound === undefined) return undefined;
    const path = `/api/v1/namespaces/${this.#options.namespace}/pods/${encodeURIComponent(bound.name)}`;
    const pod = await this.#find(path);
    return pod === undefined ? undefined : trimPod(pod);
  }

  async #condition(request: SigningRequest, condition: Condition): Promise<SigningRequest> {
    const conditions = request.status?.conditions ?? [];
    if (conditions.some(({ type }) => type === condition.type)) return request;
    const body = {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      ...request,
      status: { ...request.status, conditions: [...conditions, { ...condition, status: 'True' }] },
    };
    const path = `${REQUESTS_PATH}/${request.metadata.name}/approval`;
    return (await this.#options.api.request({ method: 'PUT', path, body })) as SigningRequest;
  }

  #sign(
    asked: { readonly uri: string; readonly publicKey: Parameters<typeof createNodeCertificate>[0]['publicKey'] },
    { spec }: SigningRequest,
    set: CertificateSet,
  ): string {
    const now = this.#options.now();
    const certificate = new X509Certificate(set['ca.crt']);
    const seconds = Math.max(MIN_LIFE_SECONDS, Math.min(spec.expirationSeconds ?? Infinity, CERTIFICATE_LIFE_SECONDS));
    return createNodeCertificate({
      authority: { certificate, privateKey: createPrivateKey(set['ca.key']) },
      publicKey: asked.publicKey,
      uri: asked.uri,
      notBefore: now - CLOCK_SKEW_MS,
      notAfter: Math.min(now + seconds * 1_000, Date.parse(certificate.validTo)),
    });
  }

  /**
   * Tells daemons whom to trust, without those that have ended. Gives for how many ms more the CA must not sign: 0 once it stands
   * first. Where there is none to trust yet there is nobody to wait for.
   */
  async #publish(authority: string): Promise<number> {
    const { api, namespace, now, overlapMs = OVERLAP_MS } = this.#options;
    const collection = `/api/v1/namespaces/${namespace}/configmaps`;
    const before = (await this.#find(`${collection}/${CA_CONFIG_MAP}`)) as ConfigMap | undefined;
    const published = splitBundle(before?.data?.[CA_FILE] ?? '');
    const own = splitBundle(authority);
    const [next = ''] = own;
    if (published[0] === next) return 0;
    const known = published.filter((pem) => this.#stillCounts(pem));
    if (known.includes(next) && this.#next?.pem !== next) this.#next = { pem: next, since: now() };
    const waited = known.length === 0 || (this.#next?.pem === next && now() - this.#next.since >= overlapMs);
    const order = waited ? [...own, ...known] : [...known.slice(0, 1), ...own, ...known];
    if (waited || !known.includes(next)) {
      const bundle = [...new Set(order)].slice(0, MAX_AUTHORITIES);
      const data = { ...before?.data, [CA_FILE]: `${bundle.join('\n')}\n` };
      if (before === undefined) {
        const metadata = { name: CA_CONFIG_MAP, namespace, labels: { 'app.kubernetes.io/part-of': 'nodemesh' } };
        const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data };
        await api.request({ method: 'POST', path: collection, body });
      } else {
        const body = { apiVersion: 'v1', kind: 'ConfigMap', ...before, data };
        await api.request({ method: 'PUT', path: `${collection}/${CA_CONFIG_MAP}`, body });
      }
    }
    if (waited) return 0;
    if (this.#next?.pem !== next) this.#next = { pem: next, since: now() };
    return Math.max(1, this.#next.since + overlapMs - now());
  }

  #stillCounts(pem: string): boolean {
    try {
      return Date.parse(new X509Certificate(pem).validTo) > this.#options.now();
    } catch {
      return false;
    }
  }

  async #find(path: string): Promise<KubernetesObject | undefined> {
    try {
      return (await this.#options.api.request({ method: 'GET', path })) as KubernetesObject;
    } catch (error) {
      if (error instanceof KubernetesError && error.status === 404) return undefined;
      throw error;
    }
  }
}
