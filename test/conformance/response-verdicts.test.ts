import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type MeshPath, MeshPaths } from '../support/mesh-paths.ts';
import { type RawAnswer, sendRaw, splitAnswers } from '../support/raw-http.ts';
import { REFUSED_RESPONSES } from '../support/verdicts.ts';

const HOST = 'Host: web.shop\r\n';
/** Not tried again elsewhere, whatever happens to it. */
const POST = `POST / HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`;
const GOOD = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood';

/** Sends fixed bytes for each read, the last ones again and again. */
function answering(...bytes: string[]): (socket: Socket) => void {
  return (socket) => {
    let next = 0;
    socket.on('data', () => {
      socket.write(Buffer.from(bytes[next] ?? bytes.at(-1) ?? '', 'latin1'));
      next += 1;
    });
  };
}

async function answersTo({ target, dress }: MeshPath, request: string): Promise<RawAnswer[]> {
  return splitAnswers(await sendRaw(target, dress(request)), request.slice(0, request.indexOf(' ')));
}

/** What a caller sees until its connection ends, by a reset or otherwise. */
async function seenBy({ target, dress }: MeshPath, request: string): Promise<{ wire: string; reset: boolean }> {
  const socket = connect({ host: '127.0.0.1', ...target });
  let wire = '';
  let reset = false;
  socket.on('data', (piece: Buffer) => {
    wire += piece.toString('latin1');
  });
  socket.on('error', () => {
    reset = true;
  });
  socket.write(dress(request));
  await new Promise((resolve) => socket.on('close', resolve));
  return { wire, reset };
}

