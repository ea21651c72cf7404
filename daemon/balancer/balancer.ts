import { DECAY_MS } from './latency-average.ts';
import { type Balanced, byLoad, byOutstanding, MAX_EFFORT, pickTwoChoices } from './p2c.ts';
import { RoundRobin } from './round-robin.ts';

/** linkerd's `loadBalancer` kinds that there are: `ewma` draws two by latency × requests under way, `p2c` by the latter alone. */
export const BALANCER_KINDS = ['ewma', 'p2c', 'roundRobin'] as const;

export interface BalancerConfig {
  readonly kind: (typeof BALANCER_KINDS)[number];
  /** How often to draw again where what was drawn is out. */
  readonly maxEffort: number;
  /** Time constant of an endpoint's latency, ms; for `ewma`. */
  readonly decayTimeMs: number;
  /** How long the share of a pod that appears while others serve grows, ms; 0: it gets all of it at once. */
  readonly slowStartMs: number;
}

export const DEFAULT_BALANCER: BalancerConfig = {
  kind: 'ewma',
  maxEffort: MAX_EFFORT,
  decayTimeMs: DECAY_MS,
  slowStartMs: 0,
};

/** What one choice is made from. */
export interface Draw<Member extends Balanced> {
  readonly members: readonly Member[];
  /** Ms of the clock that the members' loads are told by. */
  readonly now: number;
  /** Gives numbers in [0, 1). */
  readonly random: () => number;
  /** So many members are out that being out was ignored. */
  readonly onPanic: () => void;
  readonly excluded: ReadonlySet<Member>;
}

/** Chooses a member; undefined when none is left but excluded ones. */
export type Balancer<Member extends Balanced> = (draw: Draw<Member>) => Member | undefined;

/** A balancer for one set of members. */
export function makeBalancer<Member extends Balanced>(config: BalancerConfig): Balancer<Member> {
  const { kind, maxEffort } = config;
  const slowStart = config.slowStartMs > 0;
  if (kind === 'roundRobin') {
    const turns = new RoundRobin(slowStart);
    return ({ members, now, random, onPanic, excluded }) => turns.pick(members, now, random, onPanic, excluded);
  }
  const rule = { maxEffort, slowStart, better: kind === 'p2c' ? byOutstanding : byLoad };
  return ({ members, now, random, onPanic, excluded }) => pickTwoChoices(members, now, random, onPanic, excluded, rule);
}
