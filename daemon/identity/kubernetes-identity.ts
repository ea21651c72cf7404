import { generateKeyPair, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import { promisify } from 'node:util';
import { jitteredBackoffMs } from '../../lib/backoff.ts';
import { createCertificateRequest } from '../../lib/certificates/certificate-request.ts';
import {
  CA_CONFIG_MAP,
  CA_FILE,
  CERTIFICATE_LIFE_SECONDS,
  nodeId,
  nodeOfNames,
  SIGNER_NAME,
  splitBundle,
} from '../../lib/certificates/node-identity.ts';
import { Reflector } from '../../lib/kubernetes/reflector.ts';
import type { KubernetesApi, KubernetesObject } from '../../lib/kubernetes/types.ts';
import type { Log } from '../../lib/log.ts';
import type { MetricsRegistry } from '../../lib/metrics.ts';
import type { Readiness } from '../../lib/readiness.ts';
import { identityExpiry } from '../telemetry/tls-metrics.ts';
import type { Identity, IdentitySource } from './identity.ts';

const REQUESTS_PATH = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
/** The wall clock is asked at least this often whether renewal is due: a timer of hours stops while the machine is suspended. */
const CHECK_MS = 30_000;
const RETRY = { minMs: 500, maxMs: 30_000 };
const POLL = { minMs: 200, maxMs: 3_000 };
/** A request that nobody has answered for this long is given up for another. */
const ANSWER_TIMEOUT_MS = 60_000;

/** Node's `ticketKeys`: a name, and keys for AES and HMAC, of 16 bytes each. */
const TICKET_KEYS_BYTES = 48;

const makeKeys = promisify(generateKeyPair);

interface SigningRequest extends KubernetesObject {
  readonly status?: {
    readonly certificate?: string;
    readonly conditions?: readonly { readonly type: string; readonly message?: string }[] | null;
  };
}

interface Certified {
  readonly certificate: X509Certificate;
  readonly pem: string;
  readonly key: string;
  /** Wall clock, ms since 1970. */
  readonly renewAt: number;
  readonly endsAt: number;
}

export interface KubernetesIdentityOptions {
  readonly loadApi: () => Promise<KubernetesApi>;
  readonly nodeName: string;
  /** The mesh's own, where the ConfigMap with its CAs is. */
  readonly namespace: string;
  readonly trustDomain: string;
  /** Blocked while there is no valid identity; undefined where the daemon is of use without one. */
  readonly readiness: Readiness | undefined;
  readonly metrics: MetricsRegistry;
  readonly log: Log;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** ms since 1970: certificates live by it. */
  readonly wallClock: () => number;
  readonly random: () => number;
}

/**
 * A daemon's identity: a key that never leaves memory, and a certificate for it by the CertificateSigningRequest API. Renewed
 * at two thirds of its life, and at once when another CA takes over signing. Whatever fails, the last good one stays.
 */
export class KubernetesIdentity implements IdentitySource {
  readonly #options: KubernetesIdentityOptions;
  readonly #listeners: (() => void)[] = [];
  readonly #abort = new AbortController();
  #authorities: readonly string[] = [];
  #certified: Certified | undefined;
  #current: Identity | undefined;
  #watch: Reflector<string> | undefined;
  #failure = 'the CAs of the mesh have not been read yet';
  #wake = () => {};
  #running: Promise<void> = Promise.resolve();

  constructor(options: KubernetesIdentityOptions) {
    this.#options = options;
    const { metrics, wallClock } = options;
    const expiry = identityExpiry(metrics);
    metrics.onCollect(() => {
      if (this.#certified !== undefined) expiry.with('').set((this.#certified.endsAt - wallClock()) / 1_000);
    });
  }

  get current(): Identity | undefined {
    return this.#current;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Looks now whether a certificate is due. */
  check(): void {
    this.#wake();
  }

  start(): void {
    this.#block();
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#wake();
    await this.#watch?.stop();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { random, log } = this.#options;
    const results = this.#options.metrics.counter('identity_renewal_total', 'Certificates asked for.', ['result']);
    let api: KubernetesApi | undefined;
    let failures = 0;
    while (!this.#abort.signal.aborted) {
      let pauseMs = CHECK_MS;
      try {
        api ??= await this.#connect();
        if (this.#due()) {
          this.#adopt(await this.#obtain(api));
          results.with('success').inc();
        }
        failures = 0;
        pauseMs = this.#pauseMs();
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        this.#failure = error instanceof Error ? error.message : String(error);
        results.with('failure').inc();
        pauseMs = jitteredBackoffMs(failures, RETRY, random);
        failures += 1;
        log.warn({ pauseMs: Math.round(pauseMs) }, `no certificate, the last one stays in force: ${this.#failure}`);
      }
      this.#block();
      await this.#sleep(pauseMs);
    }
  }

  async #connect(): Promise<KubernetesApi> {
    const { loadApi, namespace, metrics, log, now, random } = this.#options;
    const api = await loadApi();
    this.#watch = new Reflector<string>({
      api,
      resource: {
        path: `/api/v1/namespaces/${namespace}/configmaps`,
        fieldSelector: `metadata.name=${CA_CONFIG_MAP}`,
      },
      trim: (object) => (object as KubernetesObject & { data?: Record<string, string> }).data?.[CA_FILE] ?? '',
      metrics,
      log,
      now,
      random,
    });
    this.#watch.onChange((changes) => this.#trust(changes.at(-1)?.object));
    if (!this.#abort.signal.aborted) this.#watch.start();
    return api;
  }

  /** A bundle that is gone, or holds no certificate, takes nothing away. */
  #trust(bundle: string | undefined): void {
    const authorities = splitBundle(bundle ?? '').filter(isCertificate);
    if (authorities.length === 0) return;
    this.#authorities = authorities;
    this.#publish();
    this.#wake();
  }

  #due(): boolean {
    const [signing] = this.#authorities;
    if (signing === undefined) return false;
    const certified = this.#certified;
    if (certified === undefined || this.#options.wallClock() >= certified.renewAt) return true;
    return !certified.certificate.verify(new X509Certificate(signing).publicKey);
  }

  /** Until renewal is due: at once where another CA has taken over meanwhile. */
  #pauseMs(): number {
    if (this.#due()) return 0;
    const { renewAt = Infinity } = this.#certified ?? {};
    return Math.min(CHECK_MS, renewAt - this.#options.wallClock());
  }

  async #obtain(api: KubernetesApi): Promise<Certified> {
    const { nodeName, trustDomain, wallClock, log } = this.#options;
    const keys = await makeKeys('ec', { namedCurve: 'P-256' });
    const uri = nodeId(trustDomain, nodeName);
    const pem = await this.#ask(api, createCertificateRequest(keys, { commonName: 'nodemesh-daemon', uri }));
    const certificate = new X509Certificate(pem);
    this.#check(certificate, keys.privateKey);
    const endsAt = Date.parse(certificate.validTo);
    const renewAt = wallClock() + ((endsAt - wallClock()) * 2) / 3;
    log.info({ id: uri, notAfter: certificate.validTo }, 'this daemon has a new certificate');
    return {
      certificate,
      pem,
      key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      renewAt,
      endsAt,
    };
  }

  async #ask(api: KubernetesApi, request: string): Promise<string> {
    const { random, now } = this.#options;
    const { signal } = this.#abort;
    const body = {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      metadata: { generateName: 'nodemesh-daemon-', labels: { 'app.kubernetes.io/part-of': 'nodemesh' } },
      spec: {
        request: Buffer.from(request).toString('base64'),
        signerName: SIGNER_NAME,
        usages: ['digital signature', 'client auth', 'server auth'],
        expirationSeconds: CERTIFICATE_LIFE_SECONDS, // servers before 1.22 drop it; the signer's own limit is the same
      },
    };
    const created = (await api.request({ method: 'POST', path: REQUESTS_PATH, body, signal })) as SigningRequest;
    const { name } = created.metadata;
    const deadline = now() + ANSWER_TIMEOUT_MS;
    for (let polls = 0; now() < deadline && !signal.aborted; polls += 1) {
      await this.#sleep(jitteredBackoffMs(polls, POLL, random));
      const { status } = (await api.request({
        method: 'GET',
        path: `${REQUESTS_PATH}/${name}`,
        signal,
      })) as SigningRequest;
      if (status?.certificate !== undefined) return Buffer.from(status.certificate, 'base64').toString();
      const refusal = status?.conditions?.find(({ type }) => type === 'Denied' || type === 'Failed');
      if (refusal !== undefined)
        throw new Error(`CertificateSigningRequest ${name}: ${refusal.type}: ${refusal.message}`);
    }
    throw new Error(
      `CertificateSigningRequest ${name} has no answer after ${ANSWER_TIMEOUT_MS / 1_000} s: is nodemesh-webhook running?`,
    );
  }

  #check(certificate: X509Certificate, key: KeyObject): void {
    const { trustDomain, nodeName } = this.#options;
    if (!certificate.checkPrivateKey(key) || nodeOfNames(trustDomain, certificate.subjectAltName) !== nodeName) {
      throw new Error(`the certificate that was issued is not for this daemon but for ${certificate.subjectAltName}`);
    }
    if (!this.#authorities.some((authority) => certificate.verify(new X509Certificate(authority).publicKey))) {
      throw new Error(`the certificate that was issued is of no CA in ConfigMap ${CA_CONFIG_MAP}`);
    }
  }

  #adopt(certified: Certified): void {
    this.#certified = certified;
    this.#publish();
  }

  #publish(): void {
    if (this.#certified === undefined) return;
    const { pem: certificate, key } = this.#certified;
    this.#current = { certificate, key, authorities: this.#authorities, ticketKeys: randomBytes(TICKET_KEYS_BYTES) };
    for (const listener of this.#listeners) listener();
  }

  #block(): void {
    const { readiness, wallClock } = this.#options;
    if (this.#certified !== undefined && wallClock() < this.#certified.endsAt) readiness?.clear('identity');
    else readiness?.block('identity', () => this.#failure);
  }

  /** Ends early when there are other CAs, or an end is asked for. */
  #sleep(ms: number): Promise<void> {
    if (this.#abort.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).ca;
  } catch {
    return false;
  }
}
