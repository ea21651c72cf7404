import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseDaemonConfig } from '../../daemon/config.ts';
import { ConfigError } from '../../lib/config-file.ts';

const ENVIRONMENT = { nodeName: 'node-1', nodeIp: '10.0.0.1', podNamespace: 'nodemesh' };

/** linkerd's own two routers for DaemonSets, as its documentation shows them. */
const SEED = `routers:
- protocol: http
  label: outgoing
  interpreter:
    kind: default
    transformers:
    - kind: io.l5d.k8s.daemonset
      namespace: default
      port: incoming
      service: l5d
- protocol: http
  label: incoming
  interpreter:
    kind: default
    transformers:
    - kind: io.l5d.k8s.localnode
`;

function problems(text: string): string[] {
  try {
    parseDaemonConfig('daemon.yaml', text, ENVIRONMENT);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message.split('\n');
  }
  return [];
}

describe('daemon config', () => {
  test("linkerd's routers load as they stand, with linkerd's and the mesh's defaults", () => {
    const config = parseDaemonConfig('daemon.yaml', SEED, ENVIRONMENT);
    assert.deepEqual(
      config.routers.map(({ label, role, servers }) => [label, role, servers.map(({ ip, port }) => `${ip}:${port}`)]),
      [
        ['outgoing', 'outgoing', ['127.0.0.1:4140']],
        ['incoming', 'incoming', ['127.0.0.1:4141']],
      ],
    );
    assert.deepEqual(config.routers[0]?.transformers, [
      { kind: 'io.l5d.k8s.daemonset', namespace: 'default', port: 'incoming', service: 'l5d', fallback: 'direct' },
    ]);
    assert.deepEqual(
      [config.admin.port, config.egress.default, config.kubernetes?.clusterDomain],
      [9990, 'allow', 'cluster.local'],
    );
  });

  test('one thread serves unless the config wants more', () => {
    const workers = (text: string) => parseDaemonConfig('f', `${text}${SEED}`, ENVIRONMENT).workers;
    assert.deepEqual([workers(''), workers('workers: 2\n'), workers('workers: auto\n')], [1, 2, 'auto']);
  });

  test('tls is off unless the router says so, and for routers with peers alone', () => {
    const modes = (text: string) => parseDaemonConfig('daemon.yaml', text, ENVIRONMENT).routers.map(({ tls }) => tls);
    assert.deepEqual(modes(SEED), ['off', 'off']);
    const label = /(label: \w+)\n/g;
    assert.deepEqual(modes(SEED.replace(label, '$1\n  tls: required\n')), ['required', 'required']);
    assert.match(
      problems(SEED.replace(label, '$1\n  tls: on\n'))[0] ?? '',
      /routers\[0\]\.tls: give one of off, permissive, re/,
    );
    assert.match(
      problems('routers: [{protocol: http, tls: permissive}]')[0] ?? '',
      /routers\[0\]\.tls: daemons speak TLS to each other alone/,
    );
  });

  test('policy is off unless the router says so; enforce needs callers that are told by their addresses', () => {
    const label = /(label: \w+)\n/g;
    const modes = (text: string) =>
      parseDaemonConfig('daemon.yaml', text, ENVIRONMENT).routers.map(({ policy }) => policy);
    const set = (mode: string) => SEED.replace(label, `$1\n  policy: ${mode}\n`);
    assert.deepEqual(modes(SEED), ['off', 'off']);
    assert.deepEqual(modes(set('enforce')), ['enforce', 'enforce']);
    assert.match(problems(set('on'))[0] ?? '', /routers\[0\]\.policy: give one of off, audit, enforce/);
    const masked =
      'routers: [{protocol: http, label: outgoing, policy: MODE, servers: [{allowedClients: [0.0.0.0/0]}]}]';
    assert.deepEqual(modes(masked.replace('MODE', 'audit')), ['audit']);
    assert.match(
      problems(masked.replace('MODE', 'enforce'))[0] ?? '',
      /routers\[0\]\.policy: enforce .* routers\[0\]\.servers\[0\]\.allowedClients .* hostPort/,
    );
    assert.match(
      problems('namers: [{kind: io.l5d.fs, rootDir: disco}]\nrouters: [{protocol: http, policy: audit}]')[0] ?? '',
      /routers\[0\]\.policy: policies are the cluster's/,
    );
    assert.match(
      problems('routers: [{protocol: http, clientHeader: true}]')[0] ?? '',
      /routers\[0\]\.clientHeader: goes with the incoming router/,
    );
  });

  test("linkerd's file form of TLS loads as its example for DaemonSets has it", () => {
    const text = SEED.replace(
      'label: outgoing\n',
      '$&  client: {tls: {commonName: linkerd, trustCerts: [/certs/ca.pem]}}\n',
    );
    const server =
      '  servers:\n  - port: 4141\n    ip: 0.0.0.0\n    tls: {certPath: /certs/certificate.pem, keyPath: /certs/key.pem}\n';
    const [outgoing, incoming] = parseDaemonConfig('f', `${text}${server}`, ENVIRONMENT).routers;
    const none = { certPath: undefined, keyPath: undefined, intermediateCertsPath: undefined };
    assert.deepEqual(outgoing?.clientTls, { ...none, commonName: 'linkerd', authorityPaths: ['/certs/ca.pem'] });
    assert.deepEqual([outgoing?.tls, outgoing?.client], ['off', [{}]]);
    assert.deepEqual(incoming?.servers[0]?.tls, {
      certPath: '/certs/certificate.pem',
      keyPath: '/certs/key.pem',
      intermediateCertsPath: undefined,
      authorityPaths: [],
      requireClientAuth: false,
    });
    const off = parseDaemonConfig('f', `${text}${server}`.replaceAll('tls: {', 'tls: {enabled: false, '), ENVIRONMENT);
    assert.deepEqual([off.routers[0]?.clientTls, off.routers[1]?.servers[0]?.tls], [undefined, undefined]);
  });

  for (const [what, tls, expected] of [
    ['no name', '{trustCerts: [a]}', /routers\[0\]\.client\.tls\.commonName: required: the name/],
    ['two kinds of CAs', '{commonName: a, trustCerts: [a], trustCertsBundle: b}', /tls\.trustCerts: give either/],
    [
      'a certificate for anyone',
      '{disableValidation: true, clientAuth: {certPath: a, keyPath: b}}',
      /tls\.clientAuth: does not go with disableValidation/,
    ],
    ['a capture', '{commonName: "{service}"}', /tls\.commonName: give one name/],
    [
      'both forms',
      '{commonName: a}\n  tls: required',
      /routers\[0\]\.tls: .*\(routers\[0\]\.client\.tls\) exclude each other/,
    ],
  ] as const) {
    test(`TLS by files with ${what} is refused`, () => {
      const text = SEED.replace('label: outgoing\n', `$&  client:\n    tls: ${tls}\n`);
      assert.match(problems(text).join('\n'), expected);
    });
  }

  for (const prefix of [
    '/',
    '/#/io.l5d.k8s',
    '/#/io.l5d.k8s/*/{port}',
    '/%/io.l5d.k8s.daemonset/nodemesh/incoming/nodemesh-daemon',
    '/%/io.l5d.k8s.daemonset/nodemesh/incoming/nodemesh-daemon/#/io.l5d.k8s',
  ]) {
    test(`TLS by files for all Services under io.l5d.static, as ${prefix}`, () => {
      const configs = `[{prefix: '${prefix}', tls: {commonName: a}}, {prefix: /#/io.l5d.k8s/shop, requestAttemptTimeoutMs: 1}]`;
      const client = `  client: {kind: io.l5d.static, configs: ${configs}}\n`;
      const [router] = parseDaemonConfig('f', SEED.replace('label: outgoing\n', `$&${client}`), ENVIRONMENT).routers;
      assert.equal(router?.clientTls?.commonName, 'a');
      assert.deepEqual(router?.client, [{ prefix }, { prefix: '/#/io.l5d.k8s/shop', requestAttemptTimeoutMs: 1 }]);
    });
  }

  for (const prefix of [
    '/#/io.l5d.k8s/shop',
    '/$/inet',
    '/#/io.l5d.k8s/*/*/world',
    '/%/io.l5d.k8s.daemonset/nodemesh/incoming/nodemesh-daemon/#/io.l5d.k8s/shop',
  ]) {
    test(`TLS by files for some destinations alone is refused, as ${prefix}`, () => {
      const client = `  client: {kind: io.l5d.static, configs: [{prefix: '${prefix}', tls: {commonName: a}}]}\n`;
      assert.match(
        problems(SEED.replace('label: outgoing\n', `$&${client}`)).join(),
        /routers\[0\]\.client\.configs\[0\]\.tls: daemons are spoken to alike whatever Service/,
      );
    });
  }

  test('TLS by files is refused where nobody could answer it', () => {
    const client = 'routers: [{protocol: http, client: {tls: {commonName: a}}}]';
    assert.match(problems(client).join(), /client\.tls: .*goes with an io\.l5d\.k8s\.daemonset transformer/);
    const server = 'routers: [{protocol: http, servers: [{tls: {certPath: a, keyPath: b, requireClientAuth: true}}]}]';
    assert.match(problems(server).join(), /servers\[0\]\.tls\.caCertPath: required with requireClientAuth/);
  });

  test('every problem is named in one reading, with its path and a fix', () => {
    const text = `admin: {port: 4140, ip: 0.0.0.0}
routers:
- protocol: http
  label: outgoing
  interpreter:
    transformers: [{kind: io.l5d.k8s.daemonset, namespace: nodemesh, port: incoming}]
  servres: [{port: 4140}]
- protocol: thrift
  label: incoming
`;
    assert.deepEqual(problems(text), [
      "daemon.yaml: routers[0].interpreter.transformers[0].service: required: the daemons' Service, e.g. nodemesh-daemon",
      'daemon.yaml: routers[0].servres: unknown key; did you mean "servers"?',
      'daemon.yaml: routers[1].protocol: only "http" is spoken',
    ]);
  });

  for (const [what, text, expected] of [
    [
      'a port used twice',
      'admin: {port: 4140}\nrouters: [{protocol: http, label: outgoing, servers: [{port: 4140}]}]',
      /routers\[0\]\.servers\[0\]\.port: port 4140 is already taken by admin\.port/,
    ],
    [
      'a port used twice, once on every address',
      'routers: [{protocol: http, label: a, servers: [{port: 1, ip: 0.0.0.0}, {port: 1}]}]',
      /servers\[1\]\.port: port 1 is already taken/,
    ],
    [
      'a label used twice',
      'routers: [{protocol: http}, {protocol: http, servers: [{port: 9}]}]',
      /routers\[1\]\.label: "http" is already the label/,
    ],
    [
      'an unknown transformer',
      'routers: [{protocol: http, interpreter: {transformers: [{kind: io.l5d.port}]}}]',
      /transformers\[0\]\.kind: unknown kind; known kinds: io\.l5d\.k8s\.daemonset/,
    ],
    [
      'a port out of range',
      'routers: [{protocol: http, servers: [{port: 70000}]}]',
      /servers\[0\]\.port: give a port number/,
    ],
    ...(['0', '1.5', 'many', '129'] as const).map(
      (workers) =>
        [
          `workers: ${workers}`,
          `workers: ${workers}\nrouters: [{protocol: http}]`,
          /^daemon\.yaml: workers: give a number of threads, 1 to 128, or "auto": one for each core$/,
        ] as const,
    ),
    ['no routers', 'admin: {}', /routers: required/],
    ['an empty file', '', /routers: required/],
    ['a list', '- a', /a mapping with the key "routers" is wanted/],
    ['broken YAML', 'routers: [', /line 1, column \d+: not valid YAML/],
    [
      'a bad address',
      'routers: [{protocol: http, servers: [{ip: localhost}]}]',
      /servers\[0\]\.ip: give an IP address/,
    ],
    [
      'a bad client',
      'routers: [{protocol: http, servers: [{allowedClients: [10.0.0.0/33]}]}]',
      /allowedClients\[0\]: give "localPods"/,
    ],
  ] as const) {
    test(`${what} is refused`, () => assert.match(problems(text).join('\n'), expected));
  }

  for (const [telemetry, expected] of [
    ['[{kind: io.l5d.recentRequests}]', /telemetry\[0\]\.sampleRate: required/],
    ['[{kind: nodemesh.accessLog, sampelRate: 1}]', /sampelRate: unknown key; did you mean "sampleRate"\?$/],
    ['[{kind: nodemesh.accessLog, only: [{status: 7xx}]}]', /only\[0\]\.status: give a status such as 503/],
    ['[{kind: nodemesh.accessLog, only: [{}]}]', /only\[0\]: give at least one of status/],
    ['[{kind: nodemesh.accessLog, path: log}]', /path: give an absolute path, or "stdout"/],
    ['[{kind: nodemesh.accessLog, redact: [status]}]', /redact\[0\]: give some of client_addr/],
    ['[{kind: nodemesh.tap, redact: ["a b"]}]', /redact\[0\]: give the name of a header/],
    ['[{kind: io.l5d.prometheus, path: /metrics}]', /path: give a path below \/admin\//],
    ['[{kind: io.l5d.prometheus, path: /admin/ping}]', /path: give a path below \/admin\//],
    ['[{kind: io.l5d.prometheus, prefix: "a b"}]', /prefix: give what a metric's name may begin with/],
    ['[{kind: io.l5d.prometheus}, {kind: io.l5d.prometheus, prefix: a}]', /\[1\]\.path: .*another one's already/],
    ['[{kind: io.l5d.tracelog, level: LOUD}]', /level: give one of TRACE/],
    ['[{kind: io.l5d.statsd}]', /unknown kind: a statsd exporter of Prometheus reads \/metrics.*known kinds: nodemesh/],
    [
      '[{kind: io.l5d.recentRequests, sampleRate: 1}, {kind: io.l5d.recentRequests, sampleRate: 1}]',
      /\[1\]\.kind: there is one/,
    ],
  ] as const) {
    test(`telemetry: ${telemetry} is refused`, () =>
      assert.match(problems(`telemetry: ${telemetry}\nrouters: [{protocol: http}]`).join('\n'), expected));
  }

  test('an access log with rules has what they name, and without them all', () => {
    const rateOf = (keys: string) =>
      parseDaemonConfig(
        'f',
        `telemetry: [{kind: nodemesh.accessLog, ${keys}}]\nrouters: [{protocol: http}]`,
        ENVIRONMENT,
      ).telemetry[0];
    const common = { kind: 'nodemesh.accessLog', path: 'stdout', redact: [] };
    assert.deepEqual(rateOf(''), { ...common, only: [], sampleRate: 1 });
    assert.deepEqual(rateOf('only: [{status: 503}]'), { ...common, only: [{ status: '503' }], sampleRate: 0 });
  });

  test('routers of one direction have no httpAccessLog each', () => {
    const one = '{protocol: http, label: a, httpAccessLog: /var/log/a}';
    const text = `routers: [${one}, {protocol: http, label: b, servers: [{port: 1}]}]`;
    assert.match(problems(text).join('\n'), /routers\[0\]\.httpAccessLog: routers\[1\] is outgoing too/);
    assert.equal(parseDaemonConfig('f', `routers: [${one}]`, ENVIRONMENT).routers[0]?.httpAccessLog, '/var/log/a');
  });

  test('"node" stands for the address in NODE_IP, and needs it', () => {
    const text = 'routers: [{protocol: http, servers: [{ip: node}]}]';
    assert.equal(parseDaemonConfig('f', text, ENVIRONMENT).routers[0]?.servers[0]?.ip, '10.0.0.1');
    assert.throws(
      () => parseDaemonConfig('f', text, { ...ENVIRONMENT, nodeIp: undefined }),
      /servers\[0\]\.ip: "node" needs/,
    );
  });

  test('the process exits with 1 and one line a problem, before any port opens', () => {
    const dir = mkdtempSync(join(tmpdir(), 'nodemesh-config-'));
    const file = join(dir, 'daemon.yaml');
    writeFileSync(file, 'routers:\n- protocol: http\n  lable: outgoing\n');
    const run = spawnSync(process.execPath, [join(import.meta.dirname, '../../daemon/main.ts'), file], {
      encoding: 'utf8',
    });
    assert.equal(run.status, 1);
    assert.equal(run.stderr, `${file}: routers[0].lable: unknown key; did you mean "label"?\n`);
    assert.equal(run.stdout, '');
    rmSync(dir, { recursive: true });
  });
});
