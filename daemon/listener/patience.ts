import type { Socket } from 'node:net';
import { ProxyError } from '../http/proxy-error.ts';

/** A head must be complete this long after its first byte. */
export const HEAD_TIMEOUT_MS = 20_000;
/** In the middle of a body that nobody holds back, a caller may be silent this long (nginx's client_body_timeout). */
const BODY_TIMEOUT_MS = 60_000;
/**
 * A caller that has something to take may be seen to take nothing of it this long (Envoy's stream_idle_timeout). Linux says that
 * there is room again for every 1.4 MB taken of a full buffer: a minute would cut off whoever takes less than 25 KB/s.
 */
const SEND_TIMEOUT_MS = 300_000;
/** Longer than the 60–75 s for which common clients keep idle connections, so that they close first and never race ours. */
const IDLE_TIMEOUT_MS = 120_000;
/** A tunnel through which nothing passes is given up after this long (Envoy's idle_timeout of TCP). */
const TUNNEL_IDLE_MS = 3_600_000;
/** The same for one of which a side has ended: seldom is more to come, and nobody may be left to close it. */
const HALF_CLOSED_TUNNEL_MS = 300_000;

/**
 * How long a caller's connection is waited for, in whatever it does. Measured from sweep to sweep, about once a second, so that
 * no byte on its way has to look at a clock. Times are ms of one monotonic clock.
 */
export class Patience {
  /** Since when no byte of the body or the tunnel under way has been seen, and how many there had been by then. */
  #quietSince = 0;
  #bytesSeen = -1;
  /** Since when the caller has been seen to take nothing of what waits for it, and how many bytes it had taken by then. */
  #untakenSince = 0;
  #bytesTaken = -1;

  /** What is measured from now on is another body, or a tunnel. */
  renew(): void {
    this.#bytesSeen = -1;
  }

  /** Between requests for `waitedMs`; `begun`: a head has begun. Gives 'idle' where the connection may simply be closed. */
  head(waitedMs: number, begun: boolean): ProxyError | 'idle' | undefined {
    if (begun && waitedMs > HEAD_TIMEOUT_MS) {
      return new ProxyError('head_timeout', 'the request head did not arrive in time');
    }
    return waitedMs > IDLE_TIMEOUT_MS ? 'idle' : undefined;
  }

  /** A request is under way; `due`: it is for the caller to send more of its body. */
  body({ bytesRead }: Socket, due: boolean, now: number): ProxyError | undefined {
    if (bytesRead !== this.#bytesSeen || !due) {
      this.#bytesSeen = bytesRead;
      this.#quietSince = now;
    } else if (now - this.#quietSince > BODY_TIMEOUT_MS) {
      return new ProxyError('body_timeout', `nothing more of the body came for ${BODY_TIMEOUT_MS / 1_000} s`);
    }
    return undefined;
  }

  /** Something may wait for the caller to take it; told by the writes that have finished. */
  untaken({ bytesWritten, writableLength }: Socket, now: number): ProxyError | undefined {
    const taken = writableLength > 0 ? bytesWritten - writableLength : -1;
    if (taken === -1 || taken !== this.#bytesTaken) {
      this.#bytesTaken = taken;
      this.#untakenSince = now;
    } else if (now - this.#untakenSince > SEND_TIMEOUT_MS) {
      return new ProxyError('send_timeout', `the caller took nothing of its answer for ${SEND_TIMEOUT_MS / 1_000} s`);
    }
    return undefined;
  }

  tunnel({ bytesRead, bytesWritten, readableEnded, writableEnded }: Socket, now: number): ProxyError | undefined {
    const passed = bytesRead + bytesWritten;
    if (passed !== this.#bytesSeen) {
      this.#bytesSeen = passed;
      this.#quietSince = now;
      return undefined;
    }
    const limit = readableEnded || writableEnded ? HALF_CLOSED_TUNNEL_MS : TUNNEL_IDLE_MS;
    if (now - this.#quietSince <= limit) return undefined;
    return new ProxyError('tunnel_idle', `nothing passed through the tunnel for ${limit / 60_000} minutes`);
  }
}
