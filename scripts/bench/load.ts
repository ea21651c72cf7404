import { once } from 'node:events';
import { connect, type OnReadOpts, type Socket } from 'node:net';
import type { Case } from './cases.ts';
import { quantile } from './statistics.ts';

/** One case against one proxy for so long. Latencies in ms, from the sending of a request to the end of its answer. */
export interface LoadResult {
  readonly requests: number;
  readonly failures: number;
  /** Answered 503, where that is no failure. */
  readonly refused: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const LENGTH = /\r\ncontent-length: *(\d+)/i;
const READ_BYTES = 64 * 1024;
/** A connection that gives no answer for so long after the end of a run has failed. */
const PATIENCE_MS = 5_000;

/** Who sends a load. */
export interface Sender {
  /** Addresses of this machine that connections come from, in turns. */
  readonly from: readonly string[];
  /** Whether an answer of 503 is no failure; the next request follows at once, whatever Retry-After says. */
  readonly mayBeRefused: boolean;
}

const ANYBODY: Sender = { from: ['127.0.0.1'], mayBeRefused: false };

/** Runs one case against a port of 127.0.0.1, or several in turns; resolves when the time is over and the last answers are in. */
export async function runLoad(
  port: number | readonly number[],
  one: Case,
  seconds: number,
  sender = ANYBODY,
): Promise<LoadResult> {
  const load = new Load([port].flat(), one, seconds, sender);
  const startedAt = performance.now();
  if (one.mode.kind === 'paced') await load.pace(one.mode.perSecond);
  else await load.runClosed(one.mode.kind === 'close');
  const ascending = Float64Array.from(load.latenciesMs).sort();
  return {
    requests: ascending.length,
    failures: load.failures,
    refused: load.refused,
    seconds: (performance.now() - startedAt) / 1_000,
    p50Ms: quantile(ascending, 0.5),
    p99Ms: quantile(ascending, 0.99),
  };
}

/** One run. All connections read into one buffer: what they say is looked at and forgotten. */
class Load {
  readonly latenciesMs: number[] = [];
  failures = 0;
  refused = 0;
  readonly #sender: Sender;
  readonly #ports: readonly number[];
  #connections = 0;
  readonly #case: Case;
  readonly #request: Buffer;
  readonly #endsAt: number;
  readonly #seconds: number;
  readonly #buffer = Buffer.allocUnsafe(READ_BYTES);

  constructor(ports: readonly number[], one: Case, seconds: number, sender: Sender) {
    this.#sender = sender;
    this.#ports = ports;
    this.#case = one;
    this.#request = Buffer.from(one.request, 'latin1');
    this.#seconds = seconds;
    this.#endsAt = performance.now() + seconds * 1_000;
  }

