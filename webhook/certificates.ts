import { jitteredBackoffMs } from '../lib/backoff.ts';
import { type KubernetesApi, KubernetesError, type KubernetesObject } from '../lib/kubernetes/types.ts';
import type { Log } from '../lib/log.ts';
import type { Counter } from '../lib/metrics.ts';
import {
  CERTIFICATE_FILES,
  type CertificateSet,
  createAuthority,
  createServingCertificate,
  judgeCertificates,
  rotateAuthority,
  type Verdict,
} from './certificate-authority.ts';
import { SerialTask } from './serial-task.ts';

export const SECRET_NAME = 'nodemesh-webhook-tls';
/** Annotation of the Secret by which a person asks for new certificates; taken away when they are made. */
const RENEW = 'nodemesh.dev/renew';
const RENEWALS: ReadonlyMap<string, Verdict['action']> = new Map([
  ['serving', 'renew'],
  ['ca', 'rotate'],
  ['all', 'replace'],
]);

/** The wall clock is asked this often whether renewal is due: a timer of months overflows, and stops while suspended. */
const CHECK_INTERVAL_MS = 60_000;
const RETRY = { minMs: 500, maxMs: 30_000 };
/** Replicas that start together lose at most a race or two each. */
const MAX_CONFLICTS = 10;

interface Secret extends KubernetesObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>> | null;
}

export interface CertificatesOptions {
  readonly api: KubernetesApi;
  readonly namespace: string;
  /** DNS names to make serving certificates for, the one that API servers call by first. */
  readonly names: readonly string[];
  /** Counts the times that the Secret held, in place of what is in force, something that cannot serve. */
  readonly refused: Counter;
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
}

/**
 * The webhook's CA and serving certificate, in one Secret that all replicas share: whoever comes first writes it, everyone
 * serves only what was read back (create, on 409 read; update with resourceVersion, on 409 read). The serving
 * certificate and the CA are renewed at two thirds of their lives, or when the Secret's annotation `nodemesh.dev/renew` asks for it
 * (`serving`, `ca`, or `all`: a new CA that does not keep the old one). A Secret that makes no sense is written anew, from
 * the working certificates in memory where there are any. While the API server is away, the last good ones stay in force.
 */
