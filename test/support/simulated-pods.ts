import { type Balancer, DEFAULT_BALANCER, makeBalancer } from '../../daemon/balancer/balancer.ts';
import { EjectionLimit } from '../../daemon/balancer/ejection-limit.ts';
import { EndpointLoad, type Siblings } from '../../daemon/balancer/endpoint-load.ts';
import { POD_ACCRUAL } from '../../daemon/balancer/failure-accrual.ts';
import { DECAY_MS } from '../../daemon/balancer/latency-average.ts';
import type { Balanced } from '../../daemon/balancer/p2c.ts';
import { UsualLatency } from '../../daemon/balancer/usual-latency.ts';

/** A pod of a simulated Service: answers after so many ms with this status. */
export class SimulatedPod implements Balanced {
  readonly load_: EndpointLoad;
  answerMs: number;
  /** What chance adds to it; by default it is up to a fifth more or less. */
  noiseMs: (() => number) | undefined;
  status = 200;
  served = 0;
  probes = 0;
  siblings: Siblings | undefined;
  failed = 0;
  /** The part of its requests that it answers 500, 100 ms late. */
  failingPart = 0;
  /** What its failures ask for. */
  retryAfterMs: number | undefined;

  constructor(answerMs: number, random: () => number, failureAccrual = POD_ACCRUAL) {
    this.answerMs = answerMs;
    this.load_ = new EndpointLoad(random, { failureAccrual, decayTimeMs: DECAY_MS });
  }
  join(siblings: Siblings): void {
    this.siblings = siblings;
    this.load_.join(siblings);
  }
  queue(now: number): number {
    return this.load_.queue(now);
  }
  get out(): boolean {
    return this.load_.accrual.out;
  }
  load(now: number): number {
    return this.load_.load(now);
  }
  warmth(now: number): number {
    return this.load_.warmth(now);
  }
  takeProbe(now: number): boolean {
    const due = this.load_.accrual.probeDue(now);
    if (due) {
      this.probes += 1;
      this.load_.accrual.beginProbe(now);
    }
    return due;
  }
}

/** `count` pods of one Service. `onPanic`: as a destination's. */
export function podsOf(count: number, make: (index: number) => SimulatedPod, onPanic = () => {}): SimulatedPod[] {
  const siblings = { ejections: new EjectionLimit(onPanic), usual: new UsualLatency() };
  siblings.ejections.resize(count);
  return Array.from({ length: count }, (_, index) => {
    const pod = make(index);
    pod.join(siblings);
    return pod;
  });
}

/** Runs requests at a steady rate on a virtual clock; gives how many picks ignored who is out. */
export function simulate(
  pods: readonly SimulatedPod[],
  options: { rps: number; fromMs: number; toMs: number; random: () => number; pick?: Balancer<SimulatedPod> },
): number {
  const { rps, fromMs, toMs, random, pick = makeBalancer(DEFAULT_BALANCER) } = options;
  let panics = 0;
  const answers: { at: number; sentAt: number; pod: SimulatedPod; status: number }[] = [];
  for (let now = fromMs; now < toMs; now += 1_000 / rps) {
    answers.sort((a, b) => a.at - b.at);
    while (answers[0] !== undefined && answers[0].at <= now) {
      const { at, sentAt, pod, status } = answers.shift() as (typeof answers)[number];
      if (pod.retryAfterMs !== undefined) pod.load_.waits(pod.retryAfterMs, at);
      pod.load_.answered(status, at - sentAt, at);
      pod.load_.end(undefined);
    }
    const onPanic = () => {
      panics += 1;
    };
    const pod = pick({ members: pods, now, random, onPanic, excluded: new Set() });
    if (pod === undefined) continue;
    pod.served += 1;
    pod.load_.begin(now);
    const failing = pod.failingPart > 0 && random() < pod.failingPart;
    if (failing) pod.failed += 1;
    const noise = pod.noiseMs === undefined ? pod.answerMs * (random() - 0.5) * 0.4 : pod.noiseMs();
    const answerMs = pod.answerMs + noise + (failing ? 100 : 0);
    answers.push({ at: now + answerMs, sentAt: now, pod, status: failing ? 500 : pod.status });
  }
  for (const { pod, sentAt } of answers) pod.load_.end(sentAt);
  return panics;
}
