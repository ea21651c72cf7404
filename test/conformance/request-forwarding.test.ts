import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type MeshPath, MeshPaths } from '../support/mesh-paths.ts';
import { type RawAnswer, sendRaw, splitAnswers } from '../support/raw-http.ts';

const HOST = 'Host: web.shop\r\n';

/** Whether a request's text, as this daemon writes it, is all there. */
function isComplete(text: string): boolean {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd === -1) return false;
  const head = text.slice(0, headEnd);
  const length = /\r\nContent-Length: (\d+)/.exec(head);
  const body = text.slice(headEnd + 4);
  if (length !== null) return body.length >= Number(length[1]);
  return !/\r\nTransfer-Encoding: chunked/.test(head) || /(?:^|\r\n)0\r\n(?:[^\r]+\r\n)*\r\n$/.test(body);
}

/** Answers each request with its own text, as it arrived. */
function echo(socket: Socket): void {
  let text = '';
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
    if (!isComplete(text)) return;
    socket.write(Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`, 'latin1'));
    text = '';
  });
}

function suite(net: string, tls: 'off' | 'required'): void {
  let web: MeshPaths;

  before(async () => {
    web = await MeshPaths.start(net, tls);
  });
  after(() => web.stop());

  /** Runs on every path; what the application got is the answer's body. */
  function onEveryPath(what: string, request: string, check: (got: string, path: MeshPath, all: RawAnswer[]) => void) {
    test(what, async () => {
      web.play(echo);
      for (const path of web.paths) {
        const answers = splitAnswers(await sendRaw(path.target, path.dress(request)));
        assert.equal(answers[0]?.status, 200, `${path.name}: ${answers[0]?.body}`);
        const got = answers[0]?.body ?? '';
        assert.doesNotMatch(got, /\r\nmesh-/, path.name);
        check(got, path, answers);
      }
    });
  }

  /** The fields of a request's text but Via, in order. */
  const fieldsOf = (text: string) =>
    text
      .slice(0, text.indexOf('\r\n\r\n'))
      .split('\r\n')
      .slice(1)
      .filter((line) => !/^via:/i.test(line));
  const lineOf = (text: string) => text.slice(0, text.indexOf('\r\n'));

  onEveryPath(
    'Via names every daemon on the way',
    `GET / HTTP/1.1\r\n${HOST}Via: 1.0 front\r\nConnection: close\r\n\r\n`,
    (got, path) => {
      const via = got.split('\r\n').filter((line) => line.startsWith('Via: '));
      assert.deepEqual(
        via.map((line) => line.split(' ')[1]),
        ['1.0', ...Array(path.daemons).fill('1.1')],
      );
    },
  );

  onEveryPath(
    'OPTIONS without a path is OPTIONS *',
    `OPTIONS http://web.shop HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`,
    (got) => {
      assert.equal(lineOf(got), 'OPTIONS * HTTP/1.1');
      assert.deepEqual(fieldsOf(got), ['Host: web.shop']);
    },
  );

  onEveryPath(
    'a method that nobody knows and odd names and spellings pass',
    `PURGEX /a?b=%20c HTTP/1.1\r\nhOST:\t web.shop \r\nContent_Length: 3\r\nX!y|~: "\xe9\tz"\r\nX-Empty:\r\nConnection: close\r\n\r\n`,
    (got) => {
      assert.equal(lineOf(got), 'PURGEX /a?b=%20c HTTP/1.1');
      assert.deepEqual(fieldsOf(got), ['Host: web.shop', 'Content_Length: 3', 'X!y|~: "\xe9\tz"', 'X-Empty: ']);
    },
  );

  onEveryPath('HTTP/1.0 with an absolute target needs no Host', 'GET http://web.shop?q HTTP/1.0\r\n\r\n', (got) => {
    assert.equal(lineOf(got), 'GET /?q HTTP/1.1');
    assert.deepEqual(fieldsOf(got), ['Host: web.shop']);
  });

  onEveryPath(
    "an absolute target's authority replaces Host",
    'GET http://web.shop:80/a HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n',
    (got) => assert.deepEqual(fieldsOf(got), ['Host: web.shop:80']),
  );

  onEveryPath(
    'an upgrade to h2c is not passed on',
    `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`,
    (got) => assert.deepEqual(fieldsOf(got), ['Host: web.shop']),
  );

  onEveryPath(
    'an Upgrade to nothing is none',
    `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade, close\r\nUpgrade: ,\r\n\r\n`,
    (got) => assert.deepEqual(fieldsOf(got), ['Host: web.shop']),
  );

  onEveryPath(
    'a no-break space is no blank',
    `GET / HTTP/1.1\r\n${HOST}Connection: close, \xa0X-Kept\r\nX-Kept: 1\r\n\r\n`,
    (got) => assert.deepEqual(fieldsOf(got), ['Host: web.shop', 'X-Kept: 1']),
  );

  onEveryPath(
    'Connection takes away what is of this hop, and nothing that says who speaks, or how long',
    `POST / HTTP/1.1\r\n${HOST}Connection: close, X-Hop, Host, Content-Length, Authorization, Cookie, Forwarded, X-Forwarded-For, Content-Type, Via, Expect, mesh-endpoint, mesh-service\r\nX-Hop: 1\r\nContent-Length: 2\r\nAuthorization: a\r\nCookie: b\r\nForwarded: for=c\r\nX-Forwarded-For: d\r\nContent-Type: text/e\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\nProxy-Authorization: Basic eDp5\r\n\r\nhi`,
    (got) => {
      assert.deepEqual(fieldsOf(got), [
        'Host: web.shop',
        'Authorization: a',
        'Cookie: b',
        'Forwarded: for=c',
        'X-Forwarded-For: d',
        'Content-Type: text/e',
        'Content-Length: 2',
      ]);
      assert.ok(got.endsWith('\r\n\r\nhi'));
    },
  );

  onEveryPath(
    'a body keeps its framing; extensions are dropped, trailers pass but for those that belong in a head',
    `POST / HTTP/1.1\r\n${HOST}Connection: close, TE\r\nTE: gzip;q=0.5, trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: CHUNKED\r\n\r\n3;a="b"\r\nabc\r\n0\r\nX-Sum: 1\r\nCookie: x\r\nmesh-endpoint: y\r\nl5d-dtab: z\r\nConnection: close\r\n\r\n`,
    (got) => {
      assert.deepEqual(fieldsOf(got), [
        'Host: web.shop',
        'Trailer: X-Sum',
        'Connection: TE',
        'TE: trailers',
        'Transfer-Encoding: chunked',
      ]);
      assert.ok(got.endsWith('\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n'), got);
    },
  );

  onEveryPath(
    'what is pipelined behind Connection: close is not read',
    `GET /1 HTTP/1.1\r\n${HOST}Connection: close\r\n\r\nGET /2 HTTP/1.1\r\n${HOST}\r\n`,
    (got, _path, all) => {
      assert.equal(lineOf(got), 'GET /1 HTTP/1.1');
      assert.equal(all.length, 1);
    },
  );

  onEveryPath(
    'an expectation in HTTP/1.0 is none',
    `POST / HTTP/1.0\r\n${HOST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi`,
    (got) => assert.deepEqual(fieldsOf(got), ['Host: web.shop', 'Content-Length: 2']),
  );

  test('Expect: 100-continue is between the caller and the application', async () => {
    web.play((socket) => {
      socket.once('data', (head: Buffer) => {
        assert.match(head.toString('latin1'), /\r\nExpect: 100-continue\r\n(?:[^\r]+\r\n)*\r\n$/);
        socket.write('HTTP/1.1 100 Continue\r\n\r\n');
        socket.once('data', (body: Buffer) => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n${body}`));
      });
    });
    for (const { target, dress } of web.paths) {
      const caller = connect({ host: '127.0.0.1', ...target });
      caller.write(
        dress(`POST / HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nConnection: close\r\nContent-Length: 4\r\n\r\n`),
      );
      const [first] = (await once(caller, 'data')) as [Buffer];
      assert.match(first.toString('latin1'), /^HTTP\/1\.1 100 Continue\r\n/);
      caller.write('body');
      const [final] = (await once(caller, 'data')) as [Buffer];
      assert.match(final.toString('latin1'), /^HTTP\/1\.1 200 OK\r\n(?:[^\r]+\r\n)*\r\nbody$/);
      caller.destroy();
    }
  });

  test('a body whose framing breaks is cancelled at the application, not ended', async () => {
    for (const { target, dress, name } of web.paths) {
      let got = '';
      const cancelled = new Promise<void>((resolve) => {
        web.play((socket) => {
          socket.on('data', (bytes: Buffer) => {
            got += bytes.toString('latin1');
            if (got.includes('abc')) caller.write('zz\r\n');
          });
          socket.on('close', resolve);
        });
      });
      const caller = connect({ host: '127.0.0.1', ...target });
      caller.write(dress(`POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`));
      const [answer] = (await once(caller, 'data')) as [Buffer];
      assert.match(answer.toString('latin1'), /^HTTP\/1\.1 400 /, name);
      await cancelled;
      assert.ok(got.endsWith('3\r\nabc\r\n'), name);
      caller.destroy();
    }
  });

  test('an answer to a body that is still coming is not lost to a reset', async () => {
    web.play((socket) => {
      socket.once('data', () =>
        socket.end('HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlong'),
      );
    });
    const body = 'x'.repeat(4 * 1024 * 1024);
    const stated = body.length + 1; // its end never comes, however fast it passes
    for (const { target, dress, name } of web.paths) {
      for (const [host, status] of [
        ['web.shop', 413],
        ['a b', 400],
      ] as const) {
        const wire = await sendRaw(
          target,
          dress(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${stated}\r\n\r\n${body}`),
        );
        const [answer, ...more] = splitAnswers(wire);
        assert.deepEqual([answer?.status, answer?.fields.connection, more.length], [status, 'close', 0], name);
      }
    }
  });
}

describe('how requests reach the application', () => suite('127.69', 'off'));
describe('how requests reach the application, with TLS between daemons', () => suite('127.74', 'required'));
