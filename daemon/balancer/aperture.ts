import type { BalancerConfig, Draw } from './balancer.ts';
import { type Balanced, type DrawRule, pickTwoChoices } from './p2c.ts';

/** What it goes by, by linkerd's names. */
export type ApertureOptions = Pick<BalancerConfig, 'smoothWindowMs' | 'lowLoad' | 'highLoad' | 'minAperture'>;

/**
 * Two choices among a few of the members (linkerd's `aperture`, finagle's load band): a daemon that sends little keeps to so many that
 * each has between `lowLoad` and `highLoad` of its requests under way, on average over `smoothWindowMs`. Which ones is chance, which
 * is drawn once a member, so that it stays and other daemons have others. The next in order take the place of those that are out.
 */
export class Aperture<Member extends Balanced> {
  readonly #options: ApertureOptions;
  readonly #rule: DrawRule;
  readonly #places = new WeakMap<Member, number>();
  #members: readonly Member[] = [];
  #ordered: readonly Member[] = [];
  #size: number;
  #underWay = 0;
  #stamp = 0;

  constructor(options: ApertureOptions, rule: DrawRule) {
    this.#options = options;
    this.#rule = rule;
    this.#size = options.minAperture;
  }

  /** How many members get requests. */
  get size(): number {
    return this.#size;
  }

  /** As `pickTwoChoices`. */
  pick(draw: Draw<Member>): Member | undefined {
    const { members, now, random, onPanic, excluded } = draw;
    if (members !== this.#members) this.#reorder(members, random);
    const inside: Member[] = [];
    let underWay = 0;
    for (const member of this.#ordered) {
      if (inside.length >= this.#size) break;
      if (excluded.has(member)) continue;
      if (!member.out) {
        inside.push(member);
        underWay += member.queue(now);
      } else if (member.takeProbe(now)) return member;
    }
    if (excluded.size === 0) this.#adjust(underWay, now);
    if (inside.length > 0) return pickTwoChoices(inside, now, random, onPanic, undefined, this.#rule);
    return pickTwoChoices(members, now, random, onPanic, excluded, this.#rule);
  }

  #adjust(underWay: number, now: number): void {
    const { smoothWindowMs, lowLoad, highLoad, minAperture } = this.#options;
    const kept = Math.exp(Math.min(0, this.#stamp - now) / smoothWindowMs);
    this.#stamp = now;
    this.#underWay = this.#underWay * kept + underWay * (1 - kept);
    const load = this.#underWay / this.#size;
    if (load >= highLoad && this.#size < this.#members.length) this.#size += 1;
    else if (load <= lowLoad && this.#size > minAperture) this.#size -= 1;
  }

  #reorder(members: readonly Member[], random: () => number): void {
    for (const member of members) if (!this.#places.has(member)) this.#places.set(member, random());
    const place = (member: Member) => this.#places.get(member) as number;
    this.#ordered = [...members].sort((a, b) => place(a) - place(b));
    this.#members = members;
  }
}