export class Certificates {
  readonly #options: CertificatesOptions;
  readonly #listeners: ((set: CertificateSet) => void)[] = [];
  readonly #checkListeners: (() => void)[] = [];
  #current: CertificateSet | undefined;
  #failure: string | undefined;
  readonly #task = new SerialTask(() => this.#reconcile());
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: CertificatesOptions) {
    this.#options = options;
  }

  /** What a certificate must name. Replicas of two configurations may differ in the rest, and must not fight over it. */
  get #required(): readonly string[] {
    return this.#options.names.slice(0, 1);
  }

  get current(): CertificateSet | undefined {
    return this.#current;
  }

  /** Why the last reading of the Secret failed; undefined after one that did not. */
  get failure(): string | undefined {
    return this.#failure;
  }

  onChange(listener: (set: CertificateSet) => void): void {
    this.#listeners.push(listener);
  }

  /** Called every minute at least, when the Secret has been looked at or could not be: for what depends on the time. */
  onCheck(listener: () => void): void {
    this.#checkListeners.push(listener);
  }

  /** Reads the Secret now and from then on every minute. */
  start(): void {
    void this.#check(0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#task.idle();
  }

  /** Reads the Secret, and writes it where that is due; settles when this has been done or has failed. Never rejects. */
  refresh(): Promise<void> {
    return this.#task.request();
  }

  async #check(failures: number): Promise<void> {
    await this.refresh();
    if (this.#stopped) return;
    for (const listener of this.#checkListeners) listener();
    const failed = this.#failure !== undefined;
    const delay = failed ? jitteredBackoffMs(failures, RETRY, this.#options.random) : CHECK_INTERVAL_MS;
    this.#timer = setTimeout(() => void this.#check(failed ? failures + 1 : 0), delay);
    this.#timer.unref();
  }

  async #reconcile(): Promise<void> {
    if (this.#stopped) return;
    const { log } = this.#options;
    try {
      this.#adopt(await this.#obtain());
      this.#failure = undefined;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#failure = `Secret ${this.#options.namespace}/${SECRET_NAME}: ${why}`;
      log.warn(`the certificates could not be read or written: ${this.#failure}`);
    }
  }

  async #obtain(): Promise<CertificateSet> {
    const { log } = this.#options;
    for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts += 1) {
      const secret = await this.#read();
      const stored = decode(secret);
      const verdict = this.#judge(secret, stored);
      if (verdict.action === 'keep') return stored as CertificateSet;
      const { action, why } = verdict;
      const inForce = this.#current;
      if (secret !== undefined && inForce !== undefined && verdict.asked !== true && !isSame(inForce, stored)) {
        this.#options.refused.inc();
        log.error({ secret: SECRET_NAME, why }, 'the Secret was changed to what cannot serve; see who else writes it');
      }
      log.info({ secret: SECRET_NAME, action, why }, 'writing the Secret with the certificates');
      const written = await this.#write(secret, await this.#make(verdict, stored));
      if (written === undefined) continue; // another replica was first: its certificates are ours
      return decode(written) as CertificateSet;
    }
    throw new Error('it changes each time before it can be written; see who else writes it');
  }

  #judge(secret: Secret | undefined, stored: Partial<CertificateSet>): Verdict {
    const { now, log } = this.#options;
    if (secret === undefined) return { action: 'replace', why: 'it does not exist' };
    const verdict = judgeCertificates(stored, this.#required, now());
    const asked = secret.metadata.annotations?.[RENEW];
    if (asked === undefined || verdict.action === 'replace') return verdict;
    const action = RENEWALS.get(asked);
    if (action !== undefined) return { action, why: `its annotation ${RENEW} asks for it`, asked: true };
    log.warn(`Secret ${SECRET_NAME}: annotation ${RENEW} is none of ${[...RENEWALS.keys()].join(', ')}`);
    return verdict;
  }

  async #make({ action, asked }: Verdict, stored: Partial<CertificateSet>): Promise<CertificateSet> {
    const { names, now } = this.#options;
    const before = stored as CertificateSet;
    if (action === 'renew') return createServingCertificate(before, names, now());
    if (action === 'rotate') return createServingCertificate(await rotateAuthority(before, now()), names, now());
    if (asked !== true && this.#current !== undefined) {
      if (judgeCertificates(this.#current, this.#required, now()).action === 'keep') return this.#current;
    }
    return createServingCertificate(await createAuthority(now()), names, now());
  }

  async #read(): Promise<Secret | undefined> {
    const { api, namespace } = this.#options;
    try {
      return (await api.request({ method: 'GET', path: `${secrets(namespace)}/${SECRET_NAME}` })) as Secret;
    } catch (error) {
      if (error instanceof KubernetesError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** Undefined where someone else wrote (or deleted) it in between. */
  async #write(before: Secret | undefined, set: CertificateSet): Promise<Secret | undefined> {
    const { api, namespace } = this.#options;
    const data = Object.fromEntries(CERTIFICATE_FILES.map((file) => [file, Buffer.from(set[file]).toString('base64')]));
    try {
      if (before === undefined) {
        const metadata = { name: SECRET_NAME, namespace, labels: { 'app.kubernetes.io/part-of': 'nodemesh' } };
        const body = { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data };
        return (await api.request({ method: 'POST', path: secrets(namespace), body })) as Secret;
      }
      const { [RENEW]: _done, ...annotations } = before.metadata.annotations ?? {};
      const metadata = { ...before.metadata, annotations };
      const body = { apiVersion: 'v1', kind: 'Secret', ...before, metadata, data: { ...before.data, ...data } };
      return (await api.request({ method: 'PUT', path: `${secrets(namespace)}/${SECRET_NAME}`, body })) as Secret;
    } catch (error) {
      const status = error instanceof KubernetesError ? error.status : 0;
      if (status === 409 || (status === 404 && before !== undefined)) return undefined;
      throw error;
    }
  }

  #adopt(set: CertificateSet): void {
    const before = this.#current;
    if (before !== undefined && isSame(before, set)) return;
    this.#current = set;
    for (const listener of this.#listeners) listener(set);
  }
}

function isSame(one: Partial<CertificateSet>, other: Partial<CertificateSet>): boolean {
  return CERTIFICATE_FILES.every((file) => one[file] === other[file]);
}

function secrets(namespace: string): string {
  return `/api/v1/namespaces/${namespace}/secrets`;
}

function decode(secret: Secret | undefined): Partial<CertificateSet> {
  const data = secret?.data ?? {};
  return Object.fromEntries(
    CERTIFICATE_FILES.flatMap((file) => {
      const text = data[file];
      return typeof text === 'string' ? [[file, Buffer.from(text, 'base64').toString()]] : [];
    }),
  );
}
