import type { Clock } from './clock.ts';
import { exponential, type Random } from './random.ts';

/** Requests that a pod works on at a time, and how many may wait for it; one more is answered 503 at once. */
const WORKERS = 2;
const QUEUE = 100;
/** A request takes half of this, and as much again on average: 20 ms. */
const HALF_WORK_MS = 10;
const AT_ONCE_MS = 1;
/** A pod that has just started works so much slower, for so long. */
const COLD_FACTOR = 4;
const COLD_MS = 10_000;

/** A node with its daemon. */
export interface SimulatedHost {
  readonly name: string;
  readonly zone: string;
  /** It answers nothing any more, not even that. */
  dark: boolean;
}

/** A pod: some workers and a queue. */
export class SimulatedPod {
  readonly name: string;
  readonly ip: string;
  readonly host: SimulatedHost;
  /** Its process is there. */
  up = true;
  /** Whether it answers 503 at once, whatever it is asked. */
  failing = false;
  /** How many times longer its work takes. */
  slowness = 1;
  /** What it makes of each request instead of its work, however many there are at a time: a status after so many ms. */
  plays: ((random: Random) => { readonly status: number; readonly ms: number }) | undefined;
  /** Attempts that have reached it. */
  reached = 0;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #waiting: ((status: number) => void)[] = [];
  #busy = 0;
  #coldUntil = 0;

  constructor(name: string, ip: string, host: SimulatedHost, clock: Clock, random: Random) {
    this.name = name;
    this.ip = ip;
    this.host = host;
    this.#clock = clock;
    this.#random = random;
  }

  /** It has just started. */
  start(): void {
    this.up = true;
    this.#coldUntil = this.#clock.now + COLD_MS;
  }

  /** Takes a request; `answer` gets the status. What it has taken it finishes, even when its process is asked to end. */
  serve(answer: (status: number) => void): void {
    this.reached += 1;
    if (this.plays !== undefined) {
      const { status, ms } = this.plays(this.#random);
      this.#clock.after(ms, () => answer(status));
    } else if (this.failing || this.#waiting.length >= QUEUE) this.#clock.after(AT_ONCE_MS, () => answer(503));
    else if (this.#busy < WORKERS) this.#work(answer);
    else this.#waiting.push(answer);
  }

  #work(answer: (status: number) => void): void {
    this.#busy += 1;
    const cold = this.#clock.now < this.#coldUntil ? COLD_FACTOR : 1;
    const workMs = (HALF_WORK_MS + exponential(HALF_WORK_MS, this.#random)) * this.slowness * cold;
    this.#clock.after(workMs, () => {
      this.#busy -= 1;
      const next = this.#waiting.shift();
      if (next !== undefined) this.#work(next);
      answer(200);
    });
  }
}

/** How many nodes there are, and how many pods of the Service on each of them, by its index. */
export interface Shape {
  readonly hosts: number;
  readonly podsOn: (index: number) => number;
}

/** Hosts in three zones with the pods of one Service, and who of them is published as ready. */
export class SimulatedCluster {
  readonly hosts: readonly SimulatedHost[];
  readonly pods: SimulatedPod[] = [];
  readonly #published = new Set<SimulatedPod>();
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(shape: Shape, clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
    this.hosts = Array.from({ length: shape.hosts }, (_, i) => ({
      name: `node-${i}`,
      zone: `zone-${i % 3}`,
      dark: false,
    }));
    // By turns: neighbours in the list, which are replaced one after the other, are on different nodes.
    const most = Math.max(...this.hosts.map((_, i) => shape.podsOn(i)));
    for (let count = 0; count < most; count += 1) {
      for (const [i, host] of this.hosts.entries()) if (count < shape.podsOn(i)) this.publish(this.addPod(host));
    }
  }

  /** The ready pods, as the API server has them. */
  get published(): readonly SimulatedPod[] {
    return [...this.#published];
  }

  addPod(host: SimulatedHost): SimulatedPod {
    const id = this.pods.length;
    const pod = new SimulatedPod(
      `world-${id}`,
      `10.${id >> 16}.${(id >> 8) & 255}.${id & 255}`,
      host,
      this.#clock,
      this.#random,
    );
    this.pods.push(pod);
    return pod;
  }

  publish(pod: SimulatedPod): void {
    this.#published.add(pod);
  }

  withdraw(pod: SimulatedPod): void {
    this.#published.delete(pod);
  }
}
