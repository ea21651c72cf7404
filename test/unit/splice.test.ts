import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { splice } from '../../daemon/router/splice.ts';

test('a side that ends and breaks at once takes the other with it', async (t) => {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const open = async (): Promise<Socket> => {
    const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  t.after(() => server.close());
  const [one, other] = [await open(), await open()];
  splice({ socket: one, early: undefined }, { socket: other, early: undefined }, () => {});
  const closed = once(other, 'close');
  one.emit('end');
  one.emit('close', true);
  await closed;
  assert.equal(other.destroyed, true);
});
