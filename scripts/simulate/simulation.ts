import { Clock } from './clock.ts';
import { type Shape, SimulatedCluster, type SimulatedHost, type SimulatedPod } from './cluster.ts';
import { exponential, type Random, seeded } from './random.ts';
import type { Call, Caller, Outcome, Subject } from './subject.ts';

/** What a connection to a node that is not there costs: the daemon's own limit. */
const CONNECT_TIMEOUT_MS = 1_000;
/** There and back. */
const ROUND_TRIP_MS = 1;
/** How long it takes until a node knows that endpoints have changed. */
const DISCOVERY_MS = { least: 200, most: 1_000 };
/** A caller that tries again by itself does so after this, spread by half. */
const CALLER_RETRY_MS = 1_000;

/** What happens in a run. Times are ms of the virtual clock. */
export interface Scenario {
  readonly name: string;
  /** What happens, in a sentence. */
  readonly what: string;
  readonly shape: Shape;
  /** Of each node's pods together. */
  readonly requestsPerSecond: number;
  readonly seconds: number;
  /** What is measured: from when it begins to go wrong until it should be well. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Whether proxies try GETs again that were answered 5xx. */
  readonly retries: boolean;
  /** How long a caller waits; what is answered later has failed. */
  readonly patienceMs: number;
  /** How often callers themselves try again. */
  readonly callerRetries: number;
  /** Whether pods start within it, so that slow start matters. */
  readonly coldPods: boolean;
  /** Puts what is to happen on the clock; gives the pods whose share is of interest. */
  play(stage: Stage): readonly SimulatedPod[];
}

/** What a scenario acts on. */
export interface Stage {
  readonly clock: Clock;
  readonly cluster: SimulatedCluster;
  /** Tells all nodes which pods are ready now; each hears of it a little later. */
  announce(): void;
}

/** What came of one second. */
export interface Second {
  requests: number;
  succeeded: number;
}

export interface Measured {
  /** Of the requests that began within the scenario's window, those answered in time and without a 5xx. */
  readonly success: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Attempts that the window's requests made. */
  readonly attemptsPerRequest: number;
  /** Part of all attempts that reached the pods of interest within the window; undefined where none are. */
  readonly share: number | undefined;
  /** Seconds, of all, in which more than one request in a thousand failed. */
  readonly badSeconds: number;
  readonly seconds: readonly Second[];
}

/** Plays a scenario with one subject. The same seed gives the same result. */
export function simulate(scenario: Scenario, subject: Subject, seed: number): Measured {
  return new Simulation(scenario, subject, seed).run();
}

interface Request {
  readonly host: SimulatedHost;
  readonly startedAt: number;
  readonly callerRetries: number;
}

class Simulation {
  readonly #scenario: Scenario;
  readonly #clock = new Clock();
  readonly #random: Random;
  readonly #cluster: SimulatedCluster;
  readonly #callers = new Map<SimulatedHost, Caller>();
  readonly #seconds: Second[];
  readonly #latencies: number[] = [];
  #attempts = 0;
  #inWindow = 0;

