import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { type Connector, PLAINTEXT, type ServerAddress } from '../../daemon/client/connector.ts';
import { Http1Pool } from '../../daemon/client/http1-pool.ts';
import { PeerTls } from '../../daemon/client/peer-tls.ts';
import type { Exchange } from '../../daemon/http/exchange.ts';
import { NO_BODY } from '../../daemon/http/message-head.ts';
import { type Judge, judgePeer } from '../../daemon/identity/peer-check.ts';
import { Listener } from '../../daemon/listener/listener.ts';
import { Admission } from '../../daemon/policy/admission.ts';
import { TlsMetrics } from '../../daemon/telemetry/tls-metrics.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { metricValue } from '../support/daemon.ts';
import { makeAuthority, makeIdentity, type TestAuthority, TestIdentity, TRUST_DOMAIN } from '../support/identity.ts';
import { until } from '../support/mesh.ts';

const now = () => performance.now();
/** Nodes that are in the cluster no more; a test adds one of its own. */
const goneNodes = new Set<string>();
const gone = (node: string) => goneNodes.has(node);
const judgeNode: Judge = (shown, node) => judgePeer(shown, { trustDomain: TRUST_DOMAIN, node, gone, now: Date.now() });
type Mode = 'permissive' | 'required';

/** A listener that answers with the node of whoever asks. */
class Server {
  readonly identity: TestIdentity;
  readonly registry = new MetricsRegistry();
  readonly listener: Listener;
  readonly seen: Exchange[] = [];
  address: ServerAddress = { ip: '', port: 0 };

  constructor(identity: TestIdentity, mode: Mode, node = 'node-2') {
    this.identity = identity;
    this.listener = new Listener({
      label: 'incoming',
      ip: '127.0.0.1',
      port: 0,
      reusePort: false,
      handle: (exchange) => this.handle(exchange, node),
      onRefused: () => {},
      admission: new Admission({ maxConcurrentRequests: undefined, lagging: () => false, now }),
      refusalLines: () => '',
      tls: { mode, identity, judge: judgeNode, gone, metrics: new TlsMetrics(this.registry) },
      now,
      log: createLog('test', 'silent'),
    });
  }

  handle(exchange: Exchange, node: string): void {
    this.seen.push(exchange);
    exchange.watcher = { onCallerGone() {}, onCallerWritable() {} };
    const body = Buffer.from(`${exchange.caller.node ?? 'anyone'} to ${node}`);
    exchange.respond({ status: 200, reason: 'OK', fieldLines: '', framing: { kind: 'length', length: body.length } });
    exchange.writeBody(body);
    exchange.endBody([]);
  }

  async start(node: string): Promise<this> {
    this.address = { ...(await this.listener.listen()), node };
    return this;
  }

  async stop(): Promise<void> {
    this.listener.destroy();
    await this.listener.drain();
  }

  refused(reason: string): number {
    return metricValue(this.registry.render(), 'tls_refused_total', { side: 'server', reason });
  }
}

/** A pool that connects as a daemon does. */
class Client {
  readonly identity: TestIdentity;
  readonly registry = new MetricsRegistry();
  readonly pool: Http1Pool;

  constructor(identity: TestIdentity, mode: Mode, connector?: Connector) {
    this.identity = identity;
    const metrics = new TlsMetrics(this.registry);
    const options = { mode, identity, judge: judgeNode, gone, metrics, now };
    this.pool = new Http1Pool(60_000, now, connector ?? new PeerTls(options));
  }

  /** One GET: `200 <body>`, or the code and text of what went wrong. `fresh`: over a new connection. */
  ask(address: ServerAddress, fresh = false): Promise<string> {
    return new Promise((resolve) => {
      const connection = fresh ? this.pool.open(address) : this.pool.take(address);
      let answer = '';
      connection.send('GET', 'GET / HTTP/1.1\r\nHost: x\r\n', NO_BODY, {
        asksForTunnel: false,
        onTunnel() {},
        onInformation: () => true,
        onAnswer: ({ status }) => {
          answer = `${status} `;
        },
        onAnswerData: (piece) => {
          answer += piece.toString();
          return true;
        },
        onAnswerEnd: () => resolve(answer),
        onReadDone() {},
        onUpstreamWritable() {},
        onUpstreamError: ({ error, beforeSending }) =>
          resolve(`${error.code}${beforeSending ? '' : ' (sent)'}: ${error.message}`),
      });
      connection.end([]);
    });
  }

