import type { SecureContextOptions } from 'node:tls';

/** What one side of TLS proves who it is with, if it does, and whom it believes; PEM texts. */
export interface Credentials {
  /** With what leads from it to a CA behind it. */
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  /** CAs; none: those that Node knows. */
  readonly authorities: readonly string[];
  /** 48 random bytes, of this identity alone: threads that share them resume each other's sessions. */
  readonly ticketKeys: Uint8Array;
}

/** A daemon's own, as the mesh gives it. Its authorities: one CA, or more while one takes another's place. */
export interface Identity extends Credentials {
  readonly certificate: string;
  readonly key: string;
}

/** Where credentials come from, and their changes: a new certificate takes the place of the one before. */
export interface CredentialSource<T extends Credentials = Credentials> {
  readonly current: T | undefined;
  onChange(listener: () => void): void;
}

export type IdentitySource = CredentialSource<Identity>;

/** Credentials as `tls.createSecureContext` takes them. */
export function pemOptions({ certificate, key, authorities }: Credentials): SecureContextOptions {
  return {
    ...(certificate === undefined || key === undefined ? {} : { cert: certificate, key }),
    ...(authorities.length === 0 ? {} : { ca: [...authorities] }),
  };
}
