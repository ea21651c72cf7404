import { createPrivateKey, hkdfSync, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { splitBundle } from '../../lib/certificates/node-identity.ts';
import type { Log } from '../../lib/log.ts';
import type { Counter, Family } from '../../lib/metrics.ts';
import type { CredentialFiles } from '../tls-config.ts';
import type { CredentialSource, Credentials } from './identity.ts';

const TICKET_KEYS_BYTES = 48;

/**
 * Credentials out of files, which are looked at each time that they are asked for: once a connection, as linkerd does. So a file that
 * was swapped, or a symlink to its directory (Secret volumes), counts from the next connection on, without a watch. Files
 * that make no whole, as between the writing of a certificate and of its key, leave the last good ones in force.
 */
export class FileCredentials implements CredentialSource {
  readonly #files: CredentialFiles;
  readonly #log: Log;
  readonly #loads: Family<Counter>;
  readonly #listeners: (() => void)[] = [];
  #stamp: string;
  #current: Credentials;

  /** Reads the files. Throws Error with the path and what is wrong. `loads`: counts readings by `result`. */
  constructor(files: CredentialFiles, log: Log, loads: Family<Counter>) {
    this.#files = files;
    this.#log = log;
    this.#loads = loads;
    this.#stamp = stampOf(files);
    this.#current = loadCredentials(files);
  }

  get current(): Credentials {
    const stamp = stampOf(this.#files);
    if (stamp !== this.#stamp) {
      this.#stamp = stamp;
      this.#load();
    }
    return this.#current;
  }

  /** The certificate's file; undefined where only the other side proves itself. */
  get certPath(): string | undefined {
    return this.#files.certPath;
  }

  /** When the certificate in force ends, ms since 1970. */
  get endsAt(): number | undefined {
    const { certificate } = this.current;
    return certificate === undefined ? undefined : Date.parse(new X509Certificate(certificate).validTo);
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  #load(): void {
    const { certPath, authorityPaths } = this.#files;
    try {
      this.#current = loadCredentials(this.#files);
    } catch (error) {
      this.#loads.with('failure').inc();
      this.#log.error(
        `TLS files have changed and cannot be used, the last good ones stay in force: ${messageOf(error)}`,
      );
      return;
    }
    this.#loads.with('success').inc();
    this.#log.info({ file: certPath ?? authorityPaths[0] }, 'TLS files have changed and are in force');
    for (const listener of this.#listeners) listener();
  }
}

/** Reads and checks the files. Throws Error with the path of the one that cannot be used, and why. */
export function loadCredentials(files: CredentialFiles): Credentials {
  const { certPath, keyPath, intermediateCertsPath, authorityPaths } = files;
  const authorities = authorityPaths.flatMap(readCertificates);
  if (certPath === undefined || keyPath === undefined) {
    return { certificate: undefined, key: undefined, authorities, ticketKeys: new Uint8Array(TICKET_KEYS_BYTES) };
  }
  const chain = readCertificates(certPath);
  if (intermediateCertsPath !== undefined) chain.push(...readCertificates(intermediateCertsPath));
  const key = read(keyPath);
  const pair = attempt(keyPath, () => createPrivateKey(key));
  if (!new X509Certificate(chain[0] ?? '').checkPrivateKey(pair)) {
    throw new Error(`${keyPath} is not the key of the certificate in ${certPath}`);
  }
  const certificate = chain.join('\n');
  // The same in every thread, so that a session is resumed whichever a connection comes to; other ones with other files.
  const ticketKeys = new Uint8Array(
    hkdfSync(
      'sha256',
      pair.export({ type: 'pkcs8', format: 'der' }),
      certificate + authorities,
      'tickets',
      TICKET_KEYS_BYTES,
    ),
  );
  return { certificate, key, authorities, ticketKeys };
}

/** Changes when a file is written, put in another's place, or reached by another link. */
function stampOf({ certPath, keyPath, intermediateCertsPath, authorityPaths }: CredentialFiles): string {
  let stamp = '';
  for (const path of [certPath, keyPath, intermediateCertsPath, ...authorityPaths]) {
    stamp += path === undefined ? ' -' : stampOfFile(path);
  }
  return stamp;
}

function stampOfFile(path: string): string {
  try {
    const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true });
    return ` ${dev}:${ino}:${size}:${mtimeNs}`;
  } catch {
    return ' ?'; // reading it says why
  }
}

function readCertificates(path: string): string[] {
  const found = splitBundle(read(path));
  if (found.length === 0) throw new Error(`${path} holds no certificate in PEM`);
  for (const one of found) attempt(path, () => new X509Certificate(one));
  return found;
}

function read(path: string): string {
  return attempt(path, () => readFileSync(path, 'utf8'));
}

function attempt<T>(path: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    const why = messageOf(error);
    throw new Error(why.includes(path) ? why : `${path} cannot be used: ${why}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
