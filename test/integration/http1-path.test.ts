import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DiscoDaemon, metricValue, runDiscoDaemon } from '../support/daemon.ts';
import { ask, RawServer, sendRaw, splitAnswers } from '../support/raw-http.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

describe('one daemon between a caller and an application', () => {
  let upstream: Server;
  let handler: Handler;
  let mesh: DiscoDaemon;
  let upstreamPort: number;

  before(async () => {
    upstream = createServer((request, response) => handler(request, response));
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    upstreamPort = (upstream.address() as AddressInfo).port;
    mesh = await runDiscoDaemon({ web: [`127.0.0.1 ${upstreamPort}`] });
  });
  after(async () => {
    await mesh.stop();
    upstream.closeAllConnections();
    upstream.close();
  });

  test('the request arrives in origin form, with one Host, Via, and without hop-by-hop or mesh fields', async () => {
    let seen: string[] = [];
    let url = '';
    handler = (request, response) => {
      seen = request.rawHeaders;
      url = request.url ?? '';
      response.end('ok');
    };
    const head = [
      'GET http://web/a//b?c=%20d HTTP/1.1',
      'Host: ignored',
      'X-Kept: 1',
      'X-Dropped: 2',
      'Connection: X-Dropped, Authorization',
      'Authorization: Basic eDp5',
      'Proxy-Authorization: Basic c2hvcDo=',
      'Proxy-Connection: keep-alive',
      'Keep-Alive: timeout=5',
      'TE: trailers',
      'mesh-endpoint: 10.0.0.1:80',
      'l5d-dtab: /a=>/b',
      'Via: 1.1 front',
    ].join('\r\n');
    const answer = await ask(mesh.port, head);
    assert.equal(answer.status, 200);
    assert.equal(url, '/a//b?c=%20d');
    assert.deepEqual(seen, [
      'Host',
      'web',
      'X-Kept',
      '1',
      'Authorization',
      'Basic eDp5',
      'Via',
      '1.1 front',
      'Via',
      '1.1 nodemesh-node-1',
      'Connection',
      'TE',
      'TE',
      'trailers',
    ]);
  });

  test('a caller that has sent its next request already is seen to go away', async () => {
    const left = new Promise<void>((resolve) => {
      handler = (request) => request.socket.once('close', () => resolve());
    });
    const socket = connect(mesh.port, '127.0.0.1');
    socket.write('GET http://web/1 HTTP/1.1\r\nHost: web\r\n\r\n'.repeat(2));
    await once(upstream, 'request');
    socket.destroy();
    await left;
  });

  test("the answer comes without hop-by-hop fields, without the mesh's names, and with Via last", async () => {
    handler = (_request, response) => {
      response.writeHead(200, [
        ['Connection', 'close, X-Hop'],
        ['X-Hop', '1'],
        ['X-Kept', '2'],
        ['ETag', '"a"'],
        ['mesh-retryable', 'true'],
        ['l5d-err', 'forged'],
        ['Via', '1.1 app'],
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
      ]);
      response.end('body');
    };
    const answer = await ask(mesh.port, 'GET http://web/ HTTP/1.1\r\nHost: web');
    assert.equal(answer.body, 'body');
    assert.equal(answer.fields['x-hop'], undefined);
    assert.equal(answer.fields['mesh-retryable'], undefined);
    assert.equal(answer.fields['l5d-err'], undefined);
    assert.equal(answer.fields['set-cookie'], 'a=1, b=2');
    assert.equal(answer.fields.via, '1.1 app, 1.1 nodemesh-node-1');
  });

  test('bodies of every framing pass unchanged, both ways', async () => {
    handler = (request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('end', () => {
        const body = Buffer.concat(pieces);
        if (request.headers['x-length'] === 'known') response.setHeader('Content-Length', body.length);
        response.write(body.subarray(0, body.length / 2));
        response.end(body.subarray(body.length / 2));
      });
    };
    const body = Buffer.alloc(300_000, 'abcdefghij').toString('latin1');
    const chunked = `${(150_000).toString(16)}\r\n${body.slice(0, 150_000)}\r\n${(150_000).toString(16)};x=y\r\n${body.slice(150_000)}\r\n0\r\n\r\n`;
    const start = 'POST http://web/ HTTP/1.1\r\nHost: web';
    for (const [head, sent] of [
      [`${start}\r\nContent-Length: ${body.length}`, body],
      [`${start}\r\nContent-Length: ${body.length}\r\nX-Length: known`, body],
      [`${start}\r\nTransfer-Encoding: chunked`, chunked],
      [`${start}\r\nTransfer-Encoding: chunked\r\nX-Length: known`, chunked],
    ] as const) {
      const answer = await ask(mesh.port, head, sent);
      assert.equal(answer.body.length, body.length);
      assert.equal(answer.body, body);
    }
  });

  test('HEAD, 204 and 304 have no body, and HEAD keeps its Content-Length', async () => {
    handler = (request, response) => {
      if (request.url === '/204') response.writeHead(204).end();
      else if (request.url === '/304') response.writeHead(304, { ETag: '"a"' }).end();
      else
        response.writeHead(200, { 'Content-Length': 12 }).end(request.method === 'HEAD' ? undefined : 'twelve bytes');
    };
    const head = (method: string, path: string) => `${method} http://web${path} HTTP/1.1\r\nHost: web\r\n\r\n`;
    const wire = await sendRaw(
      mesh.port,
      `${head('HEAD', '/')}${head('GET', '/204')}${head('GET', '/304')}GET http://web/ HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n`,
    );
    const headAnswer = wire.slice(0, wire.indexOf('\r\n\r\n') + 4);
    assert.match(headAnswer, /^HTTP\/1\.1 200 .*\r\nContent-Length: 12\r\n/s);
    const [no, not, full, ...more] = splitAnswers(wire.slice(headAnswer.length));
    assert.equal(no?.status, 204);
    assert.equal(not?.fields.etag, '"a"');
    assert.equal(full?.body, 'twelve bytes');
    assert.equal(more.length, 0);
  });

  test('pipelined requests are answered in their order', async () => {
    const waiting = new Map<string, ServerResponse>();
    handler = (request, response) => {
      waiting.set(request.url ?? '', response);
      response.end(request.url);
    };
    const wire = await sendRaw(
      mesh.port,
      Array.from(
        { length: 20 },
        (_, i) => `GET http://web/${i} HTTP/1.1\r\nHost: web\r\n${i === 19 ? 'Connection: close\r\n' : ''}\r\n`,
      ).join(''),
    );
    assert.deepEqual(
      splitAnswers(wire).map(({ body }) => body),
      Array.from({ length: 20 }, (_, i) => `/${i}`),
    );
  });

  test('a caller that goes away cancels its request upstream', async () => {
    const aborted = new Promise<void>((resolve) => {
      handler = (request, response) => {
        response.on('close', () => resolve());
        request.resume();
        caller.destroy();
      };
    });
    const caller = connect(mesh.port, '127.0.0.1');
    caller.write('GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n');
    await aborted;
  });

  test('a slow caller holds the application back instead of filling memory', async () => {
    const whole = 256 * 1024 * 1024;
    let written = 0;
    const begun = new Promise<void>((resolve) => {
      handler = (_request, response) => {
        const piece = Buffer.alloc(1024 * 1024);
        const push = () => {
          resolve();
          while (written < whole) {
            written += piece.length;
            if (!response.write(piece)) {
              response.once('drain', push);
              return;
            }
          }
          response.end();
        };
        push();
      };
    });
    const caller = connect(mesh.port, '127.0.0.1');
    caller.pause();
    caller.write('GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n');
    await begun;
    for (let seen = -1; seen !== written; await sleep(200)) seen = written; // no event says that all buffers are full
    assert.ok(written < 64 * 1024 * 1024, `${written} bytes were taken for a caller that reads nothing`);
    caller.destroy();
  });

  test('a caller that never reads loses its connection, and the application is let go', async (t) => {
    let late = 0;
    const impatient = await runDiscoDaemon(
      { web: [`127.0.0.1 ${upstreamPort}`] },
      { now: () => performance.now() + late },
    );
    t.after(() => impatient.stop());
    const letGo = new Promise<void>((resolve) => {
      handler = (_request, response) => {
        response.on('close', () => resolve());
        response.write(Buffer.alloc(64 * 1024 * 1024)); // more than kernels hold
      };
    });
    const caller = connect(impatient.port, '127.0.0.1');
    caller.pause();
    caller.write('GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n');
    const clock = setInterval(() => {
      late += 60_000;
    }, 100);
    await letGo;
    clearInterval(clock);
    const rejected = metricValue(await impatient.daemon.metrics(), 'rejected_total', { reason: 'send_timeout' });
    assert.equal(rejected, 1);
    caller.destroy();
  });

  test('an answer comes whole to a caller that lets it pile up first, in either framing', async () => {
    const body = Buffer.from(Uint32Array.from({ length: 4 * 1024 * 1024 }, (_, i) => i).buffer);
    let written = 0;
    handler = (incoming, response) => {
      if (incoming.url === '/length') response.setHeader('Content-Length', body.length);
      const push = () => {
        while (written < body.length) {
          const piece = body.subarray(written, written + 100_000);
          written += piece.length;
          if (!response.write(piece)) {
            response.once('drain', push);
            return;
          }
        }
        response.end();
      };
      push();
    };
    for (const framing of ['length', 'chunked']) {
      written = 0;
      const asked = request({ port: mesh.port, path: `http://web/${framing}` }).end();
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      for (let seen = -1; seen !== written; await sleep(50)) seen = written; // no event says that all buffers are full
      assert.ok(written < body.length, 'the kernels of four sockets hold less than this');
      const pieces: Buffer[] = [];
      for await (const piece of response) pieces.push(piece);
      assert.ok(Buffer.concat(pieces).equals(body), framing);
    }
  });

  test('trailers and 103 Early Hints pass', async () => {
    handler = (request, response) => {
      request.resume();
      request.on('end', () => {
        response.writeEarlyHints({ link: '</a.css>; rel=preload' });
        response.writeHead(200, { Trailer: 'X-Sum' });
        response.write('body');
        response.addTrailers({ 'X-Sum': request.trailers['x-in'] ?? 'none' });
        response.end();
      });
    };
    const wire = await sendRaw(
      mesh.port,
      'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\nX-In: seen\r\n\r\n',
    );
    const [hints, answer] = splitAnswers(wire);
    assert.equal(hints?.status, 103);
    assert.equal(hints?.fields.link, '</a.css>; rel=preload');
    assert.match(answer?.text ?? '', /0\r\nX-Sum: seen\r\n\r\n$/);
  });

  test('Expect: 100-continue waits for the application', async () => {
    handler = (request, response) => {
      request.resume();
      request.on('end', () => response.end('done'));
    };
    const call = request({
      host: '127.0.0.1',
      port: mesh.port,
      path: 'http://web/',
      method: 'POST',
      headers: { host: 'web', expect: '100-continue', 'content-length': 4 },
    });
    call.flushHeaders();
    await once(call, 'continue');
    call.end('body');
    const [answer] = (await once(call, 'response')) as [IncomingMessage];
    assert.equal(answer.statusCode, 200);
    answer.resume();
  });

  test('an unknown name is 502 with a reason and what to do', async () => {
    const answer = await ask(mesh.port, 'GET http://nothing/ HTTP/1.1\r\nHost: nothing');
    assert.equal(answer.status, 502);
    assert.equal(answer.fields['l5d-err'], 'unknown_name');
    assert.match(answer.body, /"nothing"/);
  });

  test('a destination that refuses connections is 502', async () => {
    const gone = await RawServer.answering('');
    await gone.stop();
    await mesh.set('gone', `127.0.0.1 ${gone.port}`);
    let answer = await ask(mesh.port, 'GET http://gone/ HTTP/1.1\r\nHost: gone');
    while (answer.fields['l5d-err'] === 'unknown_name')
      answer = await ask(mesh.port, 'GET http://gone/ HTTP/1.1\r\nHost: gone');
    assert.equal(answer.status, 502);
    assert.equal(answer.fields['l5d-err'], 'connect_failed');
  });

  test('loopback and metadata addresses are not opened through the proxy', async () => {
    for (const authority of [`127.0.0.1:${upstreamPort}`, '169.254.169.254', '[::1]:80']) {
      const answer = await ask(mesh.port, `GET http://${authority}/ HTTP/1.1\r\nHost: x`);
      assert.equal(answer.status, 403, authority);
      assert.equal(answer.fields['l5d-err'], 'egress_refused');
    }
  });

  test('an application that dies of a request on a kept connection gets a GET again, and never a POST', async () => {
    for (const [method, status, deliveries] of [
      ['GET', 200, 3],
      ['POST', 502, 2],
    ] as const) {
      let delivered = 0;
      handler = (request, response) => {
        delivered += 1;
        if (delivered === 2) request.socket.destroy();
        else response.end('ok');
      };
      await ask(mesh.port, `${method} http://web/ HTTP/1.1\r\nHost: web`);
      const second = await ask(mesh.port, `${method} http://web/ HTTP/1.1\r\nHost: web`);
      assert.deepEqual([second.status, delivered], [status, deliveries], method);
    }
  });

  test('a POST that meets the end of its kept connection on the way is sent again: nobody has read it', async () => {
    let delivered = 0;
    let kept: Socket | undefined;
    handler = (request, response) => {
      delivered += 1;
      kept = request.socket;
      response.end('ok');
    };
    const caller = connect(mesh.port, '127.0.0.1');
    let wire = '';
    caller.on('data', (piece: Buffer) => {
      wire += piece.toString('latin1');
    });
    caller.write('POST http://web/ HTTP/1.1\r\nHost: web\r\n\r\n');
    await once(caller, 'data');
    // Both within one turn: the daemon reads the request first, and sends it to where there is nobody left.
    caller.write('POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi');
    kept?.destroy();
    await once(caller, 'close');
    assert.deepEqual([splitAnswers(wire).map(({ status }) => status), delivered], [[200, 200], 2]);
  });

  test('a connection that the application closed while idle is replaced, whatever the method', async () => {
    handler = (request, response) => {
      request.resume();
      response.end('ok');
    };
    const first = await ask(mesh.port, 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 2', 'ab');
    upstream.closeIdleConnections();
    const second = await ask(mesh.port, 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 2', 'ab');
    assert.deepEqual([first.status, second.status], [200, 200]);
  });

  test('every request and its answer are counted once', async () => {
    handler = (_request, response) => response.writeHead(503).end();
    const value = async () => {
      const text = await mesh.daemon.metrics();
      return [
        metricValue(text, 'request_total', { router: 'outgoing', dst_service: 'web' }),
        metricValue(text, 'response_total', { status_class: '5xx', classification: 'failure' }),
      ];
    };
    const [requests = 0, failures = 0] = await value();
    const answer = await ask(mesh.port, 'GET http://web/ HTTP/1.1\r\nHost: web');
    assert.equal(answer.status, 503);
    assert.deepEqual(await value(), [requests + 1, failures + 1]);
  });
});

describe('several endpoints', () => {
  test('a GET that dies with its pod is tried elsewhere; a POST is not', async () => {
    const dying = await RawServer.start((socket) => socket.once('data', () => socket.destroy()));
    const living = await RawServer.answering('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    const mesh = await runDiscoDaemon(
      { web: [`127.0.0.1 ${dying.port}`, `127.0.0.1 ${living.port}`] },
      { routerKeys: 'client: {loadBalancer: {kind: roundRobin}, failureAccrual: {kind: none}}' },
    );
    try {
      const posts: number[] = [];
      for (let i = 0; i < 20; i += 1) {
        assert.equal((await ask(mesh.port, 'GET http://web/ HTTP/1.1\r\nHost: web')).status, 200);
      }
      for (let i = 0; i < 20; i += 1) {
        posts.push((await ask(mesh.port, 'POST http://web/ HTTP/1.1\r\nHost: web')).status);
      }
      assert.equal(posts.filter((status) => status === 502).length, 10, `answers to POST: ${posts}`);
    } finally {
      await mesh.stop();
      await dying.stop();
      await living.stop();
    }
  });

  test('a POST whose new connection is closed unread is tried elsewhere; one that is reset later is not', async (t) => {
    const living = await RawServer.answering('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    t.after(() => living.stop());
    const reset = (socket: Socket) => socket.once('data', () => setTimeout(() => socket.resetAndDestroy(), 200));
    for (const [name, close, failures] of [
      ['at once', (socket: Socket) => socket.destroy(), 0],
      ['at once, by a reset', (socket: Socket) => socket.resetAndDestroy(), 0],
      ['later, by a reset', reset, 3],
    ] as const) {
      const closing = await RawServer.start(close);
      const mesh = await runDiscoDaemon(
        { web: [`127.0.0.1 ${closing.port}`, `127.0.0.1 ${living.port}`] },
        { routerKeys: 'client: {loadBalancer: {kind: roundRobin}, failureAccrual: {kind: none}}' },
      );
      try {
        const statuses: number[] = [];
        for (let i = 0; i < 6; i += 1) {
          statuses.push(
            (await ask(mesh.port, 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 4', 'body')).status,
          );
        }
        assert.equal(statuses.filter((status) => status === 502).length, failures, `${name}: ${statuses}`);
        const retries = metricValue(await mesh.daemon.metrics(), 'retry_total', { reason: 'connect_failed' });
        assert.equal(retries, failures === 0 ? 6 : 0, name); // each begins with the first, a failure with either
      } finally {
        await mesh.stop();
        await closing.stop();
      }
    }
  });

  test('a POST to a pod that refuses connections is tried elsewhere: no application saw it', async () => {
    const gone = await RawServer.answering('');
    await gone.stop();
    const living = await RawServer.answering('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    const mesh = await runDiscoDaemon({ web: [`127.0.0.1 ${gone.port}`, `127.0.0.1 ${living.port}`] });
    try {
      for (let i = 0; i < 20; i += 1) {
        const answer = await ask(mesh.port, 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 4', 'body');
        assert.equal(answer.status, 200);
      }
    } finally {
      await mesh.stop();
      await living.stop();
    }
  });
});

test('draining: what is under way finishes, nothing new is accepted', async () => {
  let finish = () => {};
  const arrived = Promise.withResolvers<void>();
  const upstream = createServer((_request, response) => {
    response.write('half');
    finish = () => response.end('whole');
    arrived.resolve();
  });
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const mesh = await runDiscoDaemon({ web: [`127.0.0.1 ${(upstream.address() as AddressInfo).port}`] });
  const under = sendRaw(mesh.port, 'GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n');
  await arrived.promise;
  const stopped = mesh.stop();
  assert.equal(mesh.daemon.readiness.ready, false);
  await assert.rejects(sendRaw(mesh.port, 'GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n'), /ECONNREFUSED/);
  finish();
  assert.equal(splitAnswers(await under)[0]?.body, 'halfwhole');
  await stopped;
  upstream.closeAllConnections();
  upstream.close();
});
