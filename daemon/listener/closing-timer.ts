import type { Socket } from 'node:net';
import type { Http1Exchange } from './http1-exchange.ts';

/**
 * Once all is sent the caller's unread bytes are read and dropped, so that no reset eats the answer: until none have come for
 * this long, and so many times over at most (nginx's lingering_time).
 */
const LINGER_MS = 1_000;
const LINGER_TURNS = 30;
/**
 * A caller that has closed its sending side while it waits for an answer is either half-closed (RFC 9112 §9.6) or gone;
 * TCP shows both alike. It gets this long for the answer to begin, then the request is cancelled.
 */
const HALF_CLOSED_GRACE_MS = 500;
/** The same once the answer has begun: this long without a byte of it, and the caller is taken for gone. */
const HALF_CLOSED_SILENCE_MS = 5_000;

/** What a connection still waits for when one of its sides has ended. One thing at a time. */
export class ClosingTimer {
  #timer: NodeJS.Timeout | undefined;

  /** Ours has: lets go of the socket once the caller sends nothing more. */
  linger(socket: Socket, turns = LINGER_TURNS): void {
    if (socket.destroyed) return;
    const { bytesRead } = socket;
    this.#set(LINGER_MS, () => {
      if (turns > 1 && socket.bytesRead !== bytesRead) this.linger(socket, turns - 1);
      else socket.destroy();
    });
  }

  /** The caller's has, in the middle of an exchange: gives up both where nothing more of the answer comes. */
  watchHalfClosed(socket: Socket, exchange: Http1Exchange): void {
    const { answered } = exchange;
    const { bytesWritten } = socket;
    this.#set(answered ? HALF_CLOSED_SILENCE_MS : HALF_CLOSED_GRACE_MS, () => {
      if (exchange.answered !== answered || socket.bytesWritten !== bytesWritten || socket.writableLength > 0) {
        this.watchHalfClosed(socket, exchange);
        return;
      }
      exchange.callerGone();
      socket.destroy();
    });
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #set(ms: number, then: () => void): void {
    this.#timer = setTimeout(then, ms);
    this.#timer.unref();
  }
}
