import { X509Certificate } from 'node:crypto';
import { splitBundle } from '../../lib/certificates/node-identity.ts';
import { count, type Finding, failure, ok, warning } from './finding.ts';

const DAY_MS = 86_400_000;
/** The webhook renews at two thirds of a life: with less than this left, it has not. */
const LEAST_LIFE_LEFT = 0.25;

const LOGS = 'kubectl -n nodemesh logs deployment/nodemesh-webhook says why';

/** Who renews the serving certificate, by `servingCertificate` of webhook.yaml, and where it says why it did not. */
const RENEWAL = {
  selfMade: `the webhook renews its certificates at two thirds of their life; ${LOGS}`,
  provided:
    'whoever fills Secret nodemesh-webhook-serving renews it, and the webhook takes the new one; with cert-manager, kubectl -n nodemesh describe certificate nodemesh-webhook-serving says why not',
};

export interface BundledEntry {
  readonly name: string;
  /** Base64; undefined where there is none. */
  readonly caBundle: string | undefined;
}

/** `webhook.ca-bundle`: every entry has the same CAs, and they are certificates. */
export function judgeBundles(entries: readonly BundledEntry[]): Finding {
  const id = 'webhook.ca-bundle';
  const hint = `the webhook writes it within seconds once it is ready; ${LOGS}`;
  const without = entries.filter(({ caBundle }) => !caBundle).map(({ name }) => name);
  if (without.length > 0) return failure(id, `no caBundle in ${without.join(', ')}`, hint);
  const different = entries.filter(({ caBundle }) => caBundle !== entries[0]?.caBundle);
  if (different.length > 0) {
    return failure(
      id,
      `${entries[0]?.name} and ${different.map(({ name }) => name).join(', ')} have different CAs`,
      hint,
    );
  }
  const certificates = bundleOf(entries);
  if (certificates.length === 0) return failure(id, 'caBundle holds no certificate', hint);
  return ok(id, `one caBundle everywhere, with ${count(certificates.length, 'CA')}`);
}

/** The CAs of the first entry that has any. */
export function bundleOf(entries: readonly BundledEntry[]): X509Certificate[] {
  const caBundle = entries.find((entry) => entry.caBundle)?.caBundle ?? '';
  return certificatesIn(Buffer.from(caBundle, 'base64').toString());
}

/** The certificates of a PEM text; those that cannot be read are left out. */
export function certificatesIn(pem: string): X509Certificate[] {
  return splitBundle(pem).flatMap((block) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      return [];
    }
  });
}

/**
 * `webhook.certificate`: the serving certificate (with what is needed to get from it to a CA) is for the Service's name and
 * leads to a CA that the API server believes.
 */
export function judgeServing(
  chain: readonly X509Certificate[],
  bundle: readonly X509Certificate[],
  host: string,
): Finding {
  const id = 'webhook.certificate';
  const [leaf] = chain;
  const hint = `until they match, the API server refuses to call the webhook; ${LOGS}`;
  if (leaf === undefined) return failure(id, 'the Secret of the serving certificate holds none', hint);
  if (leaf.checkHost(host) === undefined) return failure(id, `the serving certificate is not for ${host}`, hint);
  if (issuerIn(chain, bundle) === undefined) {
    return failure(id, 'the serving certificate is of a CA that is not in caBundle', hint);
  }
  return ok(id, `the serving certificate is for ${host}, and of a CA in caBundle`);
}

/** The CA of a bundle that a chain leads to, link by link. */
export function issuerIn(
  chain: readonly X509Certificate[],
  bundle: readonly X509Certificate[],
): X509Certificate | undefined {
  const [leaf, ...between] = chain;
  if (leaf === undefined) return undefined;
  const isIssuer = (ca: X509Certificate) => leaf.checkIssued(ca) && leaf.verify(ca.publicKey);
  const root = bundle.find(isIssuer);
  const next = between.find(isIssuer);
  return root ?? (next === undefined ? undefined : issuerIn([next, ...between.filter((one) => one !== next)], bundle));
}

/**
 * `webhook.expiry`: how long certificates are still good at `now` (ms since 1970); those that are not are an error. `made` says
 * whose they are, as in webhook.yaml.
 */
export function judgeExpiry(
  certificates: Readonly<Record<string, X509Certificate | undefined>>,
  now: number,
  made: keyof typeof RENEWAL,
): Finding {
  const id = 'webhook.expiry';
  const lives = Object.entries(certificates).flatMap(([name, certificate]) =>
    certificate === undefined ? [] : [{ name, ...lifeOf(certificate, now) }],
  );
  const say = (those: typeof lives) => those.map(({ name, text }) => `${name}: ${text}`).join('; ');
  const invalid = lives.filter(({ left }) => left <= 0 || left > 1);
  const hint = RENEWAL[made];
  if (invalid.length > 0) return failure(id, say(invalid), hint);
  const old = lives.filter(({ left }) => left < LEAST_LIFE_LEFT);
  return old.length > 0 ? warning(id, say(old), hint) : ok(id, say(lives));
}

/** What is left of a certificate's life as a part of it, over 1 before it begins. */
function lifeOf(certificate: X509Certificate, now: number): { readonly left: number; readonly text: string } {
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  const left = (to - now) / (to - from);
  if (left > 1) return { left, text: `not valid before ${new Date(from).toISOString()}` };
  if (left <= 0) return { left, text: `expired ${new Date(to).toISOString()}` };
  return { left, text: `${count(Math.floor((to - now) / DAY_MS), 'day')} left` };
}
