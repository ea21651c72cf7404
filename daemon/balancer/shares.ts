import type { BalancerConfig } from './balancer.ts';
import type { Balanced } from './p2c.ts';
import { TieredBalancer } from './tiered-balancer.ts';

/** A share of a half is told to within a hundredth or two; they take a millisecond or two. */
const DRAWS = 4_096;

/** A member as it is at one moment. */
export interface MemberState {
  readonly queue: number;
  readonly load: number;
  readonly warmth: number;
  readonly out: boolean;
  /** It gets nothing while a nearer one can take it. */
  readonly far: boolean;
}

/** It stands still, so that a draw leaves no trace. */
class StillMember implements Balanced {
  readonly out: boolean;
  readonly #state: MemberState;
  draws = 0;

  constructor(state: MemberState) {
    this.#state = state;
    this.out = state.out;
  }

  queue(): number {
    return this.#state.queue;
  }

  load(): number {
    return this.#state.load;
  }

  warmth(): number {
    return this.#state.warmth;
  }

  takeProbe(): boolean {
    return false;
  }
}

/**
 * The share of the draws, 0 to 1, that each member would get if nothing changed: many draws by the very balancer, over members that
 * stand still. Undefined for `aperture`, which keeps to members that chance has drawn for each balancer. Probes are left out.
 */
export function drawnShares(config: BalancerConfig, states: readonly MemberState[]): readonly number[] | undefined {
  if (config.kind === 'aperture') return undefined;
  const members = states.map((state) => new StillMember(state));
  const balancer = new TieredBalancer<StillMember>(config);
  const tier = (far: boolean) => members.filter((_, i) => states[i]?.far === far);
  balancer.set(tier(false), tier(true));
  if (balancer.empty) return [];
  const random = sequence();
  const none: ReadonlySet<StillMember> = new Set();
  for (let draw = 0; draw < DRAWS; draw += 1) {
    const drawn = balancer.pick(0, random, () => {}, none);
    if (drawn !== undefined) drawn.draws += 1;
  }
  return members.map(({ draws }) => draws / DRAWS);
}

/** Numbers in [0, 1), the same each time (mulberry32): what has not changed is told alike, and nobody else's chance is used up. */
function sequence(): () => number {
  let state = 1;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
