import { FailureAccrual } from '../../daemon/balancer/failure-accrual.ts';
import { type Balanced, byOutstanding, MAX_EFFORT, pickTwoChoices } from '../../daemon/balancer/p2c.ts';
import { RETRY_BUDGET, RetryBudget } from '../../daemon/balancer/retry-budget.ts';
import type { SimulatedHost, SimulatedPod } from './cluster.ts';
import {
  type Call,
  type Caller,
  isFailure,
  type Next,
  type Outcome,
  type Subject,
  type SubjectOptions,
} from './subject.ts';

/** linkerd 1.x's `io.l5d.consecutiveFailures` and its backoff. */
const ACCRUAL = { failures: 5, minMs: 5_000, maxMs: 300_000 };
/** finagle's limit of requeues of one request. */
const MAX_REQUEUES = 25;
const RULE = { maxEffort: MAX_EFFORT, slowStart: false, better: byOutstanding };
const noPanic = () => {};

/**
 * What linkerd 1.x does with its defaults in DaemonSet mode, as its documentation has it: the outgoing router draws two *nodes* by
 * requests under way (p2c) and the incoming one two pods of the node; five failures in a row put a node, or a pod, out for
 * 5 s to 300 s; connections that fail are made anew elsewhere within a budget, and 5xx where the classifier says so within another.
 * The algorithms are the daemon's own with linkerd's numbers; linkerd itself is not run.
 */
export const LINKERD: Subject = {
  name: "linkerd 1.x's defaults",
  ours: false,
  start: (options) => {
    const incoming = new Map<SimulatedHost, Incoming>();
    return () => new LinkerdCaller(options, incoming);
  },
};

class Member<Target> implements Balanced {
  readonly target: Target;
  readonly accrual: FailureAccrual;
  outstanding = 0;

  constructor(target: Target, random: () => number) {
    this.target = target;
    this.accrual = new FailureAccrual(ACCRUAL, random);
  }
  get out(): boolean {
    return this.accrual.out;
  }
  load(): number {
    return this.outstanding;
  }
  queue(): number {
    return this.outstanding;
  }
  warmth(): number {
    return 1;
  }
  takeProbe(now: number): boolean {
    const due = this.accrual.probeDue(now);
    if (due) this.accrual.beginProbe(now);
    return due;
  }
  ended(outcome: Outcome, now: number): void {
    this.outstanding -= 1;
    if (isFailure(outcome)) this.accrual.failed(now);
    else this.accrual.succeeded(now);
  }
}

/** Members that stay what they are while their targets stay. */
class Members<Target> {
  list: readonly Member<Target>[] = [];
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  set(targets: Iterable<Target>): void {
    const known = new Map(this.list.map((member) => [member.target, member]));
    this.list = [...targets].map((target) => known.get(target) ?? new Member(target, this.#random));
  }

  pick(now: number, tried?: ReadonlySet<Member<Target>>): Member<Target> | undefined {
    const member = pickTwoChoices(this.list, now, this.#random, noPanic, tried, RULE);
    if (member !== undefined) member.outstanding += 1;
    return member;
  }
}

/** The incoming router of a node. */
type Incoming = Members<SimulatedPod>;

class LinkerdCaller implements Caller {
  readonly #options: SubjectOptions;
  readonly #incoming: Map<SimulatedHost, Incoming>;
  readonly #nodes: Members<SimulatedHost>;
  readonly #requeues = new RetryBudget(RETRY_BUDGET);
  readonly #retries = new RetryBudget(RETRY_BUDGET);

  constructor(options: SubjectOptions, incoming: Map<SimulatedHost, Incoming>) {
    this.#options = options;
    this.#incoming = incoming;
    this.#nodes = new Members(options.random);
  }

  discovered(pods: readonly SimulatedPod[]): void {
    const hosts = new Set(pods.map(({ host }) => host));
    this.#nodes.set(hosts);
    for (const host of hosts) {
      let local = this.#incoming.get(host);
      if (local === undefined) {
        local = new Members(this.#options.random);
        this.#incoming.set(host, local);
      }
      local.set(pods.filter((pod) => pod.host === host));
    }
  }

  call(now: number): Call {
    this.#requeues.deposit(now);
    this.#retries.deposit(now);
    let node: Member<SimulatedHost> | undefined;
    let pod: Member<SimulatedPod> | undefined;
    let requeued = 0;
    const tried = new Set<Member<SimulatedPod>>();
    return {
      attempt: (at) => {
        if (node === undefined) {
          tried.clear();
          node = this.#nodes.pick(at);
        }
        if (node === undefined) return undefined;
        pod = this.#incoming.get(node.target)?.pick(at, tried);
        if (pod === undefined) node.ended(502, at);
        return pod?.target;
      },
      ended: (outcome, _latencyMs, at): Next => {
        if (pod === undefined || node === undefined) return 'over';
        if (outcome === 'unreachable') pod.outstanding -= 1;
        else pod.ended(outcome, at);
        if (outcome === 'refused') {
          // The incoming router makes the connection to another pod of its node.
          tried.add(pod);
          if (tried.size < (this.#incoming.get(node.target)?.list.length ?? 0)) return 'again';
        }
        node.ended(outcome, at);
        node = undefined;
        if (outcome === 'unreachable') {
          requeued += 1;
          return requeued <= MAX_REQUEUES && this.#requeues.withdraw(at) ? 'again' : 'over';
        }
        return isFailure(outcome) && this.#options.retries && this.#retries.withdraw(at) ? 'again' : 'over';
      },
    };
  }
}
