import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseDaemonConfig } from '../../daemon/config.ts';
import { EgressGuard } from '../../daemon/policy/egress-guard.ts';

const isDaemon = (address: string) => address === '10.0.0.7' || address === 'fd00::7';

describe('egress guard', () => {
  test('by default everything outside is open but what must never be', () => {
    const guard = new EgressGuard({ default: 'allow', allow: [] }, isDaemon);
    assert.equal(guard.refusesName('example.com'), undefined);
    for (const open of ['93.184.216.34', '10.1.2.3', '2001:db8::1', '::ffff:a01:203', '64:ff9b::5db8:d822']) {
      assert.equal(guard.refusesAddress('example.com', open), undefined, open);
    }
    for (const shut of [
      '127.0.0.1',
      '127.8.8.8',
      '::1',
      '::ffff:127.0.0.1',
      '169.254.169.254',
      '::ffff:169.254.169.254',
      '::ffff:7f00:1',
      '0:0:0:0:0:FFFF:a9fe:a9fe',
      '::ffff:a00:7',
      '0:0:0:0:0:0:0:1',
      '::7f00:1',
      '64:ff9b::a9fe:a9fe',
      'FD00:EC2:0::254',
      'fd00::7',
      'FD00:0::7',
      'fe80::1',
      'fd00:ec2::254',
      '0.0.0.0',
      '224.0.0.1',
      '255.255.255.255',
      '10.0.0.7',
    ]) {
      assert.notEqual(guard.refusesAddress('example.com', shut), undefined, shut);
    }
  });

  test('deny lets through what is listed, by name or by network', () => {
    const guard = new EgressGuard(
      { default: 'deny', allow: ['api.example.com', '*.cdn.example', '192.0.2.0/24'] },
      isDaemon,
    );
    assert.equal(guard.refusesName('api.example.com'), undefined);
    assert.equal(guard.refusesName('a.b.cdn.example'), undefined);
    assert.match(guard.refusesName('cdn.example') ?? '', /egress\.allow/);
    assert.match(guard.refusesName('api.example.com.evil.example') ?? '', /egress\.allow/);
    assert.equal(guard.refusesAddress('192.0.2.9', '192.0.2.9'), undefined);
    assert.match(guard.refusesAddress('192.0.3.9', '192.0.3.9') ?? '', /not among/);
  });

  test('a listed name that resolves to a guarded address stays refused; a listed network opens it', () => {
    const byName = new EgressGuard({ default: 'deny', allow: ['metadata.example'] }, isDaemon);
    assert.match(byName.refusesAddress('metadata.example', '169.254.169.254') ?? '', /metadata/);
    const byNetwork = new EgressGuard({ default: 'allow', allow: ['169.254.169.254', '10.0.0.7/32'] }, isDaemon);
    assert.equal(byNetwork.refusesAddress('metadata.example', '169.254.169.254'), undefined);
    assert.equal(byNetwork.refusesAddress('10.0.0.7', '10.0.0.7'), undefined);
  });

  test('the config takes a word or lists, and refuses what is neither', () => {
    const environment = { nodeName: 'n', nodeIp: undefined, podNamespace: undefined };
    const parse = (egress: string) =>
      parseDaemonConfig('f', `routers: [{protocol: http}]\negress: ${egress}`, environment).egress;
    assert.deepEqual(parse('deny'), { default: 'deny', allow: [] });
    assert.deepEqual(parse('{allow: ["*.example.com", 10.0.0.0/8]}'), {
      default: 'deny',
      allow: ['*.example.com', '10.0.0.0/8'],
    });
    assert.throws(() => parse('maybe'), /egress/);
    assert.throws(() => parse('{allow: ["not a name"]}'), /egress/);
  });
});
