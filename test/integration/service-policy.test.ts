import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { after, describe, test } from 'node:test';
import {
  type DiscoDaemon,
  type DiscoDaemonOptions,
  metricValue,
  runDaemon,
  runDiscoDaemon,
} from '../support/daemon.ts';
import { ask, RawServer } from '../support/raw-http.ts';

const servers: Server[] = [];
const daemons: DiscoDaemon[] = [];

/** Starts an application; gives its line in an endpoint file. */
async function application(handler: RequestListener): Promise<string> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return `127.0.0.1 ${(server.address() as AddressInfo).port}`;
}

async function daemonFor(names: Record<string, string[]>, options: DiscoDaemonOptions): Promise<DiscoDaemon> {
  const daemon = await runDiscoDaemon(names, options);
  daemons.push(daemon);
  return daemon;
}

after(async () => {
  for (const daemon of daemons) await daemon.stop();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

const IN_TURN = 'loadBalancer: {kind: roundRobin}, failureAccrual: {kind: none}';
const GET = 'GET http://web/ HTTP/1.1\r\nHost: web';
const POST = 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 4';
const ok: RequestListener = (request, response) => {
  request.resume().on('end', () => response.end('ok'));
};
const silent: RequestListener = () => {};

test('a pod that answers 503 and Retry-After gets no request while another can serve', async () => {
  const busy = await application((_, response) => response.writeHead(503, { 'Retry-After': '60' }).end('busy'));
  const mesh = await daemonFor({ web: [busy, await application(ok)] }, { routerKeys: 'client: {}' });
  const bodies: string[] = [];
  for (let i = 0; i < 60; i += 1) bodies.push((await ask(mesh.port, GET)).body);
  assert.ok(bodies.filter((body) => body === 'busy').length <= 1, bodies.join(' '));
});

describe('time', () => {
  test('a call that is not answered in time ends in 503, and the application sees it cancelled', async () => {
    const cancelled = Promise.withResolvers<void>();
    const app = await application((request) => request.on('close', () => cancelled.resolve()));
    const mesh = await daemonFor({ web: [app] }, { routerKeys: 'service: {totalTimeoutMs: 50}' });
    const answer = await ask(mesh.port, GET);
    assert.deepEqual([answer.status, answer.fields['l5d-err']], [503, 'total_timeout']);
    assert.match(answer.body, /within 50 ms/);
    await cancelled.promise;
    const text = await mesh.daemon.metrics();
    assert.equal(metricValue(text, 'rejected_total', { reason: 'total_timeout' }), 1);
    assert.equal(metricValue(text, 'requests_in_flight'), 0);
  });

  test('a slow attempt is tried elsewhere where the method allows it', async () => {
    const mesh = await daemonFor(
      { web: [await application(silent), await application(ok)] },
      { routerKeys: `client: {requestAttemptTimeoutMs: 40, ${IN_TURN}}` },
    );
    for (let i = 0; i < 4; i += 1) assert.equal((await ask(mesh.port, GET)).body, 'ok');
    const posts = [await ask(mesh.port, POST, 'body'), await ask(mesh.port, POST, 'body')];
    assert.deepEqual(posts.map(({ fields }) => fields['l5d-err']).sort(), ['attempt_timeout', undefined]);
    assert.ok(metricValue(await mesh.daemon.metrics(), 'retry_total', { reason: 'attempt_timeout' }) >= 2);
  });

  test('and a POST where the classifier says so', async () => {
    const mesh = await daemonFor(
      { web: [await application(silent), await application(ok)] },
      {
        routerKeys: `client: {requestAttemptTimeoutMs: 40, ${IN_TURN}}, service: {responseClassifier: {kind: io.l5d.http.retryableAll5XX}}`,
      },
    );
    for (let i = 0; i < 4; i += 1) assert.equal((await ask(mesh.port, POST, 'body')).body, 'ok');
  });

  test('the whole limits its attempts', async () => {
    let asked = 0;
    const app = await application(() => {
      asked += 1;
    });
    const mesh = await daemonFor(
      { web: [app] },
      { routerKeys: 'client: {requestAttemptTimeoutMs: 60}, service: {totalTimeoutMs: 100}' },
    );
    assert.equal((await ask(mesh.port, GET)).fields['l5d-err'], 'total_timeout');
    assert.ok(asked === 1 || asked === 2, `${asked}`);
  });

  test('an answer that has begun may take its time', async () => {
    let finish = () => {};
    const streaming = await application((_request, response) => {
      response.write('be');
      finish = () => response.end('gun');
    });
    const mesh = await daemonFor(
      { web: [streaming], slow: [await application(silent)] },
      { routerKeys: 'client: {requestAttemptTimeoutMs: 50}, service: {totalTimeoutMs: 50}' },
    );
    const socket = connect(mesh.port, '127.0.0.1');
    socket.write(`${GET}\r\nConnection: close\r\n\r\n`);
    let wire = '';
    socket.on('data', (piece: Buffer) => {
      wire += piece.toString('latin1');
    });
    await once(socket, 'data');
    assert.equal((await ask(mesh.port, 'GET http://slow/ HTTP/1.1\r\nHost: slow')).status, 503);
    finish();
    await once(socket, 'close');
    assert.match(wire, /be\r\n.*gun\r\n0\r\n\r\n$/s);
  });
});

describe('failures that are answered', () => {
  const failing: RequestListener = (request, response) => {
    request.resume().on('end', () => response.writeHead(500).end('x'.repeat(1_000)));
  };
  const retrying = (kind: string, more = '') => ({
    routerKeys: `service: {responseClassifier: {kind: io.l5d.http.${kind}}${more}}, client: {${IN_TURN}}`,
  });

  test('are tried elsewhere as the classifier says, body and all', async () => {
    const bodies: string[] = [];
    const reading: RequestListener = (request, response) => {
      let body = '';
      request.on('data', (piece: Buffer) => {
        body += piece.toString();
      });
      request.on('end', () => {
        bodies.push(body);
        response.end('ok');
      });
    };
    const apps = [await application(failing), await application(reading)];
    const all = await daemonFor({ web: apps }, retrying('retryableAll5XX'));
    for (let i = 0; i < 4; i += 1) assert.equal((await ask(all.port, POST, 'body')).body, 'ok');
    assert.deepEqual(bodies, ['body', 'body', 'body', 'body']);
    const text = await all.daemon.metrics();
    assert.equal(metricValue(text, 'retry_total', { reason: 'failure_answered' }), 4);
    assert.equal(metricValue(text, 'response_total', { router: 'outgoing', classification: 'success' }), 4);

    const reads = await daemonFor({ web: apps }, retrying('retryableRead5XX'));
    const posts = [await ask(reads.port, POST, 'body'), await ask(reads.port, POST, 'body')];
    assert.deepEqual(posts.map(({ status }) => status).sort(), [200, 500]);
  });

  test('three times at most, and the last answer is what the caller gets', async () => {
    let asked = 0;
    const app = await application((_request, response) => {
      asked += 1;
      response.writeHead(503, { 'X-Asked': asked }).end('sorry');
    });
    const mesh = await daemonFor({ web: [app] }, retrying('retryableRead5XX'));
    const answer = await ask(mesh.port, GET);
    assert.deepEqual([answer.status, answer.fields['x-asked'], answer.body], [503, '3', 'sorry']);
    assert.equal(asked, 3);
  });

  test('within the budget', async () => {
    let asked = 0;
    const app = await application((_request, response) => {
      asked += 1;
      response.writeHead(500).end();
    });
    const budget = ', retries: {budget: {minRetriesPerSec: 0, percentCanRetry: 0.5}}';
    const mesh = await daemonFor({ web: [app] }, retrying('retryableRead5XX', budget));
    for (let i = 0; i < 10; i += 1) assert.equal((await ask(mesh.port, GET)).status, 500);
    assert.equal(asked, 15);
  });

  test('after the configured wait, which the whole time of the call cuts off', async () => {
    const apps = [await application(failing), await application(ok)];
    const soon = await daemonFor(
      { web: apps },
      retrying('retryableRead5XX', ', retries: {backoff: {kind: constant, ms: 1}}'),
    );
    assert.equal((await ask(soon.port, GET)).body, 'ok');
    const late = await daemonFor(
      { web: apps },
      retrying('retryableRead5XX', ', totalTimeoutMs: 60, retries: {backoff: {kind: constant, ms: 3600000}}'),
    );
    assert.equal((await ask(late.port, GET)).fields['l5d-err'], 'total_timeout');
  });

  test('a caller that leaves during the wait ends it', async () => {
    const failed = Promise.withResolvers<void>();
    let asked = 0;
    const app = await application((_request, response) => {
      asked += 1;
      response.writeHead(500).end(() => failed.resolve());
    });
    const mesh = await daemonFor(
      { web: [app] },
      retrying('retryableRead5XX', ', retries: {backoff: {kind: constant, ms: 3600000}}'),
    );
    const inFlight = async () => metricValue(await mesh.daemon.metrics(), 'requests_in_flight', { router: 'outgoing' });
    const caller = connect(mesh.port, '127.0.0.1');
    caller.write(`${GET}\r\n\r\n`);
    await failed.promise;
    while (metricValue(await mesh.daemon.metrics(), 'retry_total') === 0);
    assert.equal(await inFlight(), 1);
    caller.resetAndDestroy();
    while ((await inFlight()) > 0);
    assert.equal(asked, 1);
  });

  test('a failure whose body does not end is given up, not waited for', async () => {
    const endless = await application((_request, response) => {
      response.writeHead(500);
      response.write(Buffer.alloc(200_000));
    });
    const mesh = await daemonFor({ web: [endless, await application(ok)] }, retrying('retryableRead5XX'));
    for (let i = 0; i < 4; i += 1) assert.equal((await ask(mesh.port, GET)).body, 'ok');
  });

  test('a failure that breaks off is tried elsewhere all the same', async () => {
    const broken = await RawServer.start((socket) =>
      socket.once('data', () => socket.end('HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nhalf')),
    );
    const mesh = await daemonFor(
      { web: [`127.0.0.1 ${broken.port}`, await application(ok)] },
      retrying('retryableRead5XX'),
    );
    for (let i = 0; i < 4; i += 1) assert.equal((await ask(mesh.port, GET)).body, 'ok');
    await broken.stop();
  });

  test('a body that is too large to be kept is not sent again', async () => {
    const mesh = await daemonFor({ web: [await application(failing)] }, retrying('retryableAll5XX'));
    const size = 200_000;
    const head = `POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: ${size}`;
    assert.equal((await ask(mesh.port, head, 'x'.repeat(size))).status, 500);
    assert.equal(metricValue(await mesh.daemon.metrics(), 'retry_total'), 0);
  });

  test('nothing is a failure where all is successful', async () => {
    const mesh = await daemonFor({ web: [await application(failing)] }, retrying('allSuccessful'));
    assert.equal((await ask(mesh.port, GET)).status, 500);
    const text = await mesh.daemon.metrics();
    assert.equal(metricValue(text, 'response_total', { status_class: '5xx', classification: 'success' }), 1);
    assert.equal(metricValue(text, 'response_total', { classification: 'failure' }), 0);
  });
});

test('what is said of a name outside counts for it alone', async () => {
  const apps = [
    await application(silent),
    await application((_request, response) => setTimeout(() => response.end('ok'), 50)),
  ];
  const [named, other] = apps.map((line) => line.replace(' ', ':'));
  const daemon = await runDaemon(`admin: {port: 0}
namers: []
egress: {default: deny, allow: [127.0.0.0/8]}
routers: [{protocol: http, label: outgoing, servers: [{port: 0}],
  service: {kind: io.l5d.static, configs: [{prefix: '/svc/${named}', totalTimeoutMs: 30}]}}]`);
  try {
    const get = (authority = '') => ask(daemon.port('outgoing'), `GET http://${authority}/ HTTP/1.1\r\nHost: x`);
    assert.equal((await get(named)).fields['l5d-err'], 'total_timeout');
    assert.equal((await get(other)).body, 'ok');
  } finally {
    await daemon.stop();
  }
});

describe('what no application saw', () => {
  const refusing = async () => {
    const server = await RawServer.start(() => {});
    await server.stop();
    return `127.0.0.1 ${server.port}`;
  };
  const retries = async (mesh: DiscoDaemon) =>
    metricValue(await mesh.daemon.metrics(), 'retry_total', { reason: 'connect_failed' });

  test('is sent again up to five times, within a budget of its own', async () => {
    const apps = [await refusing(), await refusing(), await refusing(), await refusing(), await refusing()];
    const free = await daemonFor({ web: apps }, { routerKeys: `client: {${IN_TURN}}` });
    assert.equal((await ask(free.port, GET)).fields['l5d-err'], 'connect_failed');
    assert.equal(await retries(free), 4);
    const budget = 'requeueBudget: {minRetriesPerSec: 0, percentCanRetry: 0.5}';
    const bound = await daemonFor({ web: apps }, { routerKeys: `client: {${IN_TURN}, ${budget}}` });
    for (let i = 0; i < 10; i += 1) assert.equal((await ask(bound.port, POST, 'body')).status, 502);
    assert.equal(await retries(bound), 5);
  });

  test('failFast puts out at once what cannot be connected to, and nothing that answers', async () => {
    const failing = await application((request, response) => {
      request.resume().on('end', () => response.writeHead(500).end());
    });
    const keys = 'client: {loadBalancer: {kind: roundRobin}, failFast: true}';
    const mesh = await daemonFor({ web: [await refusing(), failing] }, { routerKeys: keys, now: () => 1_000_000 });
    for (let i = 0; i < 5; i += 1) assert.equal((await ask(mesh.port, POST, 'body')).status, 500);
    assert.equal(await retries(mesh), 1);
  });

  test('by default an outage costs less than two connections a request, once the reserve is spent', async () => {
    const apps = [await refusing(), await refusing(), await refusing(), await refusing(), await refusing()];
    const mesh = await daemonFor({ web: apps }, { routerKeys: `client: {${IN_TURN}}`, now: () => 1_000_000 });
    for (let i = 0; i < 60; i += 1) await ask(mesh.port, GET);
    assert.equal(await retries(mesh), 100 + 60);
  });

  test('an idle connection that was closed meanwhile is replaced within it, too', async () => {
    const app = await RawServer.start((socket) => {
      let requests = 0;
      socket.on('data', () => {
        requests += 1;
        if (requests === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        else socket.resetAndDestroy();
      });
    });
    try {
      const budget = 'requeueBudget: {minRetriesPerSec: 0, percentCanRetry: 0.25}';
      const mesh = await daemonFor({ web: [`127.0.0.1 ${app.port}`] }, { routerKeys: `client: {${budget}}` });
      const seen = [];
      for (let i = 0; i < 6; i += 1) seen.push((await ask(mesh.port, GET)).status);
      assert.deepEqual(seen, [200, 502, 200, 200, 502, 200]);
    } finally {
      await app.stop();
    }
  });
});

test('failures in a row put a pod out, as many as the config says', async () => {
  let asked = 0;
  const bad = await application((_request, response) => {
    asked += 1;
    response.writeHead(500).end();
  });
  const mesh = await daemonFor(
    { web: [bad, await application(ok)] },
    {
      routerKeys:
        'client: {loadBalancer: {kind: roundRobin}, failureAccrual: {kind: io.l5d.consecutiveFailures, failures: 2, backoff: {kind: constant, ms: 600000}}}',
    },
  );
  for (let i = 0; i < 20; i += 1) await ask(mesh.port, GET);
  assert.equal(asked, 2);
});
