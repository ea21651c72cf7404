/** What the choice looks at. Times are ms of one monotonic clock. */
export interface Balanced {
  /** Requests under way, and what counts as such. */
  queue(now: number): number;
  /** Expected cost of one more request. */
  load(now: number): number;
  /** The part of its share that it gets: less than 1 while it is new (slow-start.ts). */
  warmth(now: number): number;
  /** Whether it is out for its failures. */
  readonly out: boolean;
  /** Whether one that is out may get a request now, to see whether it has recovered; asks for it at most once. */
  takeProbe(now: number): boolean;
}

/** As often as linkerd draws again where both drawn are out (`maxEffort`). */
export const MAX_EFFORT = 5;
/** Loads nearer to each other than this are alike: chance decides. */
const ALIKE = 1.5;
/** How much the odds go with the loads beyond that: one of twice the load still gets a ninth of the draws of the two. */
const ODDS_EXPONENT = 3;

/** How a draw is decided. */
export interface DrawRule {
  /** Draws before what is out is taken all the same. */
  readonly maxEffort: number;
  /** Whether new members get a part of their share only. */
  readonly slowStart: boolean;
  /** The better of two that are both in, or both out. */
  readonly better: (a: Balanced, b: Balanced, now: number, random: () => number) => Balanced;
}

const BY_LOAD: DrawRule = { maxEffort: MAX_EFFORT, slowStart: false, better: byLoad };

/**
 * Power of two choices (Mitzenmacher 2001; linkerd's `p2c`): of two distinct members at random, most likely the one of lower
 * load; never quite for certain, so that what is thought of the other can be corrected. Members that are out are passed over, but for a probe that is due; when draw after draw finds none that is in,
 * so many are out that being out means nothing, and the last draw stands (`onPanic` is told). `excluded` members are left out.
 * `random` gives numbers in [0, 1). Gives undefined when no member is left. `rule`: which of two, and how many draws.
 */
export function pickTwoChoices<Member extends Balanced>(
  members: readonly Member[],
  now: number,
  random: () => number,
  onPanic: () => void,
  excluded?: ReadonlySet<Member>,
  rule: DrawRule = BY_LOAD,
): Member | undefined {
  const from = excluded === undefined || excluded.size === 0 ? members : members.filter((m) => !excluded.has(m));
  const size = from.length;
  if (size < 2) {
    const only = from[0];
    if (only?.out === true && !only.takeProbe(now)) onPanic();
    return only;
  }
  let chosen: Member | undefined;
  for (let effort = 0; effort < rule.maxEffort; effort += 1) {
    const first = Math.floor(random() * size);
    const offset = Math.floor(random() * (size - 1));
    const a = from[first] as Member;
    const b = from[offset >= first ? offset + 1 : offset] as Member;
    if (a.out && a.takeProbe(now)) return a;
    if (b.out && b.takeProbe(now)) return b;
    if (a.out !== b.out) return a.out ? b : a;
    const warmer = rule.slowStart ? giveWay(a, b, now, random) : undefined;
    chosen = warmer ?? (rule.better(a, b, now, random) as Member);
    if (!chosen.out) return chosen;
  }
  onPanic();
  return chosen;
}

/** The warmer of two, where the other is new and this draw is not of its part; undefined where it is, or neither is new. */
function giveWay<Member extends Balanced>(a: Member, b: Member, now: number, random: () => number): Member | undefined {
  const warmthA = a.warmth(now);
  const warmthB = b.warmth(now);
  if (warmthA === warmthB || random() * Math.max(warmthA, warmthB) < Math.min(warmthA, warmthB)) return undefined;
  return warmthA > warmthB ? a : b;
}

/** The one of two that is likelier to answer sooner (linkerd's `ewma`). */
export function byLoad(a: Balanced, b: Balanced, now: number, random: () => number): Balanced {
  const loadA = a.load(now);
  const loadB = b.load(now);
  if (loadB * ALIKE >= loadA && loadA * ALIKE >= loadB) return a; // the first drawn of the two, which is chance
  const forA = loadB ** ODDS_EXPONENT;
  const forB = loadA ** ODDS_EXPONENT;
  return random() * (forA + forB) < forA ? a : b;
}

/** The one of two with fewer requests under way (linkerd's `p2c`). */
export function byOutstanding(a: Balanced, b: Balanced, now: number): Balanced {
  return b.queue(now) < a.queue(now) ? b : a;
}
