import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { farAddresses, standInCount } from '../../daemon/discovery/locality.ts';
import { readyEndpoints } from '../../daemon/discovery/service-entry.ts';
import type { EndpointAddress } from '../../lib/kubernetes/endpoints.ts';

/** `a1-3`: the third address of node a1, which is in zone a. */
function address(text: string, more: Partial<EndpointAddress> = {}): EndpointAddress {
  const [nodeName = '', ip = ''] = text.split('-');
  return {
    ip: `${nodeName}-${ip}`,
    nodeName,
    pod: text,
    hostname: undefined,
    zone: nodeName[0],
    forZones: undefined,
    forNodes: undefined,
    ready: true,
    serving: true,
    terminating: false,
    ...more,
  };
}

const unready = { ready: false, serving: false };
const draining = { ready: false, serving: true, terminating: true };

interface Asked {
  readonly from?: string;
  readonly trafficDistribution?: string;
  readonly localOnly?: boolean;
}

/** What callers of node a1, or another, get, and after a bar what only stands behind it. */
function reached(addresses: readonly EndpointAddress[], asked: Asked = {}): string {
  const { from = 'a1', trafficDistribution, localOnly = false } = asked;
  const groups = [{ ports: [{ name: 'http', port: 80, appProtocol: undefined }], addresses }];
  const place = { nodeName: from, zone: from === 'nowhere' ? undefined : from[0] };
  const preference = { place, trafficDistribution, localOnly };
  const endpoints = readyEndpoints(groups, { kind: 'named', name: 'http' }, undefined, false, preference);
  const names = (far: boolean) => endpoints.filter((one) => one.far === far).map(({ ip }) => ip);
  return [...names(false), '|', ...names(true)].join(' ');
}

describe('nearer endpoints', () => {
  const four = ['a1-1', 'a2-1', 'b1-1', 'b2-1'];
  const hinted = (zones: readonly (string | undefined)[]) =>
    four.map((text, i) => address(text, { forZones: zones[i] === undefined ? undefined : [zones[i]] }));

  test('without a preference all are alike', () => {
    assert.equal(reached(four.map((text) => address(text))), 'a1-1 a2-1 b1-1 b2-1 |');
  });

  test('zone hints count where every ready address has some and one is for this zone', () => {
    assert.equal(reached(hinted(['a', 'b', 'a', 'b'])), 'a1-1 b1-1 | a2-1 b2-1');
    assert.equal(reached(hinted(['a', 'b', undefined, 'b'])), 'a1-1 a2-1 b1-1 b2-1 |');
    assert.equal(reached(hinted(['b', 'b', 'b', 'b'])), 'a1-1 a2-1 b1-1 b2-1 |');
    assert.equal(reached(hinted(['a', 'b', 'a', 'b']), { from: 'nowhere' }), 'a1-1 a2-1 b1-1 b2-1 |');
    const lacking = [...hinted(['a', 'a', 'b', 'b']), address('b2-2', unready)];
    assert.equal(reached(lacking), 'a1-1 a2-1 | b1-1 b2-1', 'what is not ready has no hints');
  });

  test('node hints come before zone hints', () => {
    const both = four.map((text) => address(text, { forZones: [text[0] ?? ''], forNodes: [text.slice(0, 2)] }));
    assert.equal(reached(both), 'a1-1 | a2-1 b1-1 b2-1');
    assert.equal(reached(both, { from: 'a3' }), 'a1-1 a2-1 | b1-1 b2-1');
    assert.equal(reached(both, { from: 'c1' }), 'a1-1 a2-1 b1-1 b2-1 |');
  });

  test('where nothing is hinted, trafficDistribution goes by where the addresses are', () => {
    const all = four.map((text) => address(text));
    for (const trafficDistribution of ['PreferClose', 'PreferSameZone']) {
      assert.equal(reached(all, { trafficDistribution }), 'a1-1 a2-1 | b1-1 b2-1');
      assert.equal(reached(all, { trafficDistribution, from: 'c1' }), 'a1-1 a2-1 b1-1 b2-1 |');
    }
    assert.equal(reached(all, { trafficDistribution: 'PreferSameNode' }), 'a1-1 | a2-1 b1-1 b2-1');
    assert.equal(reached(all, { trafficDistribution: 'PreferSameNode', from: 'a3' }), 'a1-1 a2-1 | b1-1 b2-1');
    assert.equal(reached(all, { trafficDistribution: 'Unheard' }), 'a1-1 a2-1 b1-1 b2-1 |');
  });

  test('internalTrafficPolicy Local: those of the node, ready or draining, and never another', () => {
    const all = [address('a1-1', draining), address('a2-1'), address('b1-1')];
    assert.equal(reached(all, { localOnly: true }), 'a1-1 |');
    assert.equal(reached([...all, address('a1-2')], { localOnly: true }), 'a1-2 |');
    assert.equal(reached(all, { localOnly: true, from: 'c1' }), '|');
  });

  test('what terminates is not near: with nobody ready, all that still serve get a part', () => {
    const all = four.map((text) => address(text, draining));
    assert.equal(reached(all, { trafficDistribution: 'PreferClose' }), 'a1-1 a2-1 b1-1 b2-1 |');
    const one = [address('b1-2'), ...all];
    assert.equal(reached(one, { trafficDistribution: 'PreferClose' }), 'b1-2 |');
  });
});

describe('spilling over', () => {
  const preference = {
    place: { nodeName: 'a1', zone: 'a' },
    trafficDistribution: 'PreferClose',
    localOnly: false,
  };

  test('a group gives up what it lacks below 72 %', () => {
    assert.equal(standInCount(10, 0), 0);
    assert.equal(standInCount(8, 3), 0); // 73 %
    assert.equal(standInCount(7, 3), 1); // 70 %: 98 % of the load is the group's
    assert.equal(standInCount(5, 5), 3); // 70 %, and 3 of 8 are others
    assert.equal(standInCount(1, 9), 7); // 14 %
    assert.equal(standInCount(1, 1), 1);
  });

  test('other pods stand in, by what is not ready in the zone, and each node chooses its own', () => {
    const ready = ['a1-1', 'a2-1', ...Array.from({ length: 20 }, (_, i) => `b1-${i}`)].map((text) => address(text));
    const zone = [address('a3-1', unready), address('a3-2', unready), address('b3-1', unready)];
    const nearFor = (nodeName: string) => {
      const far = farAddresses(ready, zone, { ...preference, place: { nodeName, zone: 'a' } });
      return ready.filter((one) => far?.has(one) !== true).map(({ ip }) => ip);
    };
    assert.equal(nearFor('a1').length, 3);
    assert.deepEqual(nearFor('a1').slice(0, 2), ['a1-1', 'a2-1']);
    assert.deepEqual(nearFor('a1'), nearFor('a1'));
    assert.ok(new Set(Array.from({ length: 30 }, (_, i) => nearFor(`a${i}`)[2])).size > 8);
  });

  test('where there are fewer others than are wanted, all stand in', () => {
    const ready = [address('a1-1'), address('b1-1')];
    const gone = Array.from({ length: 9 }, (_, i) => address(`a2-${i}`, unready));
    assert.equal(farAddresses(ready, gone, preference)?.size, 0);
  });
});
