import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type MeshPath, MeshPaths } from '../support/mesh-paths.ts';
import { sendRaw, splitAnswers } from '../support/raw-http.ts';
import { REFUSED_REQUESTS } from '../support/verdicts.ts';

function suite(net: string, tls: 'off' | 'required'): void {
  let web: MeshPaths;
  /** What has reached the application. */
  let reached = '';

  before(async () => {
    web = await MeshPaths.start(net, tls);
    web.play((socket) =>
      socket.on('data', (bytes: Buffer) => {
        reached += bytes.toString('latin1');
      }),
    );
  });
  after(() => web.stop());

  async function refuses({ target, name, dress }: MeshPath, bytes: string, status: number): Promise<void> {
    reached = '';
    const [answer, ...more] = splitAnswers(await sendRaw(target, dress(bytes)));
    assert.equal(answer?.status, status, name);
    assert.equal(more.length, 0, name);
    assert.match(answer?.fields['l5d-err'] ?? '', /^[a-z_]+$/, name);
    assert.equal(answer?.fields.connection, 'close', name);
  }

  for (const { what, bytes, status, inBody } of REFUSED_REQUESTS) {
    test(`${what}: ${status}`, async () => {
      for (const path of web.paths) {
        await refuses(path, bytes, status);
        if (inBody) assert.doesNotMatch(reached, /\r\n0\r\n/, `${path.name}: the application saw an end`);
        else assert.equal(reached, '', `${path.name}: it reached the application`);
      }
    });
  }

  test('bytes behind a refused request are never read as a request', async () => {
    const smuggled =
      'POST / HTTP/1.1\r\nHost: web.shop\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: web.shop\r\n\r\n';
    for (const path of web.paths) {
      await refuses(path, smuggled, 400);
      assert.equal(reached, '');
    }
  });
}

describe('requests that RFC 9112 forbids', () => suite('127.68', 'off'));
describe('requests that RFC 9112 forbids, with TLS between daemons', () => suite('127.73', 'required'));