  async runClosed(closing: boolean): Promise<void> {
    const run = closing ? () => this.#oneByOne() : () => this.#keepBusy();
    await Promise.all(Array.from({ length: this.#case.connections }, run));
  }

  /** Sends what is due each millisecond on connections that wait for nothing; opens more when there are none. */
  async pace(perSecond: number): Promise<void> {
    const idle: Connection[] = [];
    const all: Connection[] = [];
    const open = () => {
      const connection = this.#connect(() => idle.push(connection));
      all.push(connection);
      return connection;
    };
    for (let i = 0; i < this.#case.connections; i += 1) {
      const connection = open();
      await once(connection.socket, 'connect');
      idle.push(connection);
    }
    const startedAt = performance.now();
    const total = Math.floor(this.#seconds * perSecond);
    let sent = 0;
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        const due = Math.min(total, Math.floor(((performance.now() - startedAt) * perSecond) / 1_000));
        for (; sent < due; sent += 1) (idle.pop() ?? open()).send(this.#request);
        if (sent < total || (idle.length < all.length && performance.now() < this.#endsAt + PATIENCE_MS)) return;
        clearInterval(timer);
        resolve();
      }, 1);
    });
    this.failures += all.length - idle.length;
    for (const { socket } of all) socket.destroy();
  }

  /** One connection, one request after the other. */
  async #keepBusy(): Promise<void> {
    const connection = this.#connect(() => {
      if (performance.now() < this.#endsAt) connection.send(this.#request);
      else connection.socket.destroy();
    });
    connection.send(this.#request);
    await this.#closed(connection);
  }

  /** One request after the other, each on a connection of its own, which the proxy closes. */
  async #oneByOne(): Promise<void> {
    while (performance.now() < this.#endsAt) {
      const connection = this.#connect(() => {});
      connection.send(this.#request);
      await this.#closed(connection);
    }
  }

  #connect(onAnswer: () => void): Connection {
    const { from, mayBeRefused } = this.#sender;
    this.#connections += 1;
    const port = this.#ports[this.#connections % this.#ports.length] as number;
    const localAddress = from[this.#connections % from.length] as string;
    const expected = { answerBytes: this.#case.answerBytes, mayBeRefused };
    return new Connection({ port, localAddress }, this.#buffer, expected, (latencyMs) => {
      if (latencyMs === undefined) this.refused += 1;
      else this.latenciesMs.push(latencyMs);
      onAnswer();
    });
  }

  async #closed({ socket, waiting }: Connection): Promise<void> {
    const timer = setTimeout(() => socket.destroy(), this.#endsAt + PATIENCE_MS - performance.now());
    await new Promise((resolve) => socket.once('close', resolve));
    clearTimeout(timer);
    if (waiting()) this.failures += 1;
  }
}

interface Expected {
  readonly answerBytes: number;
  readonly mayBeRefused: boolean;
}

/** Counts an answer's bytes; only its status and where its head ends are looked at. */
class Connection {
  readonly socket: Socket;
  readonly #expected: Expected;
  readonly #onAnswer: (latencyMs: number | undefined) => void;
  #sentAt = 0;
  #refused = false;
  #head: Buffer | undefined;
  /** Bytes of the body still to come; -1 before the end of the head, -2 while nothing was asked. */
  #missing = -2;

  /** `onAnswer` is called without a latency where the request was refused. */
  constructor(
    way: { readonly port: number; readonly localAddress: string },
    buffer: Buffer,
    expected: Expected,
    onAnswer: (latencyMs: number | undefined) => void,
  ) {
    this.#expected = expected;
    this.#onAnswer = onAnswer;
    const onread: OnReadOpts = {
      buffer,
      callback: (length) => {
        this.#take(buffer.subarray(0, length));
        return true;
      },
    };
    this.socket = connect({ host: '127.0.0.1', ...way, noDelay: true, onread });
    this.socket.on('error', () => {}); // 'close' follows
  }

  /** Whether an answer is owed. */
  readonly waiting = (): boolean => this.#missing !== -2;

  send(request: Buffer): void {
    this.#sentAt = performance.now();
    this.#missing = -1;
    this.socket.write(request);
  }

  #take(bytes: Buffer): void {
    if (!this.waiting()) this.#fail();
    else if (this.#missing < 0) this.#takeHead(bytes);
    else this.#missing -= bytes.length;
    if (this.#missing !== 0) return;
    this.#missing = -2;
    this.#onAnswer(this.#refused ? undefined : performance.now() - this.#sentAt);
  }

  #takeHead(bytes: Buffer): void {
    const all = this.#head === undefined ? bytes : Buffer.concat([this.#head, bytes]);
    const end = all.indexOf(HEAD_END);
    if (end === -1) {
      this.#head = Buffer.from(all);
      return;
    }
    this.#head = undefined;
    const { answerBytes, mayBeRefused } = this.#expected;
    const status = all.toString('latin1', 9, 12);
    this.#refused = mayBeRefused && status === '503';
    const length = this.#refused ? Number(LENGTH.exec(all.toString('latin1', 0, end))?.[1]) : answerBytes;
    this.#missing = length - (all.length - end - HEAD_END.length);
    if ((!this.#refused && status !== '200') || this.#missing < 0) this.#fail();
  }

  #fail(): void {
    this.#missing = -1;
    this.socket.destroy();
  }
}
