import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type DiscoDaemon, metricValue, runDiscoDaemon } from '../support/daemon.ts';

describe('what one address may hold open', () => {
  const app = createServer({ maxHeaderSize: 128 * 1024 }, (_request, response) => response.end('hello'));
  let disco: DiscoDaemon;
  const sockets: Socket[] = [];

  before(async () => {
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    const hello = [`127.0.0.1 ${(app.address() as AddressInfo).port}`];
    disco = await runDiscoDaemon({ hello }, { serverKeys: 'ip: 127.0.0.1, maxConnectionsPerCaller: 40' });
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    await disco.stop();
    app.close();
  });

  const open = async (localAddress: string) => {
    const socket = connect({ host: '127.0.0.1', port: disco.port, localAddress });
    socket.on('error', () => {});
    sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  };
  /** Sends one request and gives the head of its answer. */
  const ask = async (socket: Socket, fields = '') => {
    socket.write(`GET http://hello/ HTTP/1.1\r\nHost: hello\r\n${fields}\r\n`);
    const [bytes] = await once(socket, 'data');
    return String(bytes).split('\r\n')[0];
  };
  const rejected = async () =>
    metricValue(await disco.daemon.metrics(), 'rejected_total', { reason: 'too_many_connections' });

  test('connections beyond the limit are told so and counted; others of other callers, and later ones, are served', async () => {
    const many: Socket[] = [];
    for (let i = 0; i < 40; i += 1) many.push(await open('127.0.0.2'));
    for (const socket of many) assert.equal(await ask(socket), 'HTTP/1.1 200 OK');
    const extra = await open('127.0.0.2');
    let answer = '';
    for await (const piece of extra) answer += piece;
    assert.match(
      answer,
      /^HTTP\/1\.1 503 .*\r\nl5d-err: too_many_connections\r\n.*127\.0\.0\.2 has 40 connections open/s,
    );
    assert.equal(await rejected(), 1);
    assert.equal(await ask(await open('127.0.0.3')), 'HTTP/1.1 200 OK');
    const [first] = many;
    assert.ok(first !== undefined);
    const closed = metricValue(await disco.daemon.metrics(), 'open_connections', { side: 'caller' });
    first.destroy();
    while (metricValue(await disco.daemon.metrics(), 'open_connections', { side: 'caller' }) === closed);
    assert.equal(await ask(await open('127.0.0.2')), 'HTTP/1.1 200 OK');
  });

  test('heads that are begun and never ended are no more than 2 MB an address, and given back when they end', async () => {
    const begun = `GET http://hello/ HTTP/1.1\r\nHost: hello\r\n${`x: ${'y'.repeat(4_000)}\r\n`.repeat(15)}`;
    const before = await rejected();
    const refused: Socket[] = [];
    const holding: Socket[] = [];
    while (refused.length === 0) {
      const socket = await open('127.0.0.4');
      holding.push(socket);
      socket.on('data', (bytes) => {
        if (String(bytes).startsWith('HTTP/1.1 503')) refused.push(socket);
      });
      await new Promise<void>((resolve) => socket.write(begun, () => resolve()));
      await disco.daemon.metrics();
      assert.ok(holding.length < 40, 'nothing was refused');
    }
    assert.ok(holding.length > 30, `refused after ${holding.length} of 60 KB each`);
    assert.ok((await rejected()) > before);
    assert.equal(await ask(await open('127.0.0.5'), `x: ${'y'.repeat(4_000)}\r\n`.repeat(10)), 'HTTP/1.1 200 OK');
    for (const socket of holding) if (!refused.includes(socket)) socket.write('\r\n');
    while (metricValue(await disco.daemon.metrics(), 'request_total') < 43 + holding.length - refused.length);
    assert.equal(await ask(await open('127.0.0.4'), begun.slice(begun.indexOf('x:'))), 'HTTP/1.1 200 OK');
  });
});