function suite(net: string, tls: 'off' | 'required'): void {
  let web: MeshPaths;

  before(async () => {
    web = await MeshPaths.start(net, tls);
  });
  after(() => web.stop());

  for (const [what, bytes] of REFUSED_RESPONSES) {
    test(`${what}: 502`, async () => {
      web.play(answering(bytes));
      for (const path of web.paths) {
        const answers = await answersTo(path, POST);
        const final = answers.at(-1);
        assert.deepEqual([final?.status, final?.fields['l5d-err']], [502, 'bad_response'], path.name);
        assert.ok(
          answers.slice(0, -1).every(({ status }) => status < 200),
          path.name,
        );
      }
    });
  }

  test('a switch of protocols that does not say to which: 502', async () => {
    const upgrade = `GET / HTTP/1.1\r\n${HOST}Connection: close, upgrade\r\nUpgrade: x\r\n\r\n`;
    for (const fields of ['', 'Upgrade: x\r\n', 'Connection: upgrade\r\n']) {
      web.play(answering(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n`));
      for (const path of web.paths) {
        const [answer] = await answersTo(path, upgrade);
        assert.deepEqual([answer?.status, answer?.fields['l5d-err']], [502, 'bad_response'], path.name);
      }
    }
  });

  for (const [what, bytes] of [
    ['by its length', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'],
    ['between chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'],
    ['in a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nde'],
    ['before the trailers end', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: 1\r\n'],
    ['by a bad chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n'],
  ] as const) {
    test(`cut short ${what}: never looks complete`, async () => {
      web.play((socket) => socket.once('data', () => socket.end(bytes)));
      for (const path of web.paths) {
        const { wire } = await seenBy(path, POST);
        assert.match(wire, /^HTTP\/1\.1 200 OK\r\n/, path.name);
        assert.ok(!wire.endsWith('0\r\n\r\n') && !wire.endsWith('abcde'), path.name);
        const old = await seenBy(path, POST.replace('HTTP/1.1', 'HTTP/1.0'));
        const delimitedByClose = !/\r\nContent-Length: 10\r\n/.test(old.wire);
        assert.equal(old.reset, delimitedByClose, `${path.name}: HTTP/1.0 cannot see it but by a reset`);
      }
    });
  }

  test('delimited by close and cut by a reset: never looks complete', async () => {
    web.play((socket) =>
      socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\n\r\nabc', () => socket.resetAndDestroy())),
    );
    for (const path of web.paths) {
      const { wire } = await seenBy(path, POST);
      assert.ok(!wire.endsWith('0\r\n\r\n'), `${path.name}: ${wire}`);
      const old = await seenBy(path, POST.replace('HTTP/1.1', 'HTTP/1.0'));
      assert.ok(old.reset || /^HTTP\/1\.1 502 /.test(old.wire), `${path.name}: ${old.wire}`);
    }
  });

  test('a caller that goes away in the middle frees the application at once, by a reset', async () => {
    for (const { target, dress, name } of web.paths) {
      const lost = new Promise<string>((resolve) => {
        web.play((socket) => {
          socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'));
          socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
          socket.on('end', () => resolve('end'));
        });
      });
      const caller = connect({ host: '127.0.0.1', ...target });
      caller.write(dress(`GET / HTTP/1.1\r\n${HOST}\r\n`));
      await once(caller, 'data');
      caller.resetAndDestroy();
      assert.equal(await lost, 'ECONNRESET', name);
    }
  });

  test('delimited by close: chunked for HTTP/1.1, until close for HTTP/1.0', async () => {
    web.play((socket) => socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nall of it')));
    for (const path of web.paths) {
      const [answer] = await answersTo(path, POST);
      assert.deepEqual([answer?.fields['transfer-encoding'], answer?.body], ['chunked', 'all of it'], path.name);
      const [old] = await answersTo(path, POST.replace('HTTP/1.1', 'HTTP/1.0'));
      assert.deepEqual([old?.fields['transfer-encoding'], old?.body], [undefined, 'all of it'], path.name);
    }
  });

  test('interim answers pass to HTTP/1.1, and not to HTTP/1.0', async () => {
    const interim = 'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nmesh-error: x\r\n\r\n';
    web.play(answering(`${interim}${GOOD}`));
    for (const path of web.paths) {
      const all = await answersTo(path, POST);
      assert.deepEqual(
        all.map(({ status }) => status),
        [102, 103, 200],
        path.name,
      );
      assert.deepEqual([all[1]?.fields.link, all[1]?.fields['mesh-error']], ['</a>', undefined], path.name);
    }
    web.play(answering(`${interim}${GOOD}`));
    for (const path of web.paths) {
      const all = await answersTo(path, POST.replace('HTTP/1.1', 'HTTP/1.0'));
      assert.deepEqual(
        all.map(({ status }) => status),
        [200],
        path.name,
      );
    }
  });

  test('Connection takes away what is of one hop, and no other field of the answer; repeated fields stay apart', async () => {
    web.play(
      answering(
        'HTTP/1.1 200 OK\r\nConnection: X-Hop, Content-Length, Set-Cookie, Cache-Control, Via, Transfer-Encoding\r\nX-Hop: 1\r\nSet-Cookie: a=1\r\nETag: "a"\r\nETag: "b"\r\nSet-Cookie: b=2\r\nCache-Control: no-store\r\nProxy-Authenticate: Basic\r\nKeep-Alive: timeout=9\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok',
      ),
    );
    for (const path of web.paths) {
      const [answer] = await answersTo(path, POST);
      const lines = answer?.text.slice(0, answer.text.indexOf('\r\n\r\n')).split('\r\n').slice(1);
      assert.deepEqual(
        lines?.filter((line) => !line.startsWith('Via: ')),
        [
          'Set-Cookie: a=1',
          'ETag: "a"',
          'ETag: "b"',
          'Set-Cookie: b=2',
          'Cache-Control: no-store',
          'Content-Length: 2',
          'Connection: close',
        ],
        path.name,
      );
      assert.equal(answer?.body, 'ok');
    }
  });

  test('trailers pass but for those that belong in a head', async () => {
    web.play(
      answering(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2;a=b\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=1\r\nmesh-retryable: true\r\nl5d-err: forged\r\nConnection: close\r\n\r\n',
      ),
    );
    for (const path of web.paths) {
      const [answer] = await answersTo(path, POST);
      assert.ok(answer?.text.endsWith('\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n'), `${path.name}: ${answer?.text}`);
    }
  });

  test('HEAD keeps the length that it is told, and has no body', async () => {
    web.play(answering('HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n'));
    for (const path of web.paths) {
      const [answer, ...more] = await answersTo(path, POST.replace('POST', 'HEAD'));
      assert.deepEqual([answer?.fields['content-length'], more.length], ['500', 0], path.name);
    }
  });

  // Each first answer, what the application sends where a second request comes on the same connection, and whether it may come there.
  for (const [what, first, onSame, reuses] of [
    ['304 with a length', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n', GOOD, true],
    ['204 with a length', 'HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\n', `poison${GOOD}`, false],
    ['204 with chunks', 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n', `0\r\n\r\n${GOOD}`, false],
    [
      'HTTP/1.0 with chunks',
      'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      GOOD,
      false,
    ],
    [
      'bytes behind its end',
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison',
      GOOD,
      false,
    ],
    ['Connection: close', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', GOOD, false],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n', GOOD, false],
  ] as const) {
    test(`${what}: the connection is ${reuses ? '' : 'not '}used again, and the next answer is the right one`, async () => {
      for (const path of web.paths) {
        let connections = 0;
        web.play((socket) => {
          connections += 1;
          answering(...(connections === 1 ? [first, onSame] : [GOOD]))(socket);
        });
        const request = `POST / HTTP/1.1\r\n${HOST}`;
        const { target, dress } = path;
        const wire = await sendRaw(target, dress(`${request}\r\n`) + dress(`${request}Connection: close\r\n\r\n`));
        const last = splitAnswers(wire).at(-1);
        assert.deepEqual([last?.status, last?.body, connections], [200, 'good', reuses ? 1 : 2], path.name);
      }
    });
  }
}

describe('answers', () => suite('127.70', 'off'));
describe('answers, with TLS between daemons', () => suite('127.75', 'required'));
