import { connect } from 'node:tls';

const INTERVAL_MS = 5_000;
const TIMEOUT_MS = 2_000;
const LATE = `no TLS handshake with the admission port within ${TIMEOUT_MS} ms, twice in a row`;

export interface SelfCheckOptions {
  /** Where the admission server listens; an address that stands for all is asked on loopback. */
  readonly address: { readonly ip: string; readonly port: number };
  /** The name that API servers call by. */
  readonly name: string;
  /** The CAs (PEM) that the certificate in service is to be trusted by; undefined where only others know them. */
  readonly authorities: () => string | undefined;
  /** Told after each handshake what is wrong with it; undefined: nothing. */
  readonly report: (fault: string | undefined) => void;
}

/**
 * Calls the webhook as an API server would, by a whole TLS handshake, every few seconds: a port that listens says nothing of
 * whether the certificate behind it can be trusted, names the Service and is in time. A handshake that takes too long is a fault the
 * second time in a row.
 */
export class SelfCheck {
  readonly #options: SelfCheckOptions;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: SelfCheckOptions) {
    this.#options = options;
  }

  /** Looks now, and from then on again and again. Settles when the look has been reported. */
  async check(): Promise<void> {
    clearTimeout(this.#timer);
    let fault = await handshake(this.#options);
    // A process that was held up itself finds the timeout due before it gets to the answer.
    if (fault === LATE && !this.#stopped) fault = await handshake(this.#options);
    if (this.#stopped) return;
    this.#options.report(fault);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.check(), INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}

/** What is wrong with a handshake, or undefined. Never rejects. */
function handshake({ address, name, authorities }: SelfCheckOptions): Promise<string | undefined> {
  const { ip, port } = address;
  const host = ip === '::' || ip === '0.0.0.0' ? '127.0.0.1' : ip;
  const ca = authorities();
  return new Promise((resolve) => {
    const socket = connect({
      host,
      port,
      servername: name,
      timeout: TIMEOUT_MS,
      ...(ca === undefined ? { rejectUnauthorized: false } : { ca }),
    });
    const end = (fault: string | undefined) => {
      socket.destroy();
      resolve(fault);
    };
    socket.on('secureConnect', () => end(undefined));
    socket.on('timeout', () => end(LATE));
    socket.on('error', (error) => end(`no TLS handshake with port ${port}: ${error.message}`));
  });
}
