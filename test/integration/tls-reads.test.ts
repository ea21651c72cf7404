import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { Http1Pool } from '../../daemon/client/http1-pool.ts';
import { PeerTls } from '../../daemon/client/peer-tls.ts';
import type { Exchange } from '../../daemon/http/exchange.ts';
import { NO_BODY } from '../../daemon/http/message-head.ts';
import type { Identity } from '../../daemon/identity/identity.ts';
import { Listener } from '../../daemon/listener/listener.ts';
import { Admission } from '../../daemon/policy/admission.ts';
import { TlsMetrics } from '../../daemon/telemetry/tls-metrics.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { makeAuthority, makeIdentity, TestIdentity } from '../support/identity.ts';

const BODY_BYTES = 1024 * 1024;
const RECORD_BYTES = 2_000;
const now = () => performance.now();
const trustAnyone = () => ({ node: undefined });

/** Takes pieces without a copy and says each time that it is enough, as a peer does that cannot write on. */
class Holder {
  readonly #held: Buffer[] = [];
  #taken: Buffer = Buffer.alloc(0);
  most = 0;

  hold(piece: Buffer): false {
    this.#held.push(piece);
    this.most = Math.max(this.most, this.#held.length);
    return false;
  }

  /** Takes a copy of what has come, and asks for more, until all is there. */
  async all(resume: () => void): Promise<Buffer> {
    while (this.#taken.length < BODY_BYTES) {
      // Reads that were not held back come meanwhile.
      for (let i = 0; i < 3; i += 1) await new Promise((resolve) => setImmediate(resolve));
      if (this.#held.length === 0) continue;
      this.#taken = Buffer.concat([this.#taken, ...this.#held.splice(0)]);
      resume();
    }
    return this.#taken;
  }
}

/** Writes it in many small records of TLS: one read below has several of them. */
async function writeRecords(socket: TLSSocket, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
    await new Promise((resolve) => socket.write(bytes.subarray(at, at + RECORD_BYTES), resolve));
  }
}

describe('over TLS, pieces that are not taken yet stay as they are while others come', () => {
  const body = randomBytes(BODY_BYTES);
  let identity: Identity;
  let server: Server;
  before(async () => {
    identity = makeIdentity(await makeAuthority(), 'node-1');
  });
  after(() => server.close());

  test('of an answer', async () => {
    const { certificate: cert, key } = identity;
    server = createServer({ cert, key }, (socket) => {
      socket.on('error', () => {});
      socket.on('data', async () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`);
        await writeRecords(socket, body);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const metrics = new TlsMetrics(new MetricsRegistry());
    const connector = new PeerTls({
      mode: 'required',
      identity: new TestIdentity(identity),
      judge: trustAnyone,
      metrics,
      now,
    });
    const pool = new Http1Pool(60_000, now, connector);
    const connection = pool.open({ ip: '127.0.0.1', port: (server.address() as AddressInfo).port });
    const holder = new Holder();
    connection.send('GET', 'GET / HTTP/1.1\r\nHost: x\r\n', NO_BODY, {
      asksForTunnel: false,
      onTunnel() {},
      onInformation: () => true,
      onAnswer() {},
      onAnswerData: (piece) => holder.hold(piece),
      onAnswerEnd() {},
      onReadDone() {},
      onUpstreamWritable() {},
      onUpstreamError: ({ error }) => assert.fail(error),
    });
    connection.end([]);
    assert.ok((await holder.all(() => connection.resume())).equals(body));
    pool.destroy();
    assert.ok(holder.most > 1, 'nothing came while it was paused');
  });

  test('of a request', async () => {
    const arrived = Promise.withResolvers<Exchange>();
    const listener = new Listener({
      label: 'incoming',
      ip: '127.0.0.1',
      port: 0,
      reusePort: false,
      handle: (exchange) => {
        exchange.watcher = { onCallerGone() {}, onCallerWritable() {} };
        arrived.resolve(exchange);
      },
      onRefused: () => {},
      admission: new Admission({ maxConcurrentRequests: undefined, lagging: () => false, now }),
      refusalLines: () => '',
      tls: {
        mode: 'required',
        identity: new TestIdentity(identity),
        judge: undefined,
        metrics: new TlsMetrics(new MetricsRegistry()),
      },
      now,
      log: createLog('test', 'silent'),
    });
    const { ip: host, port } = await listener.listen();
    const caller = connect({ host, port, rejectUnauthorized: false });
    caller.on('error', () => {});
    caller.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`);
    const exchange = await arrived.promise;
    const sent = writeRecords(caller, body);
    const holder = new Holder();
    exchange.readBody({
      write: (piece) => (typeof piece === 'string' ? assert.fail('text') : holder.hold(piece)),
      flush() {},
      end() {},
    });
    assert.ok((await holder.all(() => exchange.resumeBody())).equals(body));
    await sent;
    listener.destroy();
    await listener.drain();
    assert.ok(holder.most > 1, 'nothing came while it was paused');
  });
});
