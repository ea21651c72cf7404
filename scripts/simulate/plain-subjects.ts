import type { SimulatedPod } from './cluster.ts';
import type { Random } from './random.ts';
import {
  type Call,
  type Caller,
  isFailure,
  type Next,
  type Outcome,
  type Subject,
  type SubjectOptions,
} from './subject.ts';

/** Attempts of a request, where there is no budget that bounds them. */
const MAX_ATTEMPTS = 3;

interface Counted {
  readonly pod: SimulatedPod;
  outstanding: number;
}

type Choose = (members: readonly Counted[], random: Random) => Counted | undefined;

/** Each pod in its turn: nothing is known of it. Further attempts, three in all, have no budget. */
export const ROUND_ROBIN: Subject = plain('round robin', () => {
  let turn = -1;
  return (members, random) => {
    if (turn < 0) turn = Math.floor(random() * members.length);
    turn += 1;
    return members[turn % members.length];
  };
});

/** The pod with the fewest of this node's requests under way, of several one at random. Attempts as with round robin. */
export const LEAST_LOADED: Subject = plain('least loaded', () => (members, random) => {
  let best: Counted | undefined;
  let alike = 0;
  for (const member of members) {
    if (best === undefined || member.outstanding < best.outstanding) {
      best = member;
      alike = 1;
    } else if (member.outstanding === best.outstanding) {
      alike += 1;
      if (random() * alike < 1) best = member;
    }
  }
  return best;
});

function plain(name: string, makeChoose: () => Choose): Subject {
  return { name, ours: false, start: (options) => () => new PlainCaller(makeChoose(), options) };
}

class PlainCaller implements Caller {
  readonly #choose: Choose;
  readonly #options: SubjectOptions;
  #members: readonly Counted[] = [];

  constructor(choose: Choose, options: SubjectOptions) {
    this.#choose = choose;
    this.#options = options;
  }

  discovered(pods: readonly SimulatedPod[]): void {
    const known = new Map(this.#members.map((member) => [member.pod, member]));
    this.#members = pods.map((pod) => known.get(pod) ?? { pod, outstanding: 0 });
  }

  call(): Call {
    const { retries, random } = this.#options;
    let attempts = 0;
    let member: Counted | undefined;
    return {
      attempt: () => {
        member = this.#choose(this.#members, random);
        if (member === undefined) return undefined;
        attempts += 1;
        member.outstanding += 1;
        return member.pod;
      },
      ended: (outcome: Outcome): Next => {
        if (member !== undefined) member.outstanding -= 1;
        const again = typeof outcome !== 'number' || (retries && isFailure(outcome));
        return again && attempts < MAX_ATTEMPTS ? 'again' : 'over';
      },
    };
  }
}
