import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';
import { RawServer, splitAnswers } from '../support/raw-http.ts';

const NODES = { 'node-1': '127.67.1.1', 'node-2': '127.67.2.1' };

/** Reads from a socket until what came satisfies `enough`. Rejects when the connection ends before. */
async function readUntil(socket: Socket, enough: (text: string) => boolean): Promise<string> {
  let text = '';
  for await (const piece of socket.iterator({ destroyOnReturn: false })) {
    text += (piece as Buffer).toString('latin1');
    if (enough(text)) return text;
  }
  throw new Error(`the connection ended after ${JSON.stringify(text)}`);
}

const headComplete = (text: string) => text.includes('\r\n\r\n');

describe('tunnels through two daemons', () => {
  let mesh: TestMesh;
  let caller: TestPod;
  let app: Server;
  const pods: TestPod[] = [];
  let opaque: RawServer;
  let quiet: RawServer;

  before(async () => {
    mesh = await TestMesh.start(NODES, true);
    caller = await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.67.1.10', node: 'node-1' });
    app = createServer((request, response) => response.end(`${request.method} ${request.url} ${request.headers.host}`));
    app.on('upgrade', (request, socket: Socket, head: Buffer) => {
      const accept = createHash('sha1')
        .update(request.headers['sec-websocket-key'] ?? '')
        .digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Accept: ${accept}\r\n\r\n`,
      );
      if (head.length > 0) socket.write(head);
      socket.pipe(socket);
    });
    const place = { namespace: 'shop', ip: '127.67.2.11', node: 'node-2' };
    app.listen(0, place.ip);
    await once(app, 'listening');
    opaque = await RawServer.start((socket) => {
      socket.write('server speaks first\n');
      socket.on('data', (bytes: Buffer) => socket.write(`echo:${bytes.toString('latin1')}`));
    }, place.ip);
    quiet = await RawServer.start((socket) => {
      socket.on('data', (bytes: Buffer) => socket.write(`echo:${bytes.toString('latin1')}`));
    }, place.ip);
    const port = (app.address() as AddressInfo).port;
    pods.push({ ...place, name: 'web', port }, { ...place, name: 'raw', port: opaque.port });
    const [web, raw] = pods as [TestPod, TestPod];
    await mesh.pod({ namespace: 'shop', name: 'web', ip: place.ip, node: 'node-2' });
    await mesh.service('shop', 'web', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'web', [web]);
    await mesh.service('shop', 'raw', [{ name: 'tcp', port: 5000 }]);
    await mesh.endpoints('shop', 'raw', [raw], 'tcp');
    await mesh.service('shop', 'quiet', [{ name: 'tcp', port: 5000 }]);
    await mesh.endpoints('shop', 'quiet', [{ ...raw, name: 'quiet', port: quiet.port }], 'tcp');
    await until(
      async () => {
        const socket = open();
        socket.end('GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n');
        return readUntil(socket, headComplete);
      },
      (text) => text.startsWith('HTTP/1.1 200'),
    );
  });
  after(async () => {
    await mesh.stop();
    await opaque.stop();
    await quiet.stop();
    app.closeAllConnections();
    app.close();
  });

  const open = (): Socket =>
    connect({ host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress: caller.ip });

  test('Upgrade: both sides switch, early bytes included, and half-closes pass', async () => {
    const socket = open();
    socket.write(
      'GET http://web/chat HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: echo\r\nSec-WebSocket-Key: k\r\n\r\nearly,',
    );
    const head = await readUntil(socket, (text) => text.endsWith('early,'));
    assert.match(head, /^HTTP\/1\.1 101 /);
    assert.match(head, /\r\nUpgrade: echo\r\n/);
    assert.match(head, /\r\nConnection: Upgrade\r\n/);
    socket.end('late');
    assert.equal(await readUntil(socket, (text) => text === 'late'), 'late');
  });

  test('Upgrade and CONNECT with a Content-Length of 0, as Go and older clients send it, open tunnels', async () => {
    const upgrading = open();
    upgrading.write(
      'POST http://web/exec HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: echo\r\nContent-Length: 0\r\n\r\n',
    );
    assert.match(await readUntil(upgrading, headComplete), /^HTTP\/1\.1 101 /);
    upgrading.write('hello');
    assert.equal(await readUntil(upgrading, (text) => text === 'hello'), 'hello');
    upgrading.destroy();
    const connecting = open();
    connecting.write('CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\nContent-Length: 0\r\n\r\n');
    assert.match(await readUntil(connecting, headComplete), /^HTTP\/1\.1 200 /);
    connecting.destroy();
  });

  test('what follows a CONNECT that is refused is never read as a request', async () => {
    for (const target of ['nothing:80', '169.254.169.254:80']) {
      const socket = open();
      socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: web\r\n\r\nGET /inside HTTP/1.1\r\nHost: web\r\n\r\n`);
      const pieces: Buffer[] = [];
      socket.on('data', (piece: Buffer) => pieces.push(piece));
      await once(socket, 'close');
      const answers = splitAnswers(Buffer.concat(pieces).toString('latin1'));
      assert.deepEqual([answers.length, answers[0]?.fields.connection], [1, 'close'], target);
    }
  });

  test('an Upgrade that the application does not take is an ordinary answer', async () => {
    const plain = await mesh.pod({ namespace: 'shop', name: 'plain', ip: '127.67.2.12', node: 'node-2' });
    await mesh.service('shop', 'plain', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'plain', [plain]);
    const answer = await until(
      async () => {
        const socket = open();
        socket.write('GET http://plain/ HTTP/1.1\r\nHost: plain\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
        const text = await readUntil(socket, headComplete);
        socket.destroy();
        return text;
      },
      (text) => !text.includes('unknown_name'),
    );
    assert.match(answer, /^HTTP\/1\.1 200 /);
  });

  test('CONNECT with requests inside: each is routed as any other', async () => {
    const socket = open();
    socket.write('CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n');
    assert.match(await readUntil(socket, headComplete), /^HTTP\/1\.1 200 /);
    socket.write('GET /one HTTP/1.1\r\nHost: web\r\n\r\nGET /two HTTP/1.1\r\nHost: web.shop\r\n\r\n');
    const answers = splitAnswers(await readUntil(socket, (text) => text.includes('/two web.shop')));
    assert.deepEqual(
      answers.map(({ body }) => body),
      ['GET /one web', 'GET /two web.shop'],
    );
    assert.match(answers[0]?.fields.via ?? '', /nodemesh-node-2, 1\.1 nodemesh-node-1$/);
    socket.destroy();
  });

  test('CONNECT with requests inside that come byte by byte', async () => {
    const socket = open();
    socket.setNoDelay();
    socket.write('CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n');
    assert.match(await readUntil(socket, headComplete), /^HTTP\/1\.1 200 /);
    for (const byte of 'GET /bytes HTTP/1.1\r\nHost: web\r\n\r\n') {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const [answer] = splitAnswers(await readUntil(socket, (text) => text.includes('/bytes web')));
    assert.match(answer?.fields.via ?? '', /nodemesh-node-2, 1\.1 nodemesh-node-1$/);
    socket.destroy();
  });

  test('CONNECT with a protocol inside whose lines begin with a word passes as it is', async () => {
    const socket = open();
    socket.write('CONNECT quiet:5000 HTTP/1.1\r\nHost: quiet:5000\r\n\r\n');
    assert.match(await readUntil(socket, headComplete), /^HTTP\/1\.1 200 /);
    socket.write('get some:key\r\n');
    assert.equal(await readUntil(socket, (text) => text.endsWith('\n')), 'echo:get some:key\r\n');
    socket.destroy();
  });

  test('CONNECT with anything else inside passes as it is, also where the server speaks first', async () => {
    const socket = open();
    socket.write('CONNECT raw:5000 HTTP/1.1\r\nHost: raw:5000\r\n\r\n');
    const greeting = await readUntil(socket, (text) => text.endsWith('first\n'));
    assert.match(greeting, /^HTTP\/1\.1 200 [^\r]*\r\n(?:[^\r]+\r\n)*\r\nserver speaks first\n$/);
    socket.write('\x16\x03\x01 hello');
    assert.equal(await readUntil(socket, (text) => text.includes('hello')), 'echo:\x16\x03\x01 hello');
    socket.destroy();
  });

  test('CONNECT that leads nowhere is refused before any tunnel', async () => {
    for (const [target, status, code] of [
      ['nothing:80', 502, 'unknown_name'],
      ['web', 400, 'bad_authority'],
      ['web:0', 400, 'bad_authority'],
      ['user@web:80', 400, 'bad_authority'],
      ['web:80/path', 400, 'bad_authority'],
      ['169.254.169.254:80', 403, 'egress_refused'],
    ] as const) {
      const socket = open();
      socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: web\r\n\r\n`);
      const [answer] = splitAnswers(
        await readUntil(socket, (text) => headComplete(text) && splitAnswers(text)[0]?.body !== ''),
      );
      assert.deepEqual([answer?.status, answer?.fields['l5d-err']], [status, code], target);
      socket.destroy();
    }
  });

  test('a loopback authority means the calling pod itself', async () => {
    for (const name of ['localhost', '127.0.0.1', '[::1]']) {
      const socket = open();
      socket.write(`GET http://${name}:${caller.port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const [answer] = splitAnswers(await readUntil(socket, (text) => text.endsWith(caller.ip)));
      assert.equal(answer?.body, caller.ip);
      socket.destroy();
    }
  });

  test('TRACE and OPTIONS end where Max-Forwards says', async () => {
    const ask = async (method: string, left: number) => {
      const socket = open();
      socket.write(
        `${method} http://web/ HTTP/1.1\r\nHost: web\r\nMax-Forwards: ${left}\r\nCookie: secret\r\nConnection: close\r\n\r\n`,
      );
      const pieces: Buffer[] = [];
      socket.on('data', (piece: Buffer) => pieces.push(piece));
      await once(socket, 'close');
      return splitAnswers(Buffer.concat(pieces).toString('latin1'), method)[0];
    };
    const here = await ask('TRACE', 0);
    assert.match(here?.body ?? '', /^TRACE http:\/\/web\/ HTTP\/1\.1\r\n/);
    assert.doesNotMatch(here?.body ?? '', /secret/);
    const peer = await ask('TRACE', 1);
    assert.match(peer?.body ?? '', /Max-Forwards: 0\r\n/);
    assert.match(peer?.body ?? '', /Via: 1\.1 nodemesh-node-1\r\n/);
    assert.equal((await ask('OPTIONS', 2))?.body, 'OPTIONS / web');
  });
});
