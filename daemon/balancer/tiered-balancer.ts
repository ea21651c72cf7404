import { type Balancer, type BalancerConfig, makeBalancer } from './balancer.ts';
import type { Balanced } from './p2c.ts';

/** Chooses among the near members, and among the far ones once so many of the near ones are out that being out means nothing. */
export class TieredBalancer<Member extends Balanced> {
  #near: readonly Member[] = [];
  #far: readonly Member[] = [];
  #nearFailed = false;
  readonly #balancer: Balancer<Member>;
  readonly #farBalancer: Balancer<Member>;

  constructor(config: BalancerConfig) {
    this.#balancer = makeBalancer(config);
    this.#farBalancer = makeBalancer(config);
  }

  /** Where there is no near one (they may all be on nodes without a daemon), the far ones are the near ones. */
  set(near: readonly Member[], far: readonly Member[]): void {
    this.#near = near.length > 0 ? near : far;
    this.#far = near.length > 0 ? far : [];
  }

  get empty(): boolean {
    return this.#near.length === 0;
  }

  /** As `Balancer`; `onPanic` is told where one that is out is taken for want of others. */
  pick(now: number, random: () => number, onPanic: () => void, excluded: ReadonlySet<Member>): Member | undefined {
    if (this.#far.length === 0) return this.#balancer({ members: this.#near, now, random, onPanic, excluded });
    this.#nearFailed = false;
    const near = this.#balancer({ members: this.#near, now, random, onPanic: this.#onNearFailed, excluded });
    if (near !== undefined && !this.#nearFailed) return near;
    return this.#farBalancer({ members: this.#far, now, random, onPanic, excluded }) ?? near;
  }

  readonly #onNearFailed = (): void => {
    this.#nearFailed = true;
  };
}
