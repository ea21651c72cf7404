/** What a daemon proves who it is with, and whom it believes; PEM texts. */
export interface Identity {
  readonly certificate: string;
  readonly key: string;
  /** The CAs of the mesh: one, or more while one takes another's place. */
  readonly authorities: readonly string[];
  /** 48 random bytes, of this identity alone: threads that share them resume each other's sessions. */
  readonly ticketKeys: Uint8Array;
}

/** Where the identity comes from, and its changes: a new certificate takes the place of the one before. */
export interface IdentitySource {
  readonly current: Identity | undefined;
  onChange(listener: () => void): void;
}