  refused(reason: string): number {
    return metricValue(this.registry.render(), 'tls_refused_total', { side: 'client', reason });
  }

  handshakes(handshake: string): number {
    return metricValue(this.registry.render(), 'tls_connection_total', { side: 'client', handshake });
  }
}

describe('TLS between daemons', () => {
  let ca: TestAuthority;
  let otherCa: TestAuthority;
  let server: Server;
  const stops: (() => unknown)[] = [];

  const serve = async (identity: TestIdentity, mode: Mode = 'required', node = 'node-2') => {
    const made = await new Server(identity, mode, node).start('node-2');
    stops.push(() => made.stop());
    return made;
  };
  const client = (identity: TestIdentity, mode: Mode = 'required', connector?: Connector) => {
    const made = new Client(identity, mode, connector);
    stops.push(() => made.pool.destroy());
    return made;
  };

  before(async () => {
    [ca, otherCa] = await Promise.all([makeAuthority(), makeAuthority()]);
    server = await serve(new TestIdentity(makeIdentity(ca, 'node-2')));
  });
  after(async () => {
    for (const stop of stops) await stop();
  });

  test('both sides know each other, over TLS 1.3 and ALPN http/1.1; later connections resume the session', async () => {
    const one = client(new TestIdentity(makeIdentity(ca, 'node-1')));
    assert.equal(await one.ask(server.address), '200 node-1 to node-2');
    assert.equal(await one.ask(server.address, true), '200 node-1 to node-2');
    assert.equal(await one.ask(server.address), '200 node-1 to node-2');
    assert.deepEqual([one.handshakes('full'), one.handshakes('resumed')], [1, 1]);
  });

  test('only TLS 1.3 and ALPN http/1.1 are spoken', async () => {
    const { certificate: cert, key, authorities } = makeIdentity(ca, 'node-1');
    const options = { host: server.address.ip, port: server.address.port, cert, key, ca: [...authorities] };
    const names = { checkServerIdentity: () => undefined };
    const socket = connectTls({ ...options, ...names, ALPNProtocols: ['h2', 'http/1.1'] });
    await once(socket, 'secureConnect');
    assert.deepEqual([socket.getProtocol(), socket.alpnProtocol], ['TLSv1.3', 'http/1.1']);
    socket.destroy();
    const old = connectTls({ ...options, ...names, maxVersion: 'TLSv1.2' });
    await assert.rejects(once(old, 'secureConnect'));
    const h2 = connectTls({ ...options, ...names, ALPNProtocols: ['h2'] });
    await assert.rejects(once(h2, 'secureConnect'));
  });

  test('a server of another CA, another node or no node, expired or not yet valid, is sent nothing', async () => {
    const one = client(new TestIdentity(makeIdentity(ca, 'node-1')));
    const cases = [
      { identity: makeIdentity(otherCa, 'node-2'), reason: 'wrong_authority', says: /not of this mesh's CA/ },
      { identity: makeIdentity(ca, 'node-3'), reason: 'wrong_node', says: /of node node-3, not of node node-2/ },
      { identity: makeIdentity(ca, '', { uri: 'spiffe://cluster.local/ns/a' }), reason: 'not_a_node', says: /no node/ },
      { identity: makeIdentity(ca, 'node-2', { from: -3, to: -1 }), reason: 'expired', says: /expired/ },
      { identity: makeIdentity(ca, 'node-2', { from: 1 }), reason: 'not_yet_valid', says: /not valid yet/ },
    ];
    for (const { identity, reason, says } of cases) {
      const other = await serve(new TestIdentity(identity));
      const answer = await one.ask(other.address);
      assert.match(answer, /^peer_not_trusted: /, reason);
      assert.match(answer, says);
      assert.equal(one.refused(reason), 1, reason);
      assert.equal(other.seen.length, 0, reason);
    }
  });

  test('a client in plaintext, without a certificate, of another CA or no node, is told why and reaches nothing', async () => {
    const own = await serve(new TestIdentity(makeIdentity(ca, 'node-2')));
    const { ip, port } = own.address;
    const read = async (socket: Socket) => {
      socket.write('GET / HTTP/1.1\r\nHost: x\r\nmesh-endpoint: 10.0.0.1:80\r\n\r\n');
      let text = '';
      for await (const piece of socket) text += piece;
      return text;
    };
    const tls = (identity: ReturnType<typeof makeIdentity> | undefined) => {
      const mine = identity === undefined ? {} : { cert: identity.certificate, key: identity.key };
      return connectTls({ host: ip, port, ...mine, rejectUnauthorized: false });
    };
    const cases: [string, Socket, RegExp][] = [
      ['plaintext', connect({ host: ip, port }), /plaintext/],
      ['no_certificate', tls(undefined), /showed no certificate/],
      ['wrong_authority', tls(makeIdentity(otherCa, 'node-1')), /not of this mesh's CA/],
      ['not_a_node', tls(makeIdentity(ca, '', { uri: 'spiffe://elsewhere/node/node-1' })), /of no node/],
      ['expired', tls(makeIdentity(ca, 'node-1', { from: -3, to: -1 })), /expired/],
      ['not_yet_valid', tls(makeIdentity(ca, 'node-1', { from: 1 })), /not valid yet/],
    ];
    for (const [reason, socket, says] of cases) {
      const answer = await read(socket);
      assert.match(answer, /^HTTP\/1\.1 502 .*\r\nmesh-error: peer_refused\r\nmesh-retryable: true\r\n/, reason);
      assert.match(answer, says);
      assert.equal(own.refused(reason), 1, reason);
    }
    assert.equal(own.seen.length, 0);
  });

  test('permissive takes plaintext and TLS on one port, and knows a daemon by TLS alone', async () => {
    const both = await serve(new TestIdentity(makeIdentity(ca, 'node-2')), 'permissive');
    assert.equal(await client(new TestIdentity(makeIdentity(ca, 'node-1'))).ask(both.address), '200 node-1 to node-2');
    assert.equal(await client(new TestIdentity(), 'permissive').ask(both.address), '200 anyone to node-2');
    const stranger = client(new TestIdentity(makeIdentity(otherCa, 'node-1')));
    assert.match(await stranger.ask(both.address), /^peer_not_trusted: /);
  });

  test('permissive proves itself from the first request on that it can, whatever connections stand', async () => {
    const both = await serve(new TestIdentity(makeIdentity(ca, 'node-2')), 'permissive');
    const identity = new TestIdentity();
    const one = client(identity, 'permissive');
    for (let i = 0; i < 2; i += 1) assert.equal(await one.ask(both.address), '200 anyone to node-2');
    assert.equal(one.handshakes('plaintext'), 1);
    identity.set(makeIdentity(ca, 'node-1'));
    for (let i = 0; i < 2; i += 1) assert.equal(await one.ask(both.address), '200 node-1 to node-2');
    assert.deepEqual([one.handshakes('plaintext'), one.handshakes('full')], [1, 1]);
  });

  test('permissive speaks plaintext to a daemon that speaks nothing else, from the second try on', async () => {
    const plain = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (bytes) =>
        socket.end(`HTTP/1.1 ${bytes[0] === 0x16 ? '400 Bad Request' : '200 OK'}\r\nContent-Length: 2\r\n\r\nok`),
      );
    }).listen(0, '127.0.0.1');
    await once(plain, 'listening');
    stops.push(() => plain.close());
    const { port } = plain.address() as { port: number };
    const address = { ip: '127.0.0.1', port, node: 'node-2' };
    const lenient = client(new TestIdentity(makeIdentity(ca, 'node-1')), 'permissive');
    assert.match(await lenient.ask(address), /^peer_not_trusted: .*does not speak TLS/);
    assert.equal(await lenient.ask(address), '200 ok');
    const strict = client(new TestIdentity(makeIdentity(ca, 'node-1')));
    for (let i = 0; i < 2; i += 1) assert.match(await strict.ask(address), /^peer_not_trusted: /);
  });

  test('a connection that has become stale ends with the request under way', async () => {
    const both = await serve(new TestIdentity(), 'permissive');
    let stale = true;
    const one = client(new TestIdentity(), 'permissive', {
      connect: (address, events) => {
        if (stale) events.onStale?.();
        return PLAINTEXT.connect(address, events);
      },
      explain: PLAINTEXT.explain,
    });
    for (let i = 0; i < 2; i += 1) assert.equal(await one.ask(both.address), '200 anyone to node-2');
    stale = false;
    for (let i = 0; i < 2; i += 1) assert.equal(await one.ask(both.address), '200 anyone to node-2');
    assert.equal(new Set(both.seen.map(({ caller }) => caller)).size, 3);
  });

  test('without an identity nothing is sent, and nothing taken', async () => {
    const bare = await serve(new TestIdentity());
    assert.match(await client(new TestIdentity()).ask(bare.address), /^not_synced: .*no certificate of its own/);
    const one = client(new TestIdentity(makeIdentity(ca, 'node-1')));
    assert.match(await one.ask(bare.address), /^connect_failed: /);
    assert.equal(bare.refused('no_identity'), 1);
    bare.identity.set(makeIdentity(ca, 'node-2'));
    assert.equal(await one.ask(bare.address), '200 node-1 to node-2');
  });

  test('nobody there is a failed connection', async () => {
    const answer = await client(new TestIdentity(makeIdentity(ca, 'node-1'))).ask({ ip: '127.0.0.1', port: 1 });
    assert.match(answer, /^connect_failed: no connection to 127.0.0.1:1 \(.*ECONNREFUSED/);
  });

  test('a session is not resumed for another node at the same address', async () => {
    const one = client(new TestIdentity(makeIdentity(ca, 'node-1')));
    assert.equal(await one.ask(server.address), '200 node-1 to node-2');
    const answer = await one.ask({ ...server.address, node: 'node-9' });
    assert.match(answer, /^peer_not_trusted: .*of node node-2, not of node node-9/);
  });

  test('a node that is gone is refused with its old certificate, and connections to and from its daemon end', async () => {
    const own = await serve(new TestIdentity(makeIdentity(ca, 'node-2')));
    const one = client(new TestIdentity(makeIdentity(ca, 'node-5')));
    const other = client(new TestIdentity(makeIdentity(ca, 'node-1')));
    assert.equal(await one.ask(own.address), '200 node-5 to node-2');
    assert.equal(await other.ask(own.address), '200 node-1 to node-2');
    goneNodes.add('node-5');
    await until(
      async () => turn(),
      () => own.listener.openConnections === 1 && one.pool.openConnections === 0,
    );
    assert.equal(metricValue(own.registry.render(), 'tls_closed_total', { side: 'server', reason: 'node_gone' }), 1);
    assert.match(await one.ask(own.address), /^502 .*its certificate is of node node-5, which is not in the cluster/s);
    assert.equal(own.refused('node_gone'), 1);
    assert.equal(await other.ask(own.address), '200 node-1 to node-2');
    goneNodes.add('node-2');
    await until(
      async () => turn(),
      () => other.pool.openConnections === 0,
    );
    assert.equal(metricValue(other.registry.render(), 'tls_closed_total', { side: 'client', reason: 'node_gone' }), 1);
    assert.match(await other.ask(own.address), /^peer_not_trusted: .*of node node-2, which is not in the cluster/);
    goneNodes.clear();
    assert.equal(await one.ask(own.address), '200 node-5 to node-2');
  });

  test('a new identity serves new connections; those that stand go on', async () => {
    const own = await serve(new TestIdentity(makeIdentity(ca, 'node-2')));
    const one = client(new TestIdentity(makeIdentity(ca, 'node-1')));
    assert.equal(await one.ask(own.address), '200 node-1 to node-2');
    const [first] = own.seen;
    // Both change over to another CA, each believing both while the other has not.
    const authorities = [otherCa['ca.crt'], ca['ca.crt']];
    own.identity.set({ ...makeIdentity(otherCa, 'node-2'), authorities });
    one.identity.set({ ...makeIdentity(ca, 'node-1'), authorities });
    assert.equal(await one.ask(own.address), '200 node-1 to node-2');
    assert.equal(own.seen[1]?.caller, first?.caller, 'the same connection');
    assert.equal(await one.ask(own.address, true), '200 node-1 to node-2');
    one.identity.set({ ...makeIdentity(otherCa, 'node-1'), authorities: [otherCa['ca.crt']] });
    assert.equal(await one.ask(own.address, true), '200 node-1 to node-2');
    assert.deepEqual([one.handshakes('full'), one.handshakes('resumed')], [3, 0]);
  });
});

/** Lets everything else go on for a moment. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
