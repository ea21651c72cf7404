import type { Balanced } from './p2c.ts';

/** Each in its turn, whatever its load (linkerd's `roundRobin`). Members that are out are passed over, but for a probe that is due, and new ones in part. */
export class RoundRobin {
  readonly #slowStart: boolean;
  #turn = 0;

  /** `slowStart`: whether new members get a part of their share only. */
  constructor(slowStart: boolean) {
    this.#slowStart = slowStart;
  }

  /** As `pickTwoChoices`; when all members are out, the next one in turn, and `onPanic` is told. */
  pick<Member extends Balanced>(
    members: readonly Member[],
    now: number,
    random: () => number,
    onPanic: () => void,
    excluded: ReadonlySet<Member>,
  ): Member | undefined {
    let next: Member | undefined;
    let panic = true;
    for (let step = 0; step < members.length; step += 1) {
      const at = (this.#turn + step) % members.length;
      const member = members[at] as Member;
      if (excluded.has(member)) continue;
      if (this.#slowStart && !member.out && random() >= member.warmth(now)) {
        if (panic) next = member; // for when all are new
        panic = false;
        continue;
      }
      if (!member.out || member.takeProbe(now)) {
        this.#turn = at + 1;
        return member;
      }
      next ??= member;
    }
    if (next === undefined) return undefined;
    this.#turn = members.indexOf(next) + 1;
    if (panic) onPanic();
    return next;
  }
}
