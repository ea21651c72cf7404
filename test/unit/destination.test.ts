import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Siblings } from '../../daemon/balancer/endpoint-load.ts';
import { FailureAccrual, POD_ACCRUAL } from '../../daemon/balancer/failure-accrual.ts';
import type { ProxyError } from '../../daemon/http/proxy-error.ts';
import type { Endpoint } from '../../daemon/naming/endpoint.ts';
import type { Transform } from '../../daemon/naming/transformers/transform.ts';
import { Destination } from '../../daemon/router/destination.ts';
import type { Hop } from '../../daemon/router/hop.ts';
import { DEFAULT_POLICY } from '../../daemon/router/route-policy.ts';

/** As much of a hop as a choice looks at. */
interface TestHop {
  readonly ip: string;
  out: boolean;
  readonly accrual: FailureAccrual;
  warmedAt: number | undefined;
}

const endpoint = (ip: string, far = false): Endpoint => ({
  ip,
  port: 80,
  nodeName: undefined,
  pod: ip,
  hostname: undefined,
  zone: undefined,
  far,
});

/** A destination over endpoints that can be changed, with hops that can be put out. */
class TestDestination {
  readonly hops = new Map<string, TestHop>();
  readonly destination: Destination;
  panics = 0;
  now = 0;
  /** Which daemon all pods are behind. */
  gateway = '10.0.0.1';
  #version = 1;
  #endpoints: readonly Endpoint[];

  constructor(
    endpoints: readonly Endpoint[],
    { confinement, drop = [], slowStartMs = 0 }: { confinement?: string; drop?: string[]; slowStartMs?: number } = {},
  ) {
    this.#endpoints = endpoints;
    const { hops } = this;
    const current = () => this.#endpoints;
    const version = () => this.#version;
    const transform: Transform = {
      version: 0,
      apply: (set) =>
        set
          .filter((one) => !drop.includes(one.endpoint.ip))
          .map(({ endpoint }) => ({
            endpoint,
            path: { kind: 'gateway', ip: this.gateway, port: 4141, nodeName: 'node-2' },
          })),
    };
    this.destination = new Destination({
      binding: {
        key: 'shop/world:http',
        namespace: 'shop',
        service: 'world',
        get version() {
          return version();
        },
        endpoints: current,
        confinement,
      },
      policy: { ...DEFAULT_POLICY, balancer: { ...DEFAULT_POLICY.balancer, slowStartMs } },
      transform,
      makeHop: ({ endpoint: { ip } }) => {
        const hop = {
          ip,
          out: false,
          accrual: new FailureAccrual(POD_ACCRUAL, Math.random),
          queue: () => 0,
          load: () => 1,
          warmedAt: undefined as number | undefined,
          warmUp: (now: number) => {
            hop.warmedAt = now;
          },
          warmth: () => 1,
          join: (siblings: Siblings | undefined) => hop.accrual.join(siblings?.ejections),
          takeProbe: () => false,
        };
        hops.set(ip, hop);
        return hop as unknown as Hop;
      },
      allDropped: () => new Error('all dropped') as ProxyError,
      onPanic: () => {
        this.panics += 1;
      },
      now: () => this.now,
      random: Math.random,
    });
  }

  set endpoints(endpoints: readonly Endpoint[]) {
    this.#endpoints = endpoints;
    this.#version += 1;
  }

  /** The addresses that a hundred picks give. */
  picked(tried: readonly string[] = []): string {
    const excluded = new Set(tried.map((ip) => this.hops.get(ip) as unknown as Hop));
    const seen = new Set<string>();
    for (let i = 0; i < 100; i += 1) {
      const hop = this.destination.pick(excluded) as unknown as TestHop | undefined;
      if (hop !== undefined) seen.add(hop.ip);
    }
    return [...seen].sort().join(' ');
  }

  /** So many failures of these in a row. */
  fail(count: number, ...ips: string[]): void {
    for (const ip of ips) for (let i = 0; i < count; i += 1) this.hops.get(ip)?.accrual.failed(this.now);
  }

  /** The addresses that their failures have put out. */
  get ejected(): string {
    return [...this.hops.values()].flatMap(({ ip, accrual }) => (accrual.out ? [ip] : [])).join(' ');
  }

  putOut(...ips: string[]): void {
    for (const [ip, hop] of this.hops) hop.out = ips.includes(ip);
  }
}

const NEAR_AND_FAR = [endpoint('near-1'), endpoint('near-2'), endpoint('far-1', true), endpoint('far-2', true)];

