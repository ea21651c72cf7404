import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../lib/config-file.ts';
import { parseWebhookConfig, readEnvironment } from '../../webhook/config.ts';

const PLACE = readEnvironment({ POD_NAME: 'w-1', POD_NAMESPACE: 'nodemesh', POD_IP: '10.1.0.9' });

function problems(text: string, env: Record<string, string> = {}): string[] {
  try {
    parseWebhookConfig('webhook.yaml', text, readEnvironment(env));
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n');
    throw error;
  }
  return [];
}

test('webhook config: everything has a default', () => {
  assert.deepEqual(parseWebhookConfig('webhook.yaml', '', PLACE), {
    proxyAddress: 'auto',
    proxyPort: 4140,
    clusterDomain: 'cluster.local',
    namespaceInProxyUrl: false,
    envFrom: 'inject',
    servingCertificate: 'selfMade',
    drainSeconds: 10,
    https: { ip: undefined, port: 8443 },
    admin: {
      ip: undefined,
      port: 8080,
      access: { metrics: 'open', diagnostics: 'token', tap: 'token' },
    },
    logLevel: 'info',
  });
});

test('webhook config: "pod" is the address in POD_IP', () => {
  const config = parseWebhookConfig('webhook.yaml', 'https: {ip: pod}\nadmin: {ip: 127.0.0.1, port: 0}\n', PLACE);
  assert.deepEqual([config.https.ip, config.admin.ip, config.admin.port], ['10.1.0.9', '127.0.0.1', 0]);
  assert.deepEqual(problems('https: {ip: pod}'), [
    'webhook.yaml: https.ip: "pod" needs the pod\'s address in POD_IP (downward API: status.podIP)',
  ]);
});

test('webhook config: every problem at once, each with its place', () => {
  assert.deepEqual(problems('proxyAdress: auto\nproxyPort: 0\nhttps: {port: 70000, prot: 1}\nlogLevel: loud\n'), [
    'webhook.yaml: proxyPort: give a port number, 1 to 65535',
    'webhook.yaml: https.port: give a port number, 0 to 65535',
    'webhook.yaml: https.prot: unknown key; did you mean "port"?',
    'webhook.yaml: logLevel: give one of trace, debug, info, warn, error',
    'webhook.yaml: proxyAdress: unknown key; did you mean "proxyAddress"?',
  ]);
});

test('webhook config: one port for two servers is refused, on two addresses it is not', () => {
  assert.deepEqual(problems('https: {port: 8080}'), [
    'webhook.yaml: admin.port: port 8080 is already taken by https.port; give each its own',
  ]);
  assert.deepEqual(problems('https: {ip: 127.0.0.1, port: 8080}\nadmin: {ip: 127.0.0.2, port: 8080}'), []);
});
