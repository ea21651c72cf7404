import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type ConnectionHost, Http1ServerConnection } from '../../daemon/listener/http1-server-connection.ts';
import { splice } from '../../daemon/router/splice.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** A tunnel and its four ends. */
interface Tunnel {
  readonly caller: Socket;
  readonly app: Socket;
  /** The daemon's side of the connection to the application. */
  readonly upstream: Socket;
  readonly connection: Http1ServerConnection;
  readonly refused: string[];
}

async function listening(): Promise<Server> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function pair(server: Server): Promise<[Socket, Socket]> {
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const [far] = await accepted;
  for (const socket of [near, far]) socket.on('error', () => {});
  return [near, far];
}

describe('a tunnel through which nothing passes', () => {
  let server: Server;
  const sockets: Socket[] = [];
  before(async () => {
    server = await listening();
  });
  after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });

  async function open(): Promise<Tunnel> {
    const [caller, accepted] = await pair(server);
    const [upstream, app] = await pair(server);
    sockets.push(caller, accepted, upstream, app);
    const refused: string[] = [];
    const host: ConnectionHost = {
      draining: false,
      now: () => 0,
      onClosed() {},
      admit: () => undefined,
      release() {},
      refusalLines: () => '',
      onRefused: ({ code }) => refused.push(code),
      handle(exchange) {
        splice(exchange.openTunnel(200, 'OK', ''), { socket: upstream, early: undefined }, () => {});
      },
    };
    const connection = new Http1ServerConnection(accepted, { address: '127.0.0.1', port: 1 }, host);
    caller.write('CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n');
    await once(caller, 'data');
    return { caller, app, upstream, connection, refused };
  }

  async function pass(from: Socket, to: Socket): Promise<void> {
    from.write('x');
    await once(to, 'data');
  }

  test('is closed on both sides after an hour', async () => {
    const { caller, app, connection, refused } = await open();
    connection.sweep(1);
    connection.sweep(1 + HOUR);
    assert.deepEqual(refused, []);
    connection.sweep(2 + HOUR);
    caller.resume();
    app.resume();
    await Promise.all([once(caller, 'end'), once(app, 'end')]);
    assert.deepEqual(refused, ['tunnel_idle']);
  });

  test('a byte either way starts the hour anew', async () => {
    const { caller, app, connection, refused } = await open();
    connection.sweep(0);
    await pass(caller, app);
    connection.sweep(HOUR + 1);
    await pass(app, caller);
    connection.sweep(2 * HOUR + 2);
    assert.deepEqual(refused, []);
    connection.sweep(3 * HOUR + 3);
    assert.deepEqual(refused, ['tunnel_idle']);
  });

  for (const side of ['caller', 'app'] as const) {
    test(`has five minutes once the ${side} has ended its side; what the other still sends starts them anew`, async () => {
      const tunnel = await open();
      const { connection, refused } = tunnel;
      const [ended, other] = side === 'caller' ? [tunnel.caller, tunnel.app] : [tunnel.app, tunnel.caller];
      ended.end();
      other.resume();
      await once(other, 'end');
      connection.sweep(0);
      connection.sweep(5 * MINUTE);
      await pass(other, ended);
      connection.sweep(6 * MINUTE);
      connection.sweep(11 * MINUTE);
      assert.deepEqual(refused, []);
      connection.sweep(11 * MINUTE + 1);
      assert.deepEqual(refused, ['tunnel_idle']);
      ended.resume();
      await once(ended, 'end');
    });
  }

  test('when one side is gone, the other cannot hold out by taking nothing', async ({ signal }) => {
    const { caller, app, upstream, connection } = await open();
    caller.write(Buffer.alloc(64 * 1024 * 1024)); // more than kernels hold
    while (!upstream.writableNeedDrain) await nextTurn(undefined, { signal });
    connection.sweep(0);
    connection.sweep(HOUR + 1);
    while (!upstream.timeout) await nextTurn(undefined, { signal });
    assert.equal(upstream.destroyed, false, 'it may still take what waits');
    assert.equal(upstream.timeout, 5 * MINUTE);
    upstream.emit('timeout');
    assert.equal(upstream.destroyed, true);
    app.resume();
    await once(app, 'error');
  });
});
