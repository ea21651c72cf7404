import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { type CertificateSet, createAuthority, createServingCertificate } from '../../webhook/certificate-authority.ts';
import { SelfCheck } from '../../webhook/self-check.ts';

const NAME = 'nodemesh-webhook.nodemesh.svc';
const YEAR_MS = 365 * 86_400_000;

async function faultWith(port: number, authorities: string | undefined): Promise<string | undefined> {
  let told: string | undefined = 'nothing was told';
  const check = new SelfCheck({
    address: { ip: '0.0.0.0', port },
    name: NAME,
    authorities: () => authorities,
    report: (fault) => {
      told = fault;
    },
  });
  await check.check();
  check.stop();
  return told;
}

async function serve(set: CertificateSet): Promise<{ port: number; close: () => void }> {
  const server = createTlsServer({ cert: set['tls.crt'], key: set['tls.key'] }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

test('self check: only a certificate that is trusted, names the Service and is in time will do', async () => {
  const authority = await createAuthority(Date.now());
  const [good, elsewhere, ended, foreign] = await Promise.all([
    createServingCertificate(authority, [NAME], Date.now()),
    createServingCertificate(authority, ['elsewhere'], Date.now()),
    createServingCertificate(authority, [NAME], Date.now() - YEAR_MS),
    createAuthority(Date.now()),
  ]);
  for (const [set, ca, expected] of [
    [good, good['ca.crt'], undefined],
    [good, undefined, undefined],
    [good, foreign['ca.crt'], /verify/],
    [elsewhere, good['ca.crt'], /does not match certificate's altnames/],
    [ended, good['ca.crt'], /expired/],
  ] as const) {
    const { port, close } = await serve(set);
    const fault = await faultWith(port, ca);
    if (expected === undefined) assert.equal(fault, undefined);
    else assert.match(fault ?? '', expected);
    close();
  }
});

test('self check: a port that nobody listens on, or that does not speak TLS, is told of', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {}).end('no TLS\n');
    socket.resume();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  assert.match((await faultWith(port, undefined)) ?? '', /^no TLS handshake with port \d+: /);
  await once(server.close(), 'close');
  assert.match((await faultWith(port, undefined)) ?? '', /ECONNREFUSED/);
});

test('self check: a handshake that takes too long is a fault only if the next one does too', async (t) => {
  const set = await createServingCertificate(await createAuthority(Date.now()), [NAME], Date.now());
  const speaker = createTlsServer({ cert: set['tls.crt'], key: set['tls.key'] });
  let connections = 0;
  let silent = 1;
  const server = createServer((socket) => {
    connections += 1;
    socket.on('error', () => {});
    if (connections > silent) speaker.emit('connection', socket);
    else socket.resume();
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  assert.equal(await faultWith(port, set['ca.crt']), undefined);
  assert.equal(connections, 2);
  silent = Number.POSITIVE_INFINITY;
  assert.match((await faultWith(port, set['ca.crt'])) ?? '', /^no TLS handshake .* twice in a row$/);
  assert.equal(connections, 4);
});
