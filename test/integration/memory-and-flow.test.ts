import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openSlowClients } from '../../scripts/bench/slow-clients.ts';
import { type DiscoDaemon, runDiscoDaemon } from '../support/daemon.ts';
import { ask } from '../support/raw-http.ts';

const MB = 1024 ** 2;
const WHOLE = 192 * MB;
const PIECE = Buffer.alloc(256 * 1024, 'x');
/** The kernels of all sockets on the way hold less (tcp_wmem, tcp_rmem); what is more would be in the daemons' own memory. */
const HELD = 128 * MB;

/** Writes a whole body as fast as it is taken; tells how much has been. */
function pour(to: NodeJS.WritableStream): { readonly bytes: number } {
  const poured = { bytes: 0 };
  const push = () => {
    while (poured.bytes < WHOLE) {
      poured.bytes += PIECE.length;
      if (!to.write(PIECE)) {
        to.once('drain', push);
        return;
      }
    }
    to.end();
  };
  push();
  return poured;
}

/** Waits until nothing more of a body is taken: no event says that all buffers are full. */
async function stuck(poured: { readonly bytes: number }): Promise<number> {
  for (let seen = -1; seen !== poured.bytes; await sleep(200)) seen = poured.bytes;
  return poured.bytes;
}

async function read(message: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const piece of message) bytes += (piece as Buffer).length;
  return bytes;
}

describe('bodies that the other side does not take yet', () => {
  let handler: (incoming: IncomingMessage, response: ServerResponse) => void;
  const app = createServer((incoming, response) => handler(incoming, response));
  const daemons: DiscoDaemon[] = [];

  before(async () => {
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    const near = await runDiscoDaemon({ web: [`127.0.0.1 ${(app.address() as AddressInfo).port}`] });
    daemons.push(near, await runDiscoDaemon({ web: [`127.0.0.1 ${near.port}`] }));
  });
  after(async () => {
    for (const daemon of daemons.reverse()) await daemon.stop();
    app.closeAllConnections();
    app.close();
  });

  for (const [hops, name] of [
    [1, 'one hop'],
    [2, 'two hops'],
  ] as const) {
    for (const framing of hops === 1 ? ['length', 'chunked'] : ['chunked']) {
      const fields = framing === 'length' ? { 'Content-Length': WHOLE } : {};

      test(`down, ${framing}, ${name}: wait with the application, and come whole`, async () => {
        let poured = { bytes: 0 };
        handler = (_incoming, response) => {
          response.writeHead(200, fields);
          poured = pour(response) as { bytes: number };
        };
        const asked = request({ port: daemons[hops - 1]?.port, path: 'http://web/', agent: false }).end();
        const [response] = (await once(asked, 'response')) as [IncomingMessage];
        const taken = await stuck(poured);
        assert.ok(taken < HELD, `${taken / MB} MB are on their way`);
        assert.equal(await read(response), WHOLE);
      });

      test(`up, ${framing}, ${name}: wait with the caller, and come whole`, async () => {
        const arrived = Promise.withResolvers<IncomingMessage>();
        handler = (incoming, response) => {
          incoming.on('end', () => response.end());
          arrived.resolve(incoming);
        };
        const port = daemons[hops - 1]?.port;
        const asked = request({ port, path: 'http://web/', agent: false, method: 'POST', headers: fields });
        const answered = once(asked, 'response');
        const poured = pour(asked);
        const incoming = await arrived.promise;
        const taken = await stuck(poured);
        assert.ok(taken < HELD, `${taken / MB} MB are on their way`);
        assert.equal(await read(incoming), WHOLE);
        await answered;
      });
    }
  }

  test('500 slow clients hold nobody else up', async ({ signal }) => {
    let arrived = 0;
    handler = (incoming, response) => {
      arrived += 1;
      incoming.resume();
      if (incoming.method === 'GET') response.end(incoming.url === '/65536' ? Buffer.alloc(65_536) : 'ok');
    };
    const port = daemons[0]?.port ?? 0;
    const stop = await openSlowClients(port, 500);
    try {
      while (arrived < 330) await sleep(10, undefined, { signal }); // the bodies' and the readers' requests have arrived
      for (let i = 0; i < 50; i += 1) {
        const answer = await ask(port, 'GET http://web/ HTTP/1.1\r\nHost: web');
        assert.deepEqual([answer.status, answer.body], [200, 'ok']);
      }
    } finally {
      stop();
    }
  });
});
