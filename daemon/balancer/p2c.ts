/** What the choice looks at: requests under way to this member. */
export interface Loaded {
  readonly outstanding: number;
}

/**
 * Power of two choices (Mitzenmacher 2001; linkerd's `p2c`): two distinct members at random, the one with less under way.
 * A tie goes to the first drawn, which is random, so that idle members share alike. `excluded` members are left out.
 * `random` gives numbers in [0, 1). Gives undefined when no member is left.
 */
export function pickTwoChoices<Member extends Loaded>(
  members: readonly Member[],
  random: () => number,
  excluded?: ReadonlySet<Member>,
): Member | undefined {
  const from = excluded === undefined || excluded.size === 0 ? members : members.filter((m) => !excluded.has(m));
  const size = from.length;
  if (size < 2) return from[0];
  const first = Math.floor(random() * size);
  const offset = Math.floor(random() * (size - 1));
  const second = offset >= first ? offset + 1 : offset;
  const a = from[first] as Member;
  const b = from[second] as Member;
  return b.outstanding < a.outstanding ? b : a;
}