test('far endpoints get nothing but what no near one is left for', () => {
  const world = new TestDestination(NEAR_AND_FAR);
  assert.equal(world.picked(), 'near-1 near-2');
  assert.equal(world.picked(['near-1']), 'near-2');
  assert.equal(world.picked(['near-1', 'near-2']), 'far-1 far-2');
  assert.equal(world.picked(['near-1', 'near-2', 'far-1', 'far-2']), '');
  world.putOut('near-1');
  assert.equal(world.picked(), 'near-2');
  world.putOut('near-1', 'near-2');
  assert.equal(world.picked(), 'far-1 far-2');
  assert.equal(world.panics, 0);
  world.putOut('near-1', 'near-2', 'far-1', 'far-2');
  assert.notEqual(world.picked(), '');
  assert.equal(world.panics, 100);
});

test('one near endpoint that is out is passed over as many are', () => {
  const world = new TestDestination([endpoint('near-1'), endpoint('far-1', true)]);
  assert.equal(world.picked(), 'near-1');
  world.putOut('near-1');
  assert.equal(world.picked(), 'far-1');
});

test('where the transformers leave no near endpoint, the far ones are all there is', () => {
  assert.equal(new TestDestination(NEAR_AND_FAR, { drop: ['near-1', 'near-2'] }).picked(), 'far-1 far-2');
});

test('an endpoint that becomes near keeps its hop', () => {
  const world = new TestDestination(NEAR_AND_FAR);
  world.picked();
  const before = world.hops.get('far-1');
  world.endpoints = [endpoint('far-1')];
  assert.equal(world.picked(), 'far-1');
  assert.equal(world.hops.get('far-1'), before);
});

test('with slow start a pod that appears while others serve starts slowly; the first ones, and one whose daemon is another, do not', () => {
  const world = new TestDestination([endpoint('a'), endpoint('b')], { slowStartMs: 9 });
  const warmed = () => [...world.hops].map(([ip, { warmedAt }]) => `${ip} ${warmedAt ?? 'no'}`).join(', ');
  world.picked();
  assert.equal(warmed(), 'a no, b no');
  world.now = 5;
  world.endpoints = [endpoint('a'), endpoint('c')];
  world.picked();
  assert.equal(warmed(), 'a no, b no, c 5');
  world.now = 6;
  world.gateway = '10.0.0.2';
  world.endpoints = [endpoint('a'), endpoint('c')];
  world.picked();
  assert.equal(warmed(), 'a no, b no, c no', 'the hops are new, and the pods are not');
  world.endpoints = [endpoint('d')];
  world.picked();
  assert.equal(world.hops.get('d')?.warmedAt, undefined, 'nobody else serves');
  const usual = new TestDestination([endpoint('a')]);
  usual.picked();
  usual.endpoints = [endpoint('a'), endpoint('b')];
  usual.picked();
  assert.equal(usual.hops.get('b')?.warmedAt, undefined, 'nobody asked for it');
});

test('never more than half are out, however members come, go and recover', () => {
  const world = new TestDestination(['a', 'b', 'c', 'd', 'e'].map((ip) => endpoint(ip)));
  world.picked();
  world.fail(7, 'a', 'b', 'c');
  assert.deepEqual([world.ejected, world.panics], ['a b', 1]);
  world.fail(2, 'c');
  assert.equal(world.panics, 3);
  world.hops.get('a')?.accrual.succeeded(0);
  world.fail(1, 'c', 'd');
  assert.equal(world.ejected, 'b c', 'one back makes room for one, and d has failed once only');
  world.endpoints = ['a', 'c', 'd', 'e', 'f', 'g'].map((ip) => endpoint(ip));
  world.picked();
  world.fail(7, 'd', 'e', 'f');
  assert.equal(world.ejected, 'b c d e', 'b is gone, and one more may be out of six than of five');
  world.fail(1, 'b');
  world.hops.get('b')?.accrual.succeeded(0);
  world.fail(9, 'f', 'g');
  assert.equal(world.ejected, 'c d e', 'what happens to b does not count');
  const before = world.panics;
  world.endpoints = ['c', 'd', 'e'].map((ip) => endpoint(ip));
  world.picked();
  assert.deepEqual([world.ejected, world.panics - before], ['e', 2]);
  world.endpoints = [endpoint('e')];
  world.picked();
  world.fail(20, 'e');
  assert.equal(world.ejected, '', 'the only one');
});

test('a name without endpoints says what confines it', () => {
  const text = 'Service "world" in namespace "shop" has no ready endpoints';
  assert.throws(() => new TestDestination([]).picked(), { message: text });
  assert.throws(() => new TestDestination([], { confinement: 'on this node' }).picked(), {
    message: `${text} on this node`,
  });
});
