import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runDaemon } from '../support/daemon.ts';
import { ask, RawServer, sendRaw, splitAnswers } from '../support/raw-http.ts';

test('everything outside is asked of the parent proxy, in its forms; guarded addresses are not', async () => {
  const seen: string[] = [];
  const parent = await RawServer.start((socket) => {
    socket.once('data', (bytes: Buffer) => {
      const head = bytes.toString('latin1');
      seen.push(head.slice(0, head.indexOf('\r\n')));
      if (!head.startsWith('CONNECT')) {
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nparent');
        return;
      }
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.on('data', (inside: Buffer) => socket.end(`inside:${inside.toString('latin1')}`));
    });
  });
  const daemon = await runDaemon(`admin: {port: 0, shutdownGraceMs: 100}
namers: [{kind: io.l5d.fs, rootDir: ${import.meta.dirname}}]
routers: [{protocol: http, label: outgoing, servers: [{port: 0}]}]
egress: {default: allow, parentProxy: "127.0.0.1:${parent.port}"}`);
  try {
    const port = daemon.port('outgoing');
    const answer = await ask(port, 'GET http://api.example.com:8080/path?q=1 HTTP/1.1\r\nHost: x');
    assert.deepEqual([answer.status, answer.body], [200, 'parent']);
    const tunnel = await sendRaw(port, 'CONNECT api.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01');
    assert.match(tunnel, /^HTTP\/1\.1 200 .*\r\n\r\ninside:\x16\x03\x01$/s);
    assert.equal(
      (await ask(port, 'GET http://169.254.169.254/ HTTP/1.1\r\nHost: x')).fields['l5d-err'],
      'egress_refused',
    );
    assert.deepEqual(seen, [
      'GET http://api.example.com:8080/path?q=1 HTTP/1.1',
      'CONNECT api.example.com:443 HTTP/1.1',
    ]);
    assert.equal(splitAnswers(tunnel).length, 1);
  } finally {
    await daemon.stop();
    await parent.stop();
  }
});
