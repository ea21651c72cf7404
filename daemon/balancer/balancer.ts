import { Aperture } from './aperture.ts';
import { DECAY_MS } from './latency-average.ts';
import { pickLeastLoaded } from './least-loaded.ts';
import { type Balanced, byLoad, byOutstanding, MAX_EFFORT, pickTwoChoices } from './p2c.ts';
import { RoundRobin } from './round-robin.ts';

/** By linkerd's keys of `loadBalancer`. */
export interface BalancerConfig {
  /** `ewma` draws two by latency × requests under way, `p2c` by the latter alone, `aperture` as `p2c` among a few, `heap` looks at all. */
  readonly kind: 'ewma' | 'p2c' | 'aperture' | 'heap' | 'roundRobin';
  /** How often to draw again where what was drawn is out. */
  readonly maxEffort: number;
  /** Time constant of an endpoint's latency, ms; for `ewma`. */
  readonly decayTimeMs: number;
  /** How long the share of a pod that appears while others serve grows, ms; 0: it gets all of it at once. */
  readonly slowStartMs: number;
  /** For `aperture`: over what time the load is averaged, ms. */
  readonly smoothWindowMs: number;
  /** For `aperture`: with fewer requests under way at each endpoint than this, on average, fewer endpoints get any. */
  readonly lowLoad: number;
  /** For `aperture`: with more than this, more do. */
  readonly highLoad: number;
  /** For `aperture`: so many always do. */
  readonly minAperture: number;
}

export const DEFAULT_BALANCER: BalancerConfig = {
  kind: 'ewma',
  maxEffort: MAX_EFFORT,
  decayTimeMs: DECAY_MS,
  slowStartMs: 0,
  smoothWindowMs: 5_000,
  lowLoad: 0.5,
  highLoad: 2,
  minAperture: 1,
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
  if (kind === 'heap') return (draw) => pickLeastLoaded(draw, slowStart);
  const rule = { maxEffort, slowStart, better: kind === 'ewma' ? byLoad : byOutstanding };
  if (kind === 'aperture') {
    const aperture = new Aperture<Member>(config, rule);
    return (draw) => aperture.pick(draw);
  }
  return ({ members, now, random, onPanic, excluded }) => pickTwoChoices(members, now, random, onPanic, excluded, rule);
}
