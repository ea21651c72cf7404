import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { after, describe, it, type TestContext } from 'node:test';
import { AdminAccess } from '../../lib/admin-access.ts';
import { type AdminRoute, type AdminServer, formatEvent, startAdminServer } from '../../lib/admin-server.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { Readiness } from '../../lib/readiness.ts';

const servers: AdminServer[] = [];
after(() => Promise.all(servers.map((server) => server.close())));

async function serve(routes: readonly AdminRoute[]): Promise<{ readonly server: AdminServer; readonly url: string }> {
  const server = await startAdminServer({
    ip: '127.0.0.1',
    port: 0,
    readiness: new Readiness(),
    metrics: { render: () => 'up 1\n' },
    access: new AdminAccess({
      modes: { metrics: 'open', diagnostics: 'token', tap: 'token' },
      ip: '127.0.0.1',
      review: undefined,
      metrics: new MetricsRegistry(),
    }),
    routes,
    log: createLog('test', 'silent'),
  });
  servers.push(server);
  return { server, url: `http://127.0.0.1:${server.address.port}` };
}

async function open(t: TestContext, url: string): Promise<IncomingMessage> {
  const sent = request(url).end();
  t.after(() => sent.destroy());
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return response;
}

describe('the admin server', () => {
  it('answers JSON with the query that was asked, and lets no browser show it elsewhere', async () => {
    const { url } = await serve([
      {
        path: '/stats',
        access: 'diagnostics',
        handle: ({ query }, reply) => reply.json({ window: query.get('window') }),
      },
    ]);
    const answer = await fetch(`${url}/stats?window=6%200`, { headers: { origin: 'http://evil.example' } });
    assert.deepEqual(await answer.json(), { window: '6 0' });
    assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8');
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    assert.equal(answer.headers.get('cache-control'), 'no-store');
    assert.equal(answer.headers.get('access-control-allow-origin'), null);
  });

  it('names its paths where it has not the one that was asked, and answers GET alone', async () => {
    const { url } = await serve([{ path: '/stats', access: 'diagnostics', handle: (_, reply) => reply.json({}) }]);
    const missing = await fetch(`${url}/stat`);
    assert.equal(missing.status, 404);
    assert.match(await missing.text(), /^\/livez\n\/readyz\n\/metrics\n\/stats\n$/m);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD']) {
      const answer = await fetch(`${url}/stats`, { method });
      assert.deepEqual([method, answer.status, answer.headers.get('allow')], [method, 405, 'GET']);
    }
  });

  it('takes all below a path, by the access of each', async () => {
    const asked: string[] = [];
    const { url } = await serve([
      {
        path: '/nodes/*',
        access: (path) => {
          asked.push(path);
          return 'tap';
        },
        handle: ({ path }, reply) => reply.text(`${path}\n`),
      },
    ]);
    assert.equal(await (await fetch(`${url}/nodes/node-1/tap?x=1`)).text(), '/nodes/node-1/tap\n');
    assert.deepEqual(asked, ['/nodes/node-1/tap']);
  });

  it('answers 500 for what fails, and goes on', async () => {
    const { url } = await serve([
      {
        path: '/broken',
        access: 'diagnostics',
        handle: () => {
          throw new Error('inner matters');
        },
      },
    ]);
    const answer = await fetch(`${url}/broken`);
    assert.equal(answer.status, 500);
    assert.doesNotMatch(await answer.text(), /inner matters/);
    assert.equal((await fetch(`${url}/livez`)).status, 200);
  });

  it('ends the connection of what fails once it has taken it for itself', async () => {
    const { url } = await serve([
      {
        path: '/taken',
        access: 'diagnostics',
        handle: (_request, reply) => {
          reply.raw();
          throw new Error('inner matters');
        },
      },
    ]);
    await assert.rejects(fetch(`${url}/taken`, { signal: AbortSignal.timeout(5_000) }), { name: 'TypeError' });
    assert.equal((await fetch(`${url}/livez`)).status, 200);
  });

  it('writes an event of lines as event streams know them', () => {
    assert.equal(
      formatEvent('a', 'one\ntwo\r\nthree\rfour'),
      'event: a\ndata: one\ndata: two\ndata: three\ndata: four\n\n',
    );
    assert.equal(formatEvent('a', '"x\u2028y\u2029z"'), 'event: a\ndata: "x\u2028y\u2029z"\n\n');
    assert.equal(formatEvent('a', ''), 'event: a\ndata: \n\n');
  });

  it('sends events until the client goes', async (t) => {
    const ended = Promise.withResolvers<void>();
    const { url } = await serve([
      {
        path: '/tap',
        access: 'tap',
        handle: ({ signal }, reply) => {
          const write = reply.events();
          assert.equal(write(formatEvent('request', 'one\ntwo')), true);
          signal.addEventListener('abort', () => {
            assert.equal(write(': late\n\n'), false);
            ended.resolve();
          });
        },
      },
    ]);
    const response = await open(t, `${url}/tap`);
    assert.equal(response.headers['content-type'], 'text/event-stream');
    assert.equal(response.headers['x-content-type-options'], 'nosniff');
    const [text] = await once(response, 'data');
    assert.equal(String(text), 'event: request\ndata: one\ndata: two\n\n');
    response.destroy();
    await ended.promise;
  });

  it('ends event streams when it stops', async (t) => {
    const { server, url } = await serve([
      { path: '/tap', access: 'tap', handle: (_, reply) => void reply.events()(': here\n\n') },
    ]);
    const response = await open(t, `${url}/tap`);
    await once(response, 'data');
    response.on('error', () => {});
    const closed = once(response, 'close');
    await server.close();
    await closed;
  });

  it('holds no more for a client that does not read than a socket takes, and tells the writer', async (t) => {
    const begun = Promise.withResolvers<(text: string) => boolean>();
    const { url } = await serve([{ path: '/tap', access: 'tap', handle: (_, reply) => begun.resolve(reply.events()) }]);
    const response = await open(t, `${url}/tap`);
    response.pause();
    const write = await begun.promise;
    const text = `${'x'.repeat(64 * 1024)}\n`;
    let taken = 0;
    // Far more than the buffers of two sockets.
    for (; taken < 2_000 && write(text); taken += 1) await new Promise(setImmediate);
    assert.ok(taken < 2_000, `${taken} taken`);
    assert.equal(write(text), false);
  });
});
