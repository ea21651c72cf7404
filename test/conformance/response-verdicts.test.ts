import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type DiscoDaemon, runDiscoDaemon } from '../support/daemon.ts';
import { RawServer, sendRaw, splitAnswers } from '../support/raw-http.ts';

/** Answers of a destination that can be read in two ways, or not at all: the caller gets 502 and none of their bytes. */
const REFUSED: readonly (readonly [string, string])[] = [
  [
    'Content-Length and Transfer-Encoding',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['two Content-Lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc'],
  ['a folded field', 'HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
  ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n'],
  ['Transfer-Encoding: gzip', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n'],
  ['Transfer-Encoding: chunked, gzip', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n'],
  ['status 099', 'HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n'],
  ['status 999', 'HTTP/1.1 999 High\r\nContent-Length: 0\r\n\r\n'],
  ['HTTP/2.0', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['101 unasked', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
  ['no HTTP at all', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
];

describe('answers that RFC 9112 forbids', () => {
  for (const [what, bytes] of REFUSED) {
    test(`${what}: 502`, async () => {
      const upstream = await RawServer.answering(bytes);
      const mesh = await runDiscoDaemon({ web: [`127.0.0.1 ${upstream.port}`] });
      try {
        const wire = await sendRaw(mesh.port, 'POST http://web/ HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n');
        const [answer, ...more] = splitAnswers(wire);
        assert.equal(answer?.status, 502);
        assert.equal(answer?.fields['l5d-err'], 'bad_response');
        assert.equal(more.length, 0);
      } finally {
        await mesh.stop();
        await upstream.stop();
      }
    });
  }
});

describe('answers that end too early', () => {
  let mesh: DiscoDaemon;
  const upstreams: RawServer[] = [];
  const TRUNCATED = {
    length: 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc',
    chunked: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nde',
    'bad chunk': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n',
  };

  before(async () => {
    const names: Record<string, string[]> = {};
    for (const [name, bytes] of Object.entries(TRUNCATED)) {
      const upstream = await RawServer.start((socket) => socket.once('data', () => socket.end(bytes)));
      upstreams.push(upstream);
      names[name.replace(' ', '-')] = [`127.0.0.1 ${upstream.port}`];
    }
    mesh = await runDiscoDaemon(names);
  });
  after(async () => {
    await mesh.stop();
    for (const upstream of upstreams) await upstream.stop();
  });

  for (const name of Object.keys(TRUNCATED).map((key) => key.replace(' ', '-'))) {
    test(`${name}: the caller's answer never looks complete`, async () => {
      const socket = connect(mesh.port, '127.0.0.1');
      socket.on('error', () => {}); // a reset is as good an end as any here
      socket.write(`POST http://${name}/ HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
      let wire = '';
      socket.on('data', (piece: Buffer) => {
        wire += piece.toString('latin1');
      });
      await once(socket, 'close');
      assert.match(wire, /^HTTP\/1\.1 200 OK/);
      assert.ok(!wire.endsWith('0\r\n\r\n'), 'it ends with a last chunk');
    });
  }
});

test('bytes on an idle connection are never given to the next request', async () => {
  let connections = 0;
  const upstream = await RawServer.start((socket) => {
    connections += 1;
    const mine = connections;
    socket.on('data', () => {
      const poison = mine === 1 ? 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison' : '';
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood${poison}`);
    });
  });
  const mesh = await runDiscoDaemon({ web: [`127.0.0.1 ${upstream.port}`] });
  try {
    const request = 'GET http://web/ HTTP/1.1\r\nHost: web\r\n';
    const wire = await sendRaw(mesh.port, `${request}\r\n${request}Connection: close\r\n\r\n`);
    assert.deepEqual(
      splitAnswers(wire).map(({ body }) => body),
      ['good', 'good'],
    );
    assert.equal(connections, 2);
  } finally {
    await mesh.stop();
    await upstream.stop();
  }
});