  constructor(scenario: Scenario, subject: Subject, seed: number) {
    const clock = this.#clock;
    this.#scenario = scenario;
    this.#random = seeded(seed);
    this.#seconds = Array.from({ length: scenario.seconds }, () => ({ requests: 0, succeeded: 0 }));
    this.#cluster = new SimulatedCluster(scenario.shape, clock, seeded(seed + 1));
    const random = seeded(seed + 2);
    const callerOf = subject.start({ retries: scenario.retries, random, now: () => clock.now });
    for (const host of this.#cluster.hosts) {
      const caller = callerOf(host);
      caller.discovered(this.#cluster.published, 0);
      this.#callers.set(host, caller);
      this.#arrivals(host);
    }
  }

  run(): Measured {
    const { fromMs, toMs, seconds, patienceMs } = this.#scenario;
    const { clock, cluster } = { clock: this.#clock, cluster: this.#cluster };
    const affected = this.#scenario.play({ clock, cluster, announce: () => this.#announce() });
    const reached = (pods: readonly SimulatedPod[]) => pods.reduce((sum, pod) => sum + pod.reached, 0);
    clock.run(fromMs);
    const before = [reached(affected), reached(cluster.pods)] as const;
    clock.run(toMs);
    const after = [reached(affected), reached(cluster.pods)] as const;
    clock.run(seconds * 1_000 + patienceMs);
    const sorted = Float64Array.from(this.#latencies).sort();
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
    return {
      success: sorted.length / this.#inWindow,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      attemptsPerRequest: this.#attempts / this.#inWindow,
      share: affected.length === 0 ? undefined : (after[0] - before[0]) / (after[1] - before[1]),
      badSeconds: this.#seconds.filter(({ requests, succeeded }) => succeeded < requests * 0.999).length,
      seconds: this.#seconds,
    };
  }

  #announce(): void {
    for (const caller of this.#callers.values()) {
      const { least, most } = DISCOVERY_MS;
      // Whoever hears of a change hears what is true by then: older news never come last.
      this.#clock.after(least + this.#random() * (most - least), () =>
        caller.discovered(this.#cluster.published, this.#clock.now),
      );
    }
  }

  #arrivals(host: SimulatedHost): void {
    const { requestsPerSecond, callerRetries, seconds } = this.#scenario;
    const arrive = () => {
      if (this.#clock.now >= seconds * 1_000 || host.dark) return;
      this.#begin(host, callerRetries);
      this.#clock.after(exponential(1_000 / requestsPerSecond, this.#random), arrive);
    };
    this.#clock.after(exponential(1_000 / requestsPerSecond, this.#random), arrive);
  }

  #begin(host: SimulatedHost, callerRetries: number): void {
    const { now } = this.#clock;
    if (now >= this.#scenario.seconds * 1_000) return;
    const caller = this.#callers.get(host) as Caller;
    this.#go({ host, startedAt: now, callerRetries }, caller.call(now));
  }

  #go(request: Request, call: Call): void {
    const { now } = this.#clock;
    const pod = now - request.startedAt > this.#scenario.patienceMs ? undefined : call.attempt(now);
    if (pod === undefined) this.#finish(request, false, now);
    else if (typeof pod === 'number') this.#clock.after(pod, () => this.#go(request, call));
    else this.#attempt(request, call, pod);
  }

  #attempt(request: Request, call: Call, pod: SimulatedPod): void {
    const clock = this.#clock;
    const sentAt = clock.now;
    if (this.#measures(request)) this.#attempts += 1;
    const end = (outcome: Outcome) => {
      const latencyMs = clock.now - sentAt + ROUND_TRIP_MS;
      const next = call.ended(outcome, latencyMs, clock.now);
      if (next === 'again') this.#go(request, call);
      else if (next === 'over')
        this.#finish(request, typeof outcome === 'number' && outcome < 500, clock.now + ROUND_TRIP_MS);
      else clock.after(next, () => this.#go(request, call));
    };
    if (pod.host.dark) clock.after(CONNECT_TIMEOUT_MS, () => end('unreachable'));
    else if (!pod.up) clock.after(ROUND_TRIP_MS, () => end('refused'));
    else
      pod.serve((status) => {
        if (pod.host.dark) clock.after(CONNECT_TIMEOUT_MS, () => end('unreachable'));
        else end(status);
      });
  }

  #measures({ startedAt }: Request): boolean {
    return startedAt >= this.#scenario.fromMs && startedAt < this.#scenario.toMs;
  }

  #finish(request: Request, answered: boolean, at: number): void {
    const { host, startedAt, callerRetries } = request;
    if (host.dark) return; // the caller is no more
    const latencyMs = at - startedAt;
    const succeeded = answered && latencyMs <= this.#scenario.patienceMs;
    const second = this.#seconds[Math.floor(startedAt / 1_000)] as Second;
    second.requests += 1;
    if (succeeded) second.succeeded += 1;
    if (this.#measures(request)) {
      this.#inWindow += 1;
      if (succeeded) this.#latencies.push(latencyMs);
    }
    if (!succeeded && callerRetries > 0) {
      this.#clock.after(CALLER_RETRY_MS * (0.5 + this.#random()), () => {
        if (!host.dark) this.#begin(host, callerRetries - 1);
      });
    }
  }
}
