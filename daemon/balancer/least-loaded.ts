import type { Draw } from './balancer.ts';
import type { Balanced } from './p2c.ts';

/**
 * The one of all with the fewest requests under way, chance among equals (linkerd's `heap`); looks at every member each time. Members
 * that are out are passed over, but for a probe that is due; when all are, one of them is taken, and `onPanic` is told. With
 * `slowStart` new ones are passed over in part. Gives undefined when no member is left.
 */
export function pickLeastLoaded<Member extends Balanced>(
  { members, now, random, onPanic, excluded }: Draw<Member>,
  slowStart: boolean,
): Member | undefined {
  let best: Member | undefined;
  let least = Number.POSITIVE_INFINITY;
  let alike = 0;
  let cold: Member | undefined;
  let out: Member | undefined;
  for (const member of members) {
    if (excluded.has(member)) continue;
    if (member.out) {
      if (member.takeProbe(now)) return member;
      out = member;
    } else if (slowStart && random() >= member.warmth(now)) {
      cold = member;
    } else {
      const queue = member.queue(now);
      alike = queue === least ? alike + 1 : 1;
      if (queue > least || (queue === least && random() * alike >= 1)) continue;
      best = member;
      least = queue;
    }
  }
  if (best !== undefined || cold !== undefined) return best ?? cold;
  if (out !== undefined) onPanic();
  return out;
}
